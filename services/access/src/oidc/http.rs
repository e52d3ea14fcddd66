//! Requests to the provider: bounded in time and size, and to where the configuration or the provider's description says,
//! never elsewhere.

use std::sync::OnceLock;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::de::DeserializeOwned;

/// How long a connection may take, and an answer with it.
const CONNECT: Duration = Duration::from_secs(3);
const ANSWER: Duration = Duration::from_secs(5);
/// Bytes of an answer at most.
const MAX_ANSWER: usize = 1 << 20;

/// The provider did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no request can be made: {0}")]
    Client(String),
    #[error("{0}")]
    Request(#[from] reqwest::Error),
    #[error("it did not answer a moment ago, and is not asked again yet")]
    Lately,
    #[error("its answer has the status {0}")]
    Status(u16),
    #[error("its answer has more than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("its answer cannot be read: {0}")]
    Form(#[from] serde_json::Error),
}

/// Makes requests.
#[derive(Debug, Default)]
pub(super) struct Http {
    /// Built with the first request: reading the system's certificates takes time.
    client: OnceLock<Result<reqwest::Client, String>>,
}

impl Http {
    fn client(&self) -> Result<&reqwest::Client, HttpError> {
        let built = self.client.get_or_init(|| {
            // Another part of the process may have chosen a provider already; then that one serves.
            let _installed = rustls::crypto::ring::default_provider().install_default();
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT)
                .timeout(ANSWER)
                .user_agent(concat!("nexus/", env!("CARGO_PKG_VERSION")))
                .build()
                .map_err(|error| error.to_string())
        });
        built.as_ref().map_err(|error| HttpError::Client(error.clone()))
    }

    /// What stands at an address, as JSON; for who has a token, where one is needed.
    pub(super) async fn get<T: DeserializeOwned>(&self, url: &str, token: Option<&str>) -> Result<T, HttpError> {
        let mut request = self.client()?.get(url).header("accept", "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await?;
        if !answer.status().is_success() {
            return Err(HttpError::Status(answer.status().as_u16()));
        }
        Ok(serde_json::from_slice(&body(answer).await?)?)
    }

    /// Makes a request that the OAuth library has put together.
    async fn send(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse, HttpError> {
        let answer = self.client()?.execute(request.try_into()?).await?;
        let mut response = oauth2::HttpResponse::default();
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = body(answer).await?;
        Ok(response)
    }
}

impl<'c> oauth2::AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = BoxFuture<'c, Result<oauth2::HttpResponse, HttpError>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        self.send(request).boxed()
    }
}

async fn body(mut answer: reqwest::Response) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
