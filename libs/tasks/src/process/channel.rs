//! The three descriptors between the worker and a keeper.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;

use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;

use super::Attempt;

/// The keeper's ends.
pub(crate) struct KeeperEnds {
    pub(crate) socket: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// Makes the descriptors of an attempt. All are closed on exec, so that no other child holds them open.
pub(crate) fn open() -> io::Result<(Attempt, KeeperEnds)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (out_read, out_write) = io::pipe()?;
    let (err_read, err_write) = io::pipe()?;
    let attempt = Attempt {
        socket: UnixStream::from_std(ours)?,
        stdout: Receiver::from_owned_fd(out_read.into())?,
        stderr: Receiver::from_owned_fd(err_read.into())?,
    };
    let keeper = KeeperEnds {
        socket: theirs.into(),
        stdout: out_write.into(),
        stderr: err_write.into(),
    };
    Ok((attempt, keeper))
}
