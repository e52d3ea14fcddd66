//! A service's frame: server, transport, deadlines, health, shutdown.
