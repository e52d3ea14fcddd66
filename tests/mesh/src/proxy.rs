//! A TCP proxy between two processes that can hold bytes back, delay them, and reset connections: a partition without
//! rights over the machine's network. What is held back arrives after the heal, as TCP's repetitions would have it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::{Error, system};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From who connects to who is connected to.
    Forward,
    /// Back.
    Back,
    /// Both.
    Both,
}

#[derive(Debug, Clone, Copy, Default)]
struct Weather {
    forward_cut: bool,
    back_cut: bool,
    delay: Duration,
    /// Connections of an older number are reset.
    storm: u64,
    /// Connections of an older number lead nowhere, and nobody is told.
    age: u64,
    /// Where new connections lead; to a machine that is gone when there is none.
    target: Option<SocketAddr>,
}

/// A proxy on a port of its own; connections end with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    target: SocketAddr,
    weather: watch::Sender<Weather>,
    held: Arc<AtomicU64>,
    opened: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Passes what comes to `port` on to a target.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(port: u16, target: SocketAddr) -> Result<Self, Error> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await;
        let listener = listener.map_err(system(format!("listening on port {port}")))?;
        let weather = watch::Sender::new(Weather {
            target: Some(target),
            ..Weather::default()
        });
        let (held, opened) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let task = tokio::spawn(accept(
            listener,
            weather.clone(),
            Arc::clone(&held),
            Arc::clone(&opened),
        ));
        Ok(Self {
            port,
            target,
            weather,
            held,
            opened,
            task,
        })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds everything back that goes in a direction.
    pub fn cut(&self, direction: Direction) {
        self.weather.send_modify(|weather| {
            weather.forward_cut |= direction != Direction::Back;
            weather.back_cut |= direction != Direction::Forward;
        });
    }

    /// Delays everything, each way.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Resets all connections.
    pub fn reset(&self) {
        self.weather.send_modify(|weather| weather.storm += 1);
    }

    /// Passes everything on again, also what was held back.
    pub fn heal(&self) {
        self.weather.send_modify(|weather| {
            *weather = Weather {
                storm: weather.storm,
                age: weather.age,
                target: weather.target,
                ..Weather::default()
            };
        });
    }

    /// The machine at the other end is gone without a word: nothing is answered on any connection, new ones neither.
    pub fn vanish(&self) {
        self.weather.send_modify(|weather| {
            weather.age += 1;
            weather.target = None;
        });
    }

    /// Lets new connections lead elsewhere: another machine has taken the address over.
    pub fn lead(&self, target: SocketAddr) {
        self.weather.send_modify(|weather| {
            // What was opened to a machine that is gone stays without an answer.
            weather.age += u64::from(weather.target.is_none());
            weather.target = Some(target);
        });
    }

    /// The machine is there again: new connections lead to it. Those from before lead nowhere still, as where so many
    /// packets were dropped that nobody repeats them any more.
    pub fn come_back(&self) {
        self.lead(self.target);
    }

    /// How often bytes were held back by a cut.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// How many connections were opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.reset();
    }
}

async fn accept(listener: TcpListener, weather: watch::Sender<Weather>, held: Arc<AtomicU64>, opened: Arc<AtomicU64>) {
    loop {
        let Ok((near, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        opened.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(pass(near, weather.subscribe(), Arc::clone(&held)));
    }
}

async fn pass(near: TcpStream, weather: watch::Receiver<Weather>, held: Arc<AtomicU64>) {
    let mut storm = weather.clone();
    let Weather {
        storm: number,
        age,
        target,
        ..
    } = *storm.borrow_and_update();
    let Some(target) = target else {
        let _reset = storm.wait_for(|weather| weather.storm != number).await;
        return;
    };
    // Where nobody listens, the caller sees a reset instead of a refusal.
    let Ok(far) = TcpStream::connect(target).await else {
        if let Ok((near, handle)) = split(near) {
            abort(&handle);
            drop(near);
        }
        return;
    };
    let _slower = (near.set_nodelay(true), far.set_nodelay(true));
    let (Ok((near, near_handle)), Ok((far, far_handle))) = (split(near), split(far)) else {
        return;
    };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let way = |direction| Way {
        direction,
        age,
        weather: weather.clone(),
        held: Arc::clone(&held),
    };
    let mut forward = tokio::spawn(copy(near_read, far_write, way(Direction::Forward)));
    let mut back = tokio::spawn(copy(far_read, near_write, way(Direction::Back)));
    let both = async {
        drop((&mut forward).await);
        drop((&mut back).await);
    };
    tokio::select! {
        _ = storm.wait_for(|weather| weather.storm != number) => {}
        () = both => return,
    }
    abort(&near_handle);
    abort(&far_handle);
    forward.abort();
    back.abort();
}

/// A connection, and a second handle of it that options can be set with while it is in use.
fn split(stream: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = stream.into_std()?;
    let handle = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, handle))
}

/// One way of a connection.
struct Way {
    direction: Direction,
    age: u64,
    weather: watch::Receiver<Weather>,
    held: Arc<AtomicU64>,
}

impl Way {
    fn is_cut(&self, weather: &Weather) -> bool {
        let cut = match self.direction {
            Direction::Forward => weather.forward_cut,
            _ => weather.back_cut,
        };
        cut || weather.age != self.age
    }

    /// Waits while it is cut, and then for as long as everything is delayed. False when the proxy is gone.
    async fn passable(&mut self) -> bool {
        if self.is_cut(&self.weather.borrow()) {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
        let mut weather = self.weather.clone();
        let Ok(delay) = weather
            .wait_for(|weather| !self.is_cut(weather))
            .await
            .map(|now| now.delay)
        else {
            return false;
        };
        if !delay.is_zero() {
            sleep(delay).await;
        }
        true
    }
}

/// Copies one way until the end of the stream, which is passed on too.
async fn copy(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut way: Way) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        if !way.passable().await || read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Lets the end of a connection be a reset.
fn abort(stream: &std::net::TcpStream) {
    let at_once = nix::libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    let _closed_anyway = nix::sys::socket::setsockopt(stream, nix::sys::socket::sockopt::Linger, &at_once);
}
