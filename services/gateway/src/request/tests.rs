//! Requests that are messages, and requests that are none.
