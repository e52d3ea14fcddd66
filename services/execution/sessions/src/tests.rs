//! Sessions: where words go, and how many there may be.

use nexus_api::Namespace;

use super::*;
use crate::speaker::tests::speaker;

fn process() -> Speaker {
    Speaker::of_process(Namespace::default())
}

#[test]
fn a_directive_goes_to_the_stream_or_to_whoever_has_the_session() {
    let sessions = Sessions::new(Arc::new(|| 0));
    let request = RegisterWorkerRequest {
        name: "w".into(),
        ..RegisterWorkerRequest::default()
    };
    let here = sessions
        .register(&process(), request, 0, None, &Ids::system())
        .expect("room");
    let (stream, mut streamed) = mpsc::channel(4);
    sessions.attach(&here, stream);
    let (elsewhere, mut passed_on) = mpsc::channel(4);
    sessions.set_remote(elsewhere);
    sessions.direct(&here, &"mine".into(), &Verdict::Lost);
    sessions.direct(&"another".into(), &"theirs".into(), &Verdict::Cancel("because".into()));
    assert!(streamed.try_recv().is_ok(), "told at once");
    let told = passed_on.try_recv().expect("passed on");
    assert_eq!(told.session, "another");
    let directive = told.directive.expect("a directive");
    assert_eq!(
        (directive.token.as_str(), directive.reason.as_str()),
        ("theirs", "because")
    );
    // What comes from another replica is not passed on again.
    assert!(sessions.pass_on(&"another".into(), directive).is_some());
    assert!(passed_on.try_recv().is_err() && streamed.try_recv().is_err());
}

#[test]
fn an_absence_is_remembered_for_the_length_of_a_lease() {
    let now = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let sessions = Sessions::new(Arc::new(move || clock.load(Ordering::Relaxed)));
    assert!(!sessions.was_away_lately());
    sessions.is_away();
    now.store(LEASE - 1, Ordering::Relaxed);
    assert!(sessions.was_away_lately());
    now.store(LEASE, Ordering::Relaxed);
    assert!(!sessions.was_away_lately());
}

#[test]
fn a_session_is_forgotten_for_a_later_generation_and_not_for_an_earlier_one() {
    let sessions = Sessions::new(Arc::new(|| 0));
    let name = SessionId::from("0123456789abcdef0123456789abcdef");
    let resume = |generation| {
        let request = RegisterWorkerRequest {
            name: "w".into(),
            resume_session: name.to_string(),
            ..RegisterWorkerRequest::default()
        };
        sessions
            .register(&process(), request, generation, None, &Ids::system())
            .expect("room")
    };
    assert_eq!(resume(5), name);
    sessions.moved(&name, 4);
    assert_eq!(
        sessions.touch(&process(), &name).map(|session| session.generation),
        Some(5)
    );
    sessions.moved(&name, 6);
    assert!(sessions.touch(&process(), &name).is_none());
    resume(7);
    assert_eq!(
        sessions.close(&name),
        Some(Closing {
            session: name,
            generation: 7
        })
    );
}

