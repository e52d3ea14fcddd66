//! The page for operators, over plain HTTP: `/metrics` for Prometheus, `/healthz` (the process lives) and `/readyz` (it
//! can serve, or why not).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::PrometheusHandle;
use metrics_process::Collector;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Readers at a time; more wait in the listener's queue.
const READERS: usize = 32;
/// How long a connection may take to send its request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long a connection may be open.
const CONNECTION_LIMIT: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(200);

/// Tells whether the process can serve: a JSON object with the roles, and the verdict.
pub type Probe = Arc<dyn Fn() -> (bool, serde_json::Value) + Send + Sync>;

pub(crate) struct Page {
    pub(crate) metrics: PrometheusHandle,
    pub(crate) process: Collector,
    pub(crate) probe: Option<Probe>,
}

/// Serves until the process ends.
pub(crate) async fn serve(listener: std::net::TcpListener, page: Page) -> std::io::Result<Infallible> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let page = Arc::new(page);
    let readers = Arc::new(Semaphore::new(READERS));
    loop {
        // Never closed, so a permit always comes.
        let permit = Arc::clone(&readers).acquire_owned().await;
        match listener.accept().await {
            Ok((socket, _)) => {
                let page = Arc::clone(&page);
                tokio::spawn(async move {
                    drop(tokio::time::timeout(CONNECTION_LIMIT, answer(socket, page)).await);
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of metrics could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(socket: TcpStream, page: Arc<Page>) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let answer = page.answer(&request);
        async move { Ok::<_, Infallible>(answer) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_LIMIT)
        .serve_connection(TokioIo::new(socket), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a reader of metrics went away");
    }
}

impl Page {
    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n".to_owned());
        }
        match request.uri().path() {
            "/metrics" | "/" => {
                self.process.collect();
                text(StatusCode::OK, self.metrics.render())
            }
            "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
            "/readyz" => {
                let (ready, roles) = match &self.probe {
                    Some(probe) => probe(),
                    None => (true, serde_json::json!({})),
                };
                let status = if ready {
                    StatusCode::OK
                } else {
                    StatusCode::SERVICE_UNAVAILABLE
                };
                text(
                    status,
                    format!("{}\n", serde_json::json!({"ready": ready, "roles": roles})),
                )
            }
            _ => text(StatusCode::NOT_FOUND, "/metrics, /healthz or /readyz\n".to_owned()),
        }
    }
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

/// Listens at once, so that an address that is taken is told at the start.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    std::net::TcpListener::bind(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ready: bool) -> Page {
        Page {
            metrics: metrics_exporter_prometheus::PrometheusBuilder::new()
                .build_recorder()
                .handle(),
            process: Collector::default(),
            probe: Some(Arc::new(move || (ready, serde_json::json!({"worker": "ready"})))),
        }
    }

    fn status(page: &Page, method: Method, path: &str) -> StatusCode {
        let request = Request::builder().method(method).uri(path).body(()).expect("request");
        page.answer(&request).status()
    }

    #[test]
    fn a_process_that_is_not_ready_lives_all_the_same() {
        let (ready, waiting) = (page(true), page(false));
        assert_eq!(status(&ready, Method::GET, "/readyz"), StatusCode::OK);
        assert_eq!(
            status(&waiting, Method::GET, "/readyz"),
            StatusCode::SERVICE_UNAVAILABLE
        );
        assert_eq!(status(&waiting, Method::GET, "/healthz"), StatusCode::OK);
        assert_eq!(status(&waiting, Method::GET, "/metrics"), StatusCode::OK);
        assert_eq!(status(&ready, Method::GET, "/other"), StatusCode::NOT_FOUND);
        assert_eq!(status(&ready, Method::POST, "/metrics"), StatusCode::METHOD_NOT_ALLOWED);
    }
}
