//! REST, over real sockets: what README.md shows with `curl`, and what every call has in common.

mod cookies;
mod journey;
mod limits;
mod meanings;
mod port;
mod repeating;
