//! Ports that stay a node's own while it is dead.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

use crate::{Error, system};

/// Below the ports that the system gives to outgoing connections: one of those might take a dead node's port, or even be
/// connected to itself.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port of the loopback that nobody listens on, and that this process gives out once.
pub(crate) fn free() -> Result<u16, Error> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Meshes of several processes at once begin at different places.
    let start = std::process::id().wrapping_mul(997) % u32::from(COUNT);
    let start = u16::try_from(start).unwrap_or(0);
    for _ in 0..COUNT {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(system("looking for a free port")(std::io::ErrorKind::AddrInUse.into()))
}
