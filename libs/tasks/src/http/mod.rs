//! Makes one HTTP request.
//!
//! Decisions: every unexpected status fails with the type `HttpStatus.<code>` and may be retried by the task's policy
//! (`non_retryable_errors: [HttpStatus.404]` stops that); `Retry-After` of 429 and 503 replaces the computed backoff.
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
use crate::outcome::Failure;
use crate::runner::RunContext;

pub(crate) use egress::{Egress, is_public};

const DEFAULT_MAX_SIZE: u64 = 1 << 20;

pub(crate) async fn run(fields: input::Http, ctx: &RunContext, egress: &Egress) -> Result<String, Failure> {
    let max_size = match &fields.max_size {
        None => DEFAULT_MAX_SIZE,
        Some(text) => crate::size::parse_size(text)
            .ok_or_else(|| Failure::invalid(format!("`max_size` must be a size such as 1MiB, not `{text}`")))?,
    };
    let expected = response::Expected::parse(&fields.expect)?;
    let prepared = request::prepare(&fields, ctx)?;
    let started = Instant::now();
    let (response, url) = exchange(prepared, fields.redirects.unwrap_or(0), egress).await?;
    let status = response.status().as_u16();
    let line = format!(
        "{} answered {status} after {} ms",
        plain(&url),
        started.elapsed().as_millis()
    );
    ctx.logs.system(&ctx.redactor, &line).await;
    response::read(response, &expected, max_size, jiff::Timestamp::now()).await
}

/// Sends the request and follows as many redirects as are allowed, each checked like the first address.
async fn exchange(mut request: request::Prepared, redirects: u8, egress: &Egress) -> Result<(Response, Url), Failure> {
    let mut left = redirects;
    loop {
        egress.check(&request.url)?;
        let client = egress.client()?;
        let response = client
            .request(request.method.clone(), request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await
            .map_err(|error| failure::of(&error, &request.url))?;
        let location = response
            .headers()
            .get(reqwest::header::LOCATION)
            .and_then(|value| value.to_str().ok());
        let next = redirect::next(&request, response.status(), location)?;
        match next {
            Some(_) if left == 0 && redirects > 0 => {
                let message = format!(
                    "more than {redirects} redirects, the last one from {}",
                    plain(&request.url)
                );
                return Err(Failure::new("TooManyRedirects", message));
            }
            Some(next) if left > 0 => {
                left -= 1;
                request = next;
            }
            _ => return Ok((response, request.url)),
        }
    }
}

/// An address as it may be shown: without user, password, query and fragment.
fn plain(url: &Url) -> String {
    let mut url = url.clone();
    let _unchanged = (url.set_username(""), url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}
