//! The port that a browser is sent back to after a login (RFC 8252): on this machine only, for one answer, for a while.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nexus_cli_frame::CliError;
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PATH: &str = "/callback";
/// Connections at a time: browsers open some in advance.
const MOST_CONNECTIONS: usize = 16;
/// A connection ends after so long, so that idle ones cannot stand in the way.
const LONGEST_CONNECTION: Duration = Duration::from_secs(10);

/// A port that listens.
pub(super) struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
}

/// What a request to it says.
#[derive(Debug)]
enum Answer {
    /// The provider agrees.
    Code(SecretString),
    /// The provider does not.
    Refused(String),
    /// It is about something else, or about another login.
    Other,
}

impl Loopback {
    pub(super) async fn open() -> Result<Self, CliError> {
        let failed = |error: std::io::Error| CliError::Other(format!("no port can be listened on: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(super) fn redirect_uri(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Waits for the code that belongs to a state. Requests with another state are refused and do not end the wait: any
    /// program on this machine can make them.
    pub(super) async fn code(self, state: &str, within: Duration) -> Result<SecretString, CliError> {
        let state: Arc<str> = Arc::from(state);
        let (sender, mut answers) = mpsc::channel(MOST_CONNECTIONS);
        let mut connections = JoinSet::new();
        let accept = async {
            loop {
                while connections.len() >= MOST_CONNECTIONS {
                    connections.join_next().await;
                }
                match self.listener.accept().await {
                    Ok((stream, _)) => {
                        connections.spawn(serve(stream, Arc::clone(&state), sender.clone()));
                    }
                    // What fails is one connection, or all for a moment.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        };
        let answer = tokio::select! {
            answer = answers.recv() => answer,
            () = tokio::time::sleep(within) => None,
            () = accept => None,
        };
        let told = match answer {
            Some(Answer::Code(code)) => Ok(code),
            Some(Answer::Refused(problem)) => {
                Err(CliError::Denied(format!("the provider refused the login: {problem}")))
            }
            Some(Answer::Other) | None => Err(CliError::Other(format!(
                "nobody came back from the provider's page within {} minutes; `nexus login --oidc` begins anew",
                within.as_secs() / 60
            ))),
        };
        // The page that says so is still on its way to the browser.
        let _told = tokio::time::timeout(Duration::from_secs(1), async {
            while connections.join_next().await.is_some() {}
        })
        .await;
        told
    }
}

async fn serve(stream: TcpStream, state: Arc<str>, answers: mpsc::Sender<Answer>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = read(request.method(), request.uri(), &state);
        let answers = answers.clone();
        async move {
            let page = page(&answer);
            if !matches!(answer, Answer::Other) {
                // Nobody waits any more when another answer came first.
                let _heard = answers.try_send(answer);
            }
            Ok::<_, Infallible>(page)
        }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // What a broken connection asked for, another one asks again.
    let _served = tokio::time::timeout(LONGEST_CONNECTION, connection).await;
}

/// Reads a request. Pure.
fn read(method: &Method, uri: &Uri, state: &str) -> Answer {
    if method != Method::GET || uri.path() != PATH {
        return Answer::Other;
    }
    let (mut code, mut given, mut error, mut description) = (None, None, None, None);
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        let place = match name.as_ref() {
            "code" => &mut code,
            "state" => &mut given,
            "error" => &mut error,
            "error_description" => &mut description,
            _ => continue,
        };
        // Twice is something that no provider says.
        if place.replace(value.into_owned()).is_some() {
            return Answer::Other;
        }
    }
    if given.as_deref() != Some(state) {
        return Answer::Other;
    }
    match (code.filter(|code| !code.is_empty()), error) {
        (_, Some(error)) => {
            let told = description.map_or_else(|| error.clone(), |description| format!("{error}: {description}"));
            // It goes to a terminal.
            Answer::Refused(told.chars().filter(|letter| !letter.is_control()).take(300).collect())
        }
        (Some(code), None) => Answer::Code(SecretString::from(code)),
        (None, None) => Answer::Other,
    }
}

/// What the browser shows: nothing of what it was asked with.
fn page(answer: &Answer) -> Response<Full<Bytes>> {
    let (status, text) = match answer {
        Answer::Code(_) => (
            StatusCode::OK,
            "The command goes on in the terminal. This window can be closed.",
        ),
        Answer::Refused(_) => (
            StatusCode::OK,
            "The provider refused the login; the terminal says why. This window can be closed.",
        ),
        Answer::Other => (
            StatusCode::BAD_REQUEST,
            "This does not belong to a login that goes on here.",
        ),
    };
    let page = format!("<!doctype html><html lang=\"en\"><title>NEXUS</title><p>{text}</p></html>\n");
    let mut response = Response::new(Full::from(page));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'"),
        (REFERRER_POLICY, "no-referrer"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn told(target: &str) -> Answer {
        read(&Method::GET, &target.parse().expect(target), "s t")
    }

    #[test]
    fn only_the_answer_to_this_login_is_taken() {
        assert!(matches!(told("/callback?state=s%20t&code=c"), Answer::Code(code) if code.expose_secret() == "c"));
        let refused = told("/callback?state=s+t&error=access_denied&error_description=no%1b%5b31m");
        assert!(matches!(refused, Answer::Refused(problem) if problem == "access_denied: no[31m"));
        for other in [
            "/callback?code=c",
            "/callback?state=x&code=c",
            "/callback?state=&code=c",
            "/callback?state=s%20t",
            "/callback?state=s%20t&code=",
            "/callback?state=x&error=access_denied",
            "/callback?state=s%20t&state=x&code=c",
            "/?state=s%20t&code=c",
            "/favicon.ico",
        ] {
            assert!(matches!(told(other), Answer::Other), "{other}");
        }
        let posted = read(
            &Method::POST,
            &"/callback?state=s%20t&code=c".parse().expect("uri"),
            "s t",
        );
        assert!(matches!(posted, Answer::Other));
    }

    async fn ask(address: SocketAddr, target: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("connect");
        let request = format!("GET {target} HTTP/1.1\r\nhost: {address}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[tokio::test]
    async fn a_wrong_state_and_idle_connections_do_not_stand_in_the_way() {
        let loopback = Loopback::open().await.expect("port");
        let address = loopback.address;
        assert!(address.ip().is_loopback() && loopback.redirect_uri().ends_with("/callback"));
        let waiting = tokio::spawn(loopback.code("right", Duration::from_secs(60)));
        let _idle = TcpStream::connect(address).await.expect("connect");
        let wrong = ask(address, "/callback?state=wrong&code=evil").await;
        assert!(wrong.starts_with("HTTP/1.1 400") && !wrong.contains("evil"), "{wrong}");
        let right = ask(address, "/callback?state=right&code=good").await;
        assert!(right.starts_with("HTTP/1.1 200") && !right.contains("good"), "{right}");
        assert!(
            right.contains("no-store") && right.contains("default-src 'none'"),
            "{right}"
        );
        let code = waiting.await.expect("task").expect("code");
        assert_eq!(code.expose_secret(), "good");
    }

    #[tokio::test]
    async fn the_wait_has_an_end() {
        let loopback = Loopback::open().await.expect("port");
        let error = loopback
            .code("s", Duration::from_millis(1))
            .await
            .expect_err("nobody came");
        assert!(error.to_string().contains("nexus login --oidc"), "{error}");
    }
}
