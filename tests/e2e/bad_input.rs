//! Bad input of every sort: a clear error, nothing lost, the process alive.

use nexus_api::ErrorReason;
use nexus_api::error::reason_of;
use nexus_api::execution::v1::{StartExecutionRequest, execution, task};
use nexus_tests::Dev;

/// The process still runs a workflow.
async fn assert_alive(dev: &Dev) {
    let execution = dev
        .run(
            "name: alive\ntasks: {a: {noop: {output: 1}}}\noutput: '{{ tasks.a.output }}'",
            "",
        )
        .await;
    assert_eq!(execution.output, "1");
}

#[tokio::test]
async fn broken_files_are_refused() {
    let dev = Dev::start();
    let deep = format!(
        "name: x\ntasks: {{a: {{noop: {{output: {}1{}}}}}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    let bomb = (1..20).fold("a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned(), |text, n| {
        let alias = format!("*a{}", n - 1);
        format!("{text}a{n}: &a{n} [{}]\n", [alias.as_str(); 9].join(", "))
    });
    let many: String = (0..100_001).map(|n| format!("  t{n}: {{noop: {{}}}}\n")).collect();
    for (what, source) in [
        ("no YAML", "name: [x".to_owned()),
        ("a list", "- a\n- b\n".to_owned()),
        ("no tasks", "name: x\n".to_owned()),
        ("empty tasks", "name: x\ntasks: {}\n".to_owned()),
        ("an unknown kind", "name: x\ntasks: {a: {basch: {run: x}}}\n".to_owned()),
        (
            "two kinds",
            "name: x\ntasks: {a: {noop: {}, bash: {run: x}}}\n".to_owned(),
        ),
        ("a cycle", "name: x\ntasks: {a: {needs: [a], noop: {}}}\n".to_owned()),
        (
            "a duplicate key",
            "name: x\nname: y\ntasks: {a: {noop: {}}}\n".to_owned(),
        ),
        (
            "an expression in a script",
            "name: x\ntasks: {a: {bash: {run: 'echo {{ params.x }}'}}}\n".to_owned(),
        ),
        ("a dash in an id", "name: x\ntasks: {a-b: {noop: {}}}\n".to_owned()),
        (
            "a NUL",
            "name: x\ndescription: \"a\\0b\"\ntasks: {a: {noop: {}}}\n".to_owned(),
        ),
        ("too deep", deep),
        ("a bomb", bomb),
        ("too many tasks", format!("name: x\ntasks:\n{many}")),
        ("binary", "\u{1}\u{2}\u{3}".to_owned()),
    ] {
        let status = dev.apply(&source).await.expect_err(what);
        assert_eq!(
            reason_of(&status),
            Some(ErrorReason::InvalidWorkflow),
            "{what}: {status:?}"
        );
        assert!(!status.message().is_empty());
    }
    let large = format!(
        "name: x\ndescription: {}\ntasks: {{a: {{noop: {{}}}}}}",
        "a".repeat(8 << 20)
    );
    let status = dev.apply(&large).await.expect_err("too large");
    assert_eq!(reason_of(&status), Some(ErrorReason::PayloadTooLarge));
    assert_alive(&dev).await;
}

#[tokio::test]
async fn oversize_params_are_refused_at_the_limit() {
    let dev = Dev::start();
    dev.apply("name: big\ntasks: {a: {noop: {}}}").await.expect("apply");
    let start = async |bytes: usize| {
        let params = format!("{{\"x\":\"{}\"}}", "a".repeat(bytes - 8));
        assert_eq!(params.len(), bytes);
        let request = StartExecutionRequest {
            workflow: "big".into(),
            params,
            ..Default::default()
        };
        dev.executions().start_execution(request).await
    };
    start(512 << 10).await.expect("just under");
    let status = start((512 << 10) + 1).await.expect_err("just over");
    assert_eq!(reason_of(&status), Some(ErrorReason::PayloadTooLarge));
    let nul = StartExecutionRequest {
        workflow: "big".into(),
        params: "{\"x\":\"\\u0000\"}".into(),
        ..Default::default()
    };
    let status = dev.executions().start_execution(nul).await.expect_err("NUL");
    assert_eq!(reason_of(&status), Some(ErrorReason::InvalidParams));
    assert_alive(&dev).await;
}

