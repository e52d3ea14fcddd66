//! Paths that are there, asked with a verb that they do not have. Pure.

use http::{HeaderValue, Method, Response, StatusCode, header};
use tonic::body::Body;

use crate::origins::Origins;
use crate::problem::Problem;

/// The verbs of a path: said to whoever asks for them (OPTIONS), and to whoever asked with another one as an error.
pub(crate) fn not_allowed(verb: &Method, allow: &str, preflight: bool) -> Result<Response<Body>, Problem> {
    let allowed = HeaderValue::from_str(allow).unwrap_or(HeaderValue::from_static("GET"));
    if verb == Method::OPTIONS {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::NO_CONTENT;
        if preflight {
            answer
                .headers_mut()
                .extend(Origins::allowed(&allowed).map(|(name, value)| (Some(name), value)));
        }
        answer.headers_mut().insert(header::ALLOW, allowed);
        return Ok(answer);
    }
    let mut problem = Problem::plain(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{verb} is not done here; {allow} are"),
    );
    problem.headers.insert(header::ALLOW, allowed);
    Err(problem)
}
