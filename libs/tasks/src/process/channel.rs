//! The descriptors between the worker, a keeper and a task.

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream as StdUnixStream;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, recv, sendmsg};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::net::unix::pipe::Receiver;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::frames::FrameReader;

/// The worker's ends of an attempt's descriptors.
pub(crate) struct Attempt {
    pub(crate) socket: UnixStream,
    pub(crate) stdout: Receiver,
    pub(crate) stderr: Receiver,
}

/// The other ends.
pub(crate) struct KeeperEnds {
    pub(crate) socket: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The way to a keeper. Dropping it makes the keeper kill everything and end.
pub(crate) struct Link {
    pub(crate) frames: FrameReader<OwnedReadHalf>,
    pub(crate) write: OwnedWriteHalf,
}

impl Link {
    pub(crate) fn new(socket: UnixStream) -> Self {
        let (read, write) = socket.into_split();
        Self {
            frames: FrameReader::new(read),
            write,
        }
    }

    /// Hands an attempt's descriptors to the keeper.
    pub(crate) async fn hand_over(&self, mode: u8, ends: &KeeperEnds) -> io::Result<()> {
        let fds = [
            ends.socket.as_raw_fd(),
            ends.stdout.as_raw_fd(),
            ends.stderr.as_raw_fd(),
        ];
        send(self.write.as_ref(), mode, &fds).await
    }

    /// True when the keeper has not ended and has nothing to say, as it is between attempts.
    pub(crate) fn rests(&self) -> bool {
        let socket: &UnixStream = self.write.as_ref();
        let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        matches!(recv(socket.as_raw_fd(), &mut [0], peek), Err(nix::errno::Errno::EAGAIN))
    }
}

/// Sends one byte and descriptors with it.
pub(crate) async fn send(socket: &UnixStream, byte: u8, fds: &[RawFd]) -> io::Result<()> {
    let send = || {
        sendmsg::<UnixAddr>(
            socket.as_raw_fd(),
            &[IoSlice::new(&[byte])],
            &[ControlMessage::ScmRights(fds)],
            MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT,
            None,
        )
        .map_err(io::Error::from)
    };
    socket.async_io(Interest::WRITABLE, send).await.map(|_| ())
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
