//! Makes one HTTP request.
//!
//! Decisions: every unexpected status fails with the type `HttpStatus.<code>` and may be retried by the task's policy
//! (`non_retryable_errors: [HttpStatus.404]` stops that); `Retry-After` of 429 and 503 replaces the computed backoff.
//! A request that breaks off without an answer may be retried, with the same `idempotency-key`; an answer that breaks off
//! after the expected status may not when its method is not idempotent (POST, PATCH): the request has taken effect.
//! `traceparent` is sent always, `idempotency-key` with methods that change something; headers that the task sets itself
//! win. Environment proxies are not used, since they would go around the address guard.

mod egress;
mod failure;
mod redirect;
mod request;
mod response;

use std::time::Instant;

use reqwest::Response;
use url::Url;

use crate::input;
use nexus_attempt::{Failure, RunContext};

pub(crate) use egress::Egress;

const DEFAULT_MAX_SIZE: u64 = 1 << 20;

pub(crate) async fn run(fields: input::Http, ctx: &RunContext, egress: &Egress) -> Result<String, Failure> {
    let max_size = match &fields.max_size {
        None => DEFAULT_MAX_SIZE,
        Some(text) => nexus_attempt::parse_size(text)
            .ok_or_else(|| Failure::invalid(format!("`max_size` must be a size such as 1MiB, not `{text}`")))?,
    };
    let expected = response::Expected::parse(&fields.expect)?;
    let prepared = request::prepare(&fields, ctx)?;
    ctx.gate.pass().await;
    let started = Instant::now();
    let Exchanged { response, url, effect } = exchange(prepared, fields.redirects.unwrap_or(0), egress).await?;
    let status = response.status().as_u16();
    let line = format!(
        "{} answered {status} after {} ms",
        plain(&url),
        started.elapsed().as_millis()
    );
    ctx.logs.system(&ctx.redactor, &line).await;
    response::read(response, &expected, max_size, effect, jiff::Timestamp::now()).await
}

/// An answer.
struct Exchanged {
    response: Response,
    url: Url,
    /// True when the request must not be repeated once it was answered well.
    effect: bool,
}

/// True for a method whose repetition may do its work twice.
fn changes(method: &reqwest::Method) -> bool {
    use reqwest::Method;
    ![
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::TRACE,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
}

/// Sends the request and follows as many redirects as are allowed, each checked like the first address.
async fn exchange(mut request: request::Prepared, redirects: u8, egress: &Egress) -> Result<Exchanged, Failure> {
    let mut left = redirects;
    // A POST that was answered with the address of its result has taken effect: what follows only reads.
    let mut done = false;
    loop {
        let response = send(&request, egress)
            .await
            .map_err(|failure| failure::after(failure, done))?;
        let location = response
            .headers()
            .get(reqwest::header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let next = redirect::next(&request, response.status(), location)
            .map_err(|failure| failure::after(failure, done || changes(&request.method)))?;
        match next {
            Some(_) if left == 0 && redirects > 0 => {
                let message = format!(
                    "more than {redirects} redirects, the last one from {}",
                    plain(&request.url)
                );
                return Err(Failure::new("TooManyRedirects", message).final_());
            }
            Some(next) if left > 0 => {
                left -= 1;
                done |= changes(&request.method) && !changes(&next.method);
                request = next;
            }
            _ => {
                let effect = done || changes(&request.method);
                let url = request.url;
                return Ok(Exchanged { response, url, effect });
            }
        }
    }
}

async fn send(request: &request::Prepared, egress: &Egress) -> Result<Response, Failure> {
    egress.check(&request.url)?;
    let sent = egress
        .client()?
        .request(request.method.clone(), request.url.clone())
        .headers(request.headers.clone())
        .body(request.body.clone())
        .send();
    sent.await.map_err(|error| failure::of(&error, &request.url))
}

/// An address as it may be shown: without user, password, query and fragment.
fn plain(url: &Url) -> String {
    let mut url = url.clone();
    let _unchanged = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
