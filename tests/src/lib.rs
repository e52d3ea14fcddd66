//! End-to-end tests over real sockets, and faults by really killing things.
