//! `nexus api`: any call of REST, made by the same transcoder that the gateway is, over the ways that all commands use. So it
//! needs no gateway, and knows certificates and namespaces as the other commands do.

use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use nexus_cli_frame::{CliError, Exit, Output, Target, files};
use nexus_gateway::{Gateway, Options};
use nexus_mesh::health::Readiness;
use tonic::body::Body;
use tower::ServiceExt;

use super::args::ApiArgs;

pub(super) async fn run(args: &ApiArgs, target: &Target, output: &Output) -> Result<Exit, CliError> {
    let (definitions, executions) = target.ways()?;
    let ways = vec![
        ("nexus.access.", executions.clone()),
        ("nexus.audit.", executions.clone()),
        ("nexus.definitions.", definitions),
        ("nexus.execution.", executions.clone()),
        ("nexus.worker.", executions),
    ];
    let gateway = Gateway::new(ways, Options::default(), Readiness::default());
    let gateway = gateway.map_err(|error| CliError::Other(error.to_string()))?;
    let answer = match gateway.http().answers.oneshot(request(args)?).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    };
    let unknown = answer.status() == StatusCode::UNAUTHORIZED;
    let shown = show(args, answer, output).await;
    if unknown {
        eprintln!("hint: {}", target.advice());
    }
    shown
}

/// The request that was typed.
fn request(args: &ApiArgs) -> Result<Request<Body>, CliError> {
    let wrong = |problem: String| CliError::Usage(problem);
    let path = match args.path.strip_prefix('/') {
        Some(_) => args.path.clone(),
        None => format!("/{}", args.path),
    };
    let body = args.data.as_deref().map(data).transpose()?;
    let verb = args.verb.to_ascii_uppercase();
    let request = Request::builder()
        .method(verb.as_str())
        .uri(&path)
        .header(HOST, "localhost");
    let body_given = body.is_some();
    let body = Body::new(http_body_util::Full::from(body.unwrap_or_default()));
    let request = request.body(body);
    let mut request = request.map_err(|error| wrong(format!("{verb} {path} is no request: {error}")))?;
    if body_given {
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for header in &args.headers {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| wrong(format!("{header:?} is no header; write it as NAME: VALUE")))?;
        let name = HeaderName::try_from(name.trim()).map_err(|error| wrong(format!("{name:?}: {error}")))?;
        let value = HeaderValue::try_from(value.trim()).map_err(|error| wrong(format!("{name}: {error}")))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// A body: the text itself, or with @ that of a file, `-` for stdin.
fn data(text: &str) -> Result<String, CliError> {
    match text.strip_prefix('@') {
        None => Ok(text.to_owned()),
        Some(path) => files::read(path.as_ref()).map(|source| source.text),
    }
}

/// Shows an answer as it comes: what was asked for on stdout, a problem on stderr.
async fn show(args: &ApiArgs, answer: Response<Body>, output: &Output) -> Result<Exit, CliError> {
    let status = answer.status();
    if args.include {
        eprintln!("{status}");
        for (name, value) in answer.headers() {
            eprintln!("{name}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    let good = status.is_success() || status.is_redirection();
    let mut body = answer.into_body();
    let mut told = String::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|status| CliError::Other(format!("the answer broke off: {status}")))?;
        let Ok(bytes) = frame.into_data() else { continue };
        let text = String::from_utf8_lossy(&bytes);
        match good {
            true => output.raw(&text)?,
            false => told.push_str(&text),
        }
    }
    if good {
        return Ok(Exit::Ok);
    }
    eprint!("{told}");
    Ok(exit(status, &told))
}

/// The exit code that other commands have for the same.
fn exit(status: StatusCode, problem: &str) -> Exit {
    let problem: serde_json::Value = serde_json::from_str(problem).unwrap_or_default();
    match (status, problem["reason"].as_str()) {
        (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => Exit::Denied,
        (StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT, _) => Exit::Unavailable,
        (_, Some("INVALID_WORKFLOW" | "INVALID_PARAMS")) => Exit::Invalid,
        _ => Exit::Error,
    }
}
