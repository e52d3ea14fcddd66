//! REST over the contracts, on the port of gRPC. There is no handler per endpoint: one transcoder serves every method that
//! has a `google.api.http` annotation, from the descriptors that the build makes.
//!
//! Pure: [`catalog`] (what is served), [`template`] (paths), [`json`] (messages as JSON), [`query`], [`request`] (a
//! request's message), [`respond`], [`problem`] (errors), [`origins`] (from where one may ask), `cookie` (sessions of
//! browsers), [`openapi`]. At the edge: [`call`]
//! (calls of any method by its bytes), [`forward`] (gRPC for other processes), `once` (calls that have a name),
//! [`serve`] (a request from its arrival to its answer), [`stream`].

pub mod accept;
mod body;
pub mod call;
pub mod catalog;
mod compress;
mod cookie;
pub mod forward;
pub mod json;
mod limits;
mod mask;
mod near;
mod once;
pub mod openapi;
pub mod origins;
mod pages;
pub mod problem;
pub mod query;
pub mod request;
pub mod respond;
pub mod serve;
pub mod stream;
pub mod template;
mod verbs;
pub mod wait;

pub use catalog::CatalogError;
pub use origins::Origins;
pub use serve::{Gateway, Options, Ways};

/// Describes the metrics; to be called once at the start.
pub fn describe_metrics() {
    serve::describe();
}
