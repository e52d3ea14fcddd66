//! Calls that their callers gave a name (`Idempotency-Key`) and that have no place for it in their message: the name is
//! reserved before the call is made, and its answer kept for a day, so that a repetition gets it and does nothing again
//! (draft-ietf-httpapi-idempotency-key-header). The name itself is not kept: what is kept is known by a digest of it and
//! encrypted with a key made from it.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use nexus_api::ErrorReason;
use nexus_api::access::v1::begin_call_response::State;
use nexus_api::access::v1::calls_service_client::CallsServiceClient;
use nexus_api::access::v1::{BeginCallRequest, BeginCallResponse, FinishCallRequest};
use nexus_api::error::ApiError;
use nexus_api::namespace;
use nexus_mesh::Transport;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hmac};
use tonic::{Code, Status};

use crate::call::{self, Call};
use crate::problem::Problem;

/// Tells the uses of one name apart.
const FOR_KEY: &[u8] = b"nexus call: known by";
const FOR_ANSWER: &[u8] = b"nexus call: answer";
const FOR_REQUEST: &[u8] = b"nexus call: request";

/// A call that has a name.
pub(crate) struct Once {
    way: Transport,
    subject: String,
    key: Vec<u8>,
    fingerprint: Vec<u8>,
    owner: String,
    secret: [u8; digest::SHA256_OUTPUT_LEN],
}

impl Once {
    /// A call of somebody, by the name that they gave it, and what makes it another call than one of the same name.
    ///
    /// # Errors
    /// When nobody remembers it, or there are no random numbers.
    pub(crate) fn new(way: Option<Transport>, call: &Call, name: &str, request: &[&[u8]]) -> Result<Self, Problem> {
        let way = way.ok_or_else(|| {
            let problem = "is not known here: this gateway has no access service (access.address) that remembers it; leave it out";
            Problem::field("Idempotency-Key", problem)
        })?;
        let subject = call
            .caller
            .as_ref()
            .map_or("anybody", |caller| caller.subject())
            .to_owned();
        let namespace = call.metadata.get(namespace::METADATA);
        let namespace = namespace.map_or(b"".as_slice(), |namespace| namespace.as_bytes());
        let whole = [subject.as_bytes(), namespace, call.path.as_bytes(), name.as_bytes()];
        let secret = of_parts(&hmac::Key::new(hmac::HMAC_SHA256, FOR_ANSWER), &whole);
        let made_of = |purpose: &[u8], parts: &[&[u8]]| {
            let mut all = vec![purpose];
            all.extend(parts);
            of_parts(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &all).to_vec()
        };
        let mut owner = [0; 16];
        getrandom::fill(&mut owner).map_err(|error| no_randomness(&error))?;
        Ok(Self {
            way,
            subject,
            key: made_of(FOR_KEY, &[]),
            fingerprint: made_of(FOR_REQUEST, request),
            owner: owner.iter().map(|byte| format!("{byte:02x}")).collect(),
            secret,
        })
    }

    /// Makes the call, or gives the answer that it had. It goes on to its end when whoever asked goes away: else nobody would know
    /// how it ended.
    ///
    /// # Errors
    /// What the service answers; ABORTED while it is not known how a call of this name ended.
    pub(crate) async fn run(
        self,
        call: Call,
        message: DynamicMessage,
        answer: MessageDescriptor,
    ) -> Result<DynamicMessage, Status> {
        let running = async move {
            let known = self.begin().await?;
            match known.state() {
                State::Done => return call::read(answer, self.open(&known.answer)?),
                State::Begun => {}
                other => return Err(in_the_way(other, &known)),
            }
            let answered = call.unary(&message, answer).await;
            match &answered {
                Ok(answer) => self.finish(self.seal(&answer.encode_to_vec())?).await,
                Err(status) if did_nothing(status) => self.finish(Vec::new()).await,
                Err(_) => {}
            }
            answered
        };
        let ended = tokio::spawn(running).await;
        ended.map_err(|_| Status::internal("the call has come to no end"))?
    }

