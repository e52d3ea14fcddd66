//! The dispatch port and its in-process adapter.