#[test]
fn sessions_that_nobody_uses_keep_nobody_out() {
    let now = Arc::new(AtomicI64::new(0));
    let clock = Arc::clone(&now);
    let sessions = Sessions::new(Arc::new(move || clock.load(Ordering::Relaxed)));
    let ids = Ids::system();
    let open = |peer: u8| {
        let peer = IpAddr::from([10, 0, 0, peer]);
        sessions.register(&process(), RegisterWorkerRequest::default(), 0, Some(peer), &ids)
    };
    let used = open(1).expect("room");
    assert!(sessions.touch(&process(), &used).is_some());
    let flood: Vec<_> = (0..2 * MAX_SESSIONS)
        .map(|number| open(u8::from(number % 2 == 0)))
        .collect();
    assert!(flood.iter().all(Result::is_ok), "each makes room for the next");
    assert!(sessions.open.lock().sessions.len() <= MAX_SESSIONS - KEPT_FREE);
    assert!(sessions.touch(&process(), &used).is_some(), "who is used stays");
    for look in 1..=6 {
        // As often as it is looked: after a longer pause nobody's silence proves anything.
        now.store(look * 3_000_000, Ordering::Relaxed);
        assert!(sessions.silent().is_empty());
    }
    assert_eq!(sessions.open.lock().sessions.len(), 1, "the others never were any");
    let proven = (0..OF_ONE_PEER).map(|_| open(7).expect("room"));
    proven.for_each(|id| assert!(sessions.touch(&process(), &id).is_some()));
    assert_eq!(open(7), Err(Full::Peer), "one address more than its part");
    let others = (OF_ONE_PEER + 1..MAX_SESSIONS - KEPT_FREE).map(|_| open(8).expect("room"));
    others.for_each(|id| assert!(sessions.touch(&process(), &id).is_some()));
    assert_eq!(open(9), Err(Full::All));
    let request = RegisterWorkerRequest {
        resume_session: "0123456789abcdef0123456789abcdef".into(),
        ..RegisterWorkerRequest::default()
    };
    assert!(
        sessions.register(&process(), request, 3, None, &ids).is_ok(),
        "room is kept for who goes on"
    );
}

#[test]
fn a_session_is_of_its_speaker_and_takes_from_their_queues() {
    let sessions = Sessions::new(Arc::new(|| 0));
    let (ids, here) = (Ids::system(), process());
    let there = Speaker::of_process("team-a".parse().expect("a namespace"));
    let register = |speaker: &Speaker, queues: &[&str]| {
        let request = RegisterWorkerRequest {
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
            request_id: "same".into(),
            ..RegisterWorkerRequest::default()
        };
        sessions.register(speaker, request, 0, None, &ids).expect("room")
    };
    let (mine, theirs) = (register(&here, &["default"]), register(&there, &["gpu", "default"]));
    assert_ne!(mine, theirs, "the same request id, of another namespace");
    assert_eq!(register(&there, &["gpu"]), theirs);
    let queues = |speaker: &Speaker, id: &SessionId| sessions.touch(speaker, id).map(|session| session.queues);
    assert_eq!(queues(&here, &mine).as_deref(), Some(&["default".to_owned()][..]));
    let qualified = ["team-a/gpu".to_owned(), "team-a/default".to_owned()];
    assert_eq!(queues(&there, &theirs).as_deref(), Some(&qualified[..]));
    assert_eq!((queues(&there, &mine), queues(&here, &theirs)), (None, None));
    assert!(sessions.is_of_another(&there, &mine) && !sessions.is_of_another(&there, &theirs));
    assert!(!sessions.is_of_another(&there, &"unknown".into()));
    sessions.close(&mine);
    assert!(
        sessions.is_of_another(&there, &mine) && !sessions.is_of_another(&here, &mine),
        "open anywhere"
    );
}

#[test]
fn a_credential_speaks_in_no_session_of_another_one_nor_of_queues_that_it_is_not_for() {
    let sessions = Sessions::new(Arc::new(|| 0));
    let ids = Ids::system();
    let register = |speaker: &Speaker, queue: &str| {
        let request = RegisterWorkerRequest {
            queues: vec![queue.to_owned()],
            request_id: "r1".into(),
            ..RegisterWorkerRequest::default()
        };
        sessions.register(speaker, request, 0, None, &ids).expect("room")
    };
    let secret = speaker("default", "user:bob", &["secret"]);
    let (gpu, other) = (
        speaker("default", "user:bob", &["gpu"]),
        speaker("default", "user:eve", &[]),
    );
    let session = register(&secret, "secret");
    for stranger in [&gpu, &other] {
        assert_ne!(
            register(stranger, "gpu"),
            session,
            "a request id opens nobody's session"
        );
        assert!(sessions.touch(stranger, &session).is_none() && sessions.is_of_another(stranger, &session));
    }
    assert!(sessions.touch(&secret, &session).is_some());
}