#[tokio::test]
async fn a_task_that_prints_a_gigabyte_is_cut_and_ends_well() {
    let dev = Dev::start();
    let source = "name: loud\ntasks: {a: {bash: {run: \"yes 0123456789012345678901234567890123456789 | head -c 1000000000 || true; echo done=1 >> $NEXUS_OUTPUT\"}}}";
    let execution = dev.run(source, "").await;
    assert_eq!(execution.state(), execution::State::Succeeded, "{execution:?}");
    let logs = std::fs::metadata(dev.folder().join(".nexus/logs.db"))
        .expect("logs")
        .len();
    assert!(logs < 100 << 20, "the log has {logs} bytes");
    let status = std::fs::read_to_string(format!("/proc/{}/status", dev.pid())).expect("status");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .expect("peak memory");
    let kib: u64 = peak.trim().trim_end_matches(" kB").trim().parse().expect("number");
    assert!(kib < 400 << 10, "the process grew to {kib} KiB");
    assert_alive(&dev).await;
}

#[tokio::test]
async fn tasks_that_misbehave_fail_alone() {
    let dev = Dev::start();
    let source = r#"
name: misbehaving
tasks:
  memory: {python: {memory: 256MiB, code: "def main():\n    return len(bytearray(4 << 30))\n"}}
  segfault: {python: {code: "import ctypes\ndef main():\n    ctypes.string_at(0)\n"}}
  exits: {python: {code: "import os\ndef main():\n    os._exit(9)\n"}}
  no_json: {python: {code: "def main():\n    return {1, 2}\n"}}
  recursion: {python: {code: "def main():\n    return main()\n"}}
  binary: {bash: {run: "head -c 100000 /dev/urandom; printf '\\0\\xff\\n'"}}
  huge_line: {bash: {run: "head -c 5000000 /dev/zero | tr '\\0' a"}}
  closes: {bash: {run: "exec >&- 2>&-; sleep 0.2"}}
  forks: {bash: {run: "(setsid sleep 300 &) ; (sleep 300 &) ; true"}}
  no_output: {bash: {run: "echo '{broken' > $NEXUS_OUTPUT"}}
  refused: {http: {url: "http://127.0.0.1:1/"}}
  no_database: {sql: {url: "sqlite:/nonexistent/dir/x.db", statement: "select 1"}}
  fine: {noop: {output: 1}}
"#;
    let execution = dev.run(source, "").await;
    assert_eq!(execution.state(), execution::State::Failed);
    for task in dev.tasks(&execution.id).await {
        let expected = match task.id.as_str() {
            "binary" | "huge_line" | "closes" | "forks" | "fine" => task::State::Succeeded,
            _ => task::State::Failed,
        };
        assert_eq!(task.state(), expected, "{}: {:?}", task.id, task.error);
        if expected == task::State::Failed {
            let error = task.error.expect("error");
            assert!(
                !error.r#type.is_empty() && !error.message.is_empty(),
                "{}: {error:?}",
                task.id
            );
        }
    }
    assert_alive(&dev).await;
}

#[tokio::test]
async fn raw_garbage_on_the_port_harms_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let dev = Dev::start();
    let address = dev.address().trim_start_matches("http://").to_owned();
    for garbage in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        &[0xff; 4_096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\xff\x09\x09",
    ] {
        let mut socket = tokio::net::TcpStream::connect(&address).await.expect("connect");
        socket.write_all(garbage).await.expect("write");
        let mut answer = Vec::new();
        let read = tokio::time::timeout(std::time::Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
        drop(read);
    }
    assert_alive(&dev).await;
}

