//! What a keeper says: a tag, a big-endian length, a payload.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Larger frames are not sent by any keeper.
const MAX_FRAME: usize = 1 << 20;

/// One message of a keeper.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// The attempt begins; its process group, to be killed when the keeper is lost.
    Started(i32),
    /// The attempt's process ended before the attempt had begun; the last frame.
    NotBegun,
    /// How the attempt's process ended, as JSON. What it left behind goes on until `K`.
    Ended(String),
    /// The same once nothing of the attempt is left; its last frame.
    Exit(String),
    /// The attempt has ended and its process can serve another one; the attempt's last frame.
    Done,
    /// A loss that is not the task's fault; the last frame.
    Lost(String),
}

/// Reads frames. [`FrameReader::next`] may be dropped at any point and called again.
pub(crate) struct FrameReader<R> {
    reader: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: BytesMut::with_capacity(4096),
        }
    }

    /// The next frame; nothing when the stream has ended or makes no sense.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.parse()? {
                return Some(frame);
            }
            if self.reader.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// `None`: nonsense. `Some(None)`: more bytes are needed.
    fn parse(&mut self) -> Option<Option<Frame>> {
        let Some(header) = self.buffer.first_chunk::<5>() else {
            return Some(None);
        };
        let [tag, length @ ..] = *header;
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        if length > MAX_FRAME {
            return None;
        }
        if self.buffer.len() < 5 + length {
            return Some(None);
        }
        self.buffer.advance(5);
        let payload = self.buffer.split_to(length);
        let text = || String::from_utf8_lossy(&payload).into_owned();
        match tag {
            b'P' => Some(Some(Frame::Started(text().parse().ok()?))),
            b'E' => Some(Some(Frame::Ended(text()))),
            b'X' => Some(Some(Frame::Exit(text()))),
            b'U' => Some(Some(Frame::NotBegun)),
            b'D' => Some(Some(Frame::Done)),
            b'L' => Some(Some(Frame::Lost(text()))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_survive_any_cut_and_nonsense_ends_them() {
        let bytes: &[u8] = b"P\0\0\0\x03123X\0\0\0\x02{}Q\0\0\0\0";
        for size in 1..bytes.len() {
            let mut mock = tokio::io::join(Pieces(bytes, size), tokio::io::sink());
            let mut frames = FrameReader::new(&mut mock);
            assert_eq!(frames.next().await, Some(Frame::Started(123)));
            assert_eq!(frames.next().await, Some(Frame::Exit("{}".to_owned())));
            assert_eq!(frames.next().await, None);
        }
    }

    /// Gives at most so many bytes at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            buffer: &mut tokio::io::ReadBuf<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            let count = self.1.min(self.0.len());
            let (now, later) = self.0.split_at(count);
            buffer.put_slice(now);
            self.0 = later;
            std::task::Poll::Ready(Ok(()))
        }
    }
}