    async fn begin(&self) -> Result<BeginCallResponse, Status> {
        let request = BeginCallRequest {
            key: self.key.clone(),
            fingerprint: self.fingerprint.clone(),
            owner: self.owner.clone(),
            subject: self.subject.clone(),
        };
        let mut calls = CallsServiceClient::new(self.way.clone());
        Ok(calls.begin_call(request).await?.into_inner())
    }

    /// What was done is done when it cannot be noted; whoever repeats it hears that its end is not known.
    async fn finish(&self, answer: Vec<u8>) {
        let request = FinishCallRequest {
            key: self.key.clone(),
            owner: self.owner.clone(),
            answer,
        };
        let mut calls = CallsServiceClient::new(self.way.clone());
        if let Err(status) = calls.finish_call(request).await {
            tracing::warn!(%status, "the answer of a call with an Idempotency-Key is not noted");
        }
    }

    fn aead(&self) -> Result<LessSafeKey, Status> {
        let key = UnboundKey::new(&AES_256_GCM, &self.secret).map_err(|_| Status::internal("no key"))?;
        Ok(LessSafeKey::new(key))
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Status> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| Status::internal(error.to_string()))?;
        let mut text = plain.to_vec();
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .aead()?
            .seal_in_place_append_tag(unique, Aad::from(&self.key), &mut text);
        sealed.map_err(|_| Status::internal("the answer cannot be kept"))?;
        Ok([nonce.as_slice(), &text].concat())
    }

    fn open(&self, sealed: &[u8]) -> Result<Bytes, Status> {
        let unfit = || Status::data_loss("the answer that is kept for this Idempotency-Key is not the one that was");
        let (nonce, text) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(unfit)?;
        let mut text = text.to_vec();
        let unique = Nonce::assume_unique_for_key(*nonce);
        let plain = self.aead()?.open_in_place(unique, Aad::from(&self.key), &mut text);
        Ok(Bytes::copy_from_slice(plain.map_err(|_| unfit())?))
    }
}

/// A digest of parts, none of which can run into the next.
fn of_parts(key: &hmac::Key, parts: &[&[u8]]) -> [u8; digest::SHA256_OUTPUT_LEN] {
    let mut digest = hmac::Context::with_key(key);
    for part in parts {
        digest.update(&(part.len() as u64).to_be_bytes());
        digest.update(part);
    }
    let mut bytes = [0; digest::SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(digest.sign().as_ref());
    bytes
}

/// What else of the headers makes a call another one.
pub(crate) fn conditions(headers: &HeaderMap) -> Vec<u8> {
    let of = |name| headers.get(name).map_or(b"".as_slice(), HeaderValue::as_bytes);
    [of(header::IF_MATCH), b"\n", of(header::CONTENT_TYPE)].concat()
}

/// Whether an error says that nothing was changed.
fn did_nothing(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unauthenticated
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::OutOfRange
            | Code::Unimplemented
            | Code::Aborted
    )
}

/// A call of the name is in the way of this one.
fn in_the_way(state: State, known: &BeginCallResponse) -> Status {
    if state == State::OtherRequest {
        let message = "the Idempotency-Key was used for another call; choose a new one";
        let error = ApiError::new(ErrorReason::RequestIdReused, message);
        return error
            .violation("Idempotency-Key", "was used before with another body")
            .into();
    }
    let since = known.begin_time.map_or_else(String::new, |time| format!(" at {time}"));
    let message = format!(
        "a call with this Idempotency-Key was begun{since}, and how it ended is not known (yet): look whether it was done before you \
         call with another key"
    );
    ApiError::new(ErrorReason::RequestOutcomeUnknown, message).into()
}

fn no_randomness(error: &getrandom::Error) -> Problem {
    tracing::error!(%error, "there are no random numbers");
    Problem::of(
        StatusCode::INTERNAL_SERVER_ERROR,
        ErrorReason::Internal,
        "the call cannot be remembered; see the gateway's log",
    )
}
