//! Receivers of the test's own: a web server that answers as it is told, and a small reader of SMTP.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use nexus_tests::DEADLINE;
use serde_json::Value;

/// A request that came.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

/// What is answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) pause: Duration,
    pub(super) header: Option<(&'static str, &'static str)>,
}

impl Answer {
    pub(super) fn status(status: u16) -> Self {
        Self {
            status,
            pause: Duration::ZERO,
            header: None,
        }
    }
}

/// A web server.
#[derive(Clone)]
pub(super) struct Web {
    pub(super) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
    answer: Arc<Mutex<Answer>>,
}

impl Web {
    pub(super) async fn start() -> Self {
        Self::on(0).await
    }

    pub(super) async fn on(port: u16) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
            .await
            .expect("a port");
        let web = Self {
            port: listener.local_addr().expect("an address").port(),
            got: Arc::default(),
            answer: Arc::new(Mutex::new(Answer::status(200))),
        };
        let (got, answer) = (Arc::clone(&web.got), Arc::clone(&web.answer));
        let take = move |headers: HeaderMap, body: String| async move {
            let told = *answer.lock().expect("an answer");
            got.lock().expect("requests").push(Got { headers, body });
            tokio::time::sleep(told.pause).await;
            let mut headers = HeaderMap::new();
            if let Some((name, value)) = told.header {
                headers.insert(name, value.parse().expect("a header"));
            }
            (
                StatusCode::from_u16(told.status).expect("a status"),
                headers,
                "the receiver's words",
            )
        };
        let router = Router::new().route("/{*path}", post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        web
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.answer.lock().expect("an answer") = answer;
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("requests").clone()
    }

    pub(super) async fn wait(&self, count: usize) -> Vec<Got> {
        let deadline = Instant::now() + DEADLINE;
        while self.got().len() < count {
            assert!(
                Instant::now() < deadline,
                "{} of {count} requests came",
                self.got().len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.got()
    }
}

/// A mail that came: who it was for on the way, and its text.
#[derive(Debug, Clone)]
pub(super) struct Mail {
    pub(super) to: Vec<String>,
    pub(super) text: String,
}

/// Reads SMTP, and takes whatever comes.
pub(super) fn smtp() -> (u16, std::sync::mpsc::Receiver<Mail>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let (sender, mails) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            std::thread::spawn(move || converse(stream, &sender));
        }
    });
    (port, mails)
}

fn converse(mut stream: TcpStream, mails: &std::sync::mpsc::Sender<Mail>) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).split(b'\n');
    let mut say = move |text: &str| stream.write_all(format!("{text}\r\n").as_bytes()).ok();
    let mut mail = Mail {
        to: Vec::new(),
        text: String::new(),
    };
    say("220 test ESMTP")?;
    while let Some(Ok(line)) = lines.next() {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        match line.split([' ', ':']).next()?.to_ascii_uppercase().as_str() {
            "EHLO" => say("250-test\r\n250 8BITMIME")?,
            "RCPT" => {
                mail.to.push(line);
                say("250 ok")?;
            }
            "DATA" => {
                say("354 go on")?;
                for line in lines.by_ref().map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
                    if line == "." {
                        break;
                    }
                    mail.text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    mail.text.push_str("\r\n");
                }
                mails.send(mail.clone()).ok()?;
                say("250 queued as 7")?;
            }
            "QUIT" => {
                say("221 bye")?;
                return None;
            }
            _ => say("250 ok")?,
        }
    }
    None
}

/// What a program of Python says of an input: an oracle that nobody here wrote.
pub(super) fn python(program: &str, input: &str) -> Value {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3");
    child
        .stdin
        .take()
        .expect("stdin")
        .write_all(input.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "python3 failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}