/// What a server answers to the body of a call, over a socket of its own: the code, or none when there was no answer.
async fn answer_to(channel: &mut tonic::transport::Channel, path: &str, body: Vec<u8>) -> tonic::Status {
    use tonic::codegen::{Service, http};
    let request = http::Request::post(format!("http://nexus{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(tonic::body::Body::new(axum::body::Body::from(body)))
        .expect("request");
    std::future::poll_fn(|context| channel.poll_ready(context))
        .await
        .expect("connection");
    let mut answer = channel.call(request).await.expect("an answer");
    if let Some(status) = tonic::Status::from_header_map(answer.headers()) {
        return status;
    }
    // A stream ends with its status.
    loop {
        let body = std::pin::Pin::new(answer.body_mut());
        let mut body = body;
        let frame = std::future::poll_fn(|context| tonic::codegen::Body::poll_frame(body.as_mut(), context)).await;
        match frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    return tonic::Status::from_header_map(trailers).expect("a status");
                }
            }
            Some(Err(status)) => return status,
            None => return tonic::Status::unknown("no status"),
        }
    }
}

#[tokio::test]
async fn malformed_messages_of_every_method_are_the_callers_fault() {
    let dev = Dev::start();
    let endpoint = tonic::transport::Endpoint::from_shared(dev.address().to_owned()).expect("address");
    let mut channel = endpoint.connect().await.expect("connection");
    let frame = |flag: u8, length: u32, body: &[u8]| {
        let mut bytes = vec![flag];
        bytes.extend(length.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    let bodies = [
        ("no protobuf", frame(0, 4, &[0xff, 0xff, 0xff, 0xff])),
        ("a flag that is none", frame(7, 1, &[0])),
        ("compressed with nothing", frame(1, 1, &[0])),
        ("a length that is not kept", frame(0, 100, &[8])),
        ("a length beyond all bounds", frame(0, u32::MAX, &[8])),
        ("nothing at all", Vec::new()),
    ];
    let mut asked = 0;
    for service in nexus_api::json::pool().services() {
        // The frame has those of others; replicas' own is not served here.
        if !service.full_name().starts_with("nexus.") || service.full_name().starts_with("nexus.shard.") {
            continue;
        }
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            for (what, body) in &bodies {
                // An empty stream is no mistake of the one who sends it.
                if method.is_client_streaming() {
                    continue;
                }
                let status = answer_to(&mut channel, &path, body.clone()).await;
                assert_eq!(
                    status.code(),
                    tonic::Code::InvalidArgument,
                    "{path}, {what}: {status:?}"
                );
                assert!(reason_of(&status).is_some(), "{path}, {what}: {status:?}");
                asked += 1;
            }
        }
    }
    assert!(asked > 100, "{asked}");
    assert_alive(&dev).await;
}

#[tokio::test]
async fn values_that_are_nested_too_deeply_are_refused_where_they_come_in() {
    let dev = Dev::start();
    let nested = |deep: usize| format!("{}1{}", "[".repeat(deep), "]".repeat(deep));
    let source = "name: deep\nparams: {type: object}\ntasks:\n  make: {python: {args: {deep: '{{ params.deep }}', extra: \
                  '{{ params.extra }}'}, code: \"def main(deep, extra):\\n    for _ in range(extra):\\n        deep = \
                  [deep]\\n    return deep\\n\"}}\n  pass: {noop: {output: '{{ tasks.make.output }}'}}\n\
                  output: '{{ tasks.pass.output }}'\n";
    let params = |deep: usize, extra: usize| format!("{{\"deep\":{},\"extra\":{extra}}}", nested(deep));
    let fits = dev.run(source, &params(99, 1)).await;
    assert_eq!(fits.output, nested(100), "{fits:?}");
    let over = dev.run(source, &params(99, 2)).await;
    assert_eq!(over.state(), execution::State::Failed);
    let error = dev.task(&over.id, "make").await.error.expect("error");
    assert!(
        error.r#type == "InvalidOutput" && error.message.contains("101 deep, at most 100"),
        "{error:?}"
    );
    let far = dev.run(source, &params(1, 900)).await;
    assert_eq!(far.state(), execution::State::Failed);
    for deep in [100, 5_000] {
        let status = dev
            .executions()
            .start_execution(StartExecutionRequest {
                workflow: "deep".into(),
                params: params(deep, 0),
                ..Default::default()
            })
            .await
            .expect_err("too deep");
        assert_eq!(reason_of(&status), Some(ErrorReason::InvalidParams));
        assert!(status.message().contains("at most 100"), "{status:?}");
    }
    assert_alive(&dev).await;
}
