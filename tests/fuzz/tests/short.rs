//! Every input of the corpus, then a fixed number of mutated ones for each target: the part of fuzzing that fits into
//! every run of the tests. The same inputs each time.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use nexus_fuzz::mutate::{Random, mutate};
use nexus_fuzz::{TARGETS, Target};

/// Mutated inputs of one target.
const ROUNDS: u64 = 3000;

fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    assert!(
        files.len() >= 5,
        "{} has next to nothing to begin with",
        folder.display()
    );
    files.iter().map(|file| std::fs::read(file).expect("input")).collect()
}

fn check(target: &Target, input: &[u8], what: &str) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        eprintln!(
            "{}: {what} breaks it: {:?}",
            target.name,
            String::from_utf8_lossy(input)
        );
        std::panic::resume_unwind(panic);
    }
}

fn run(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("target");
    let corpus = corpus(target);
    for input in &corpus {
        check(target, input, "an input of the corpus");
    }
    let mut random = Random::new(1);
    for round in 0..ROUNDS {
        let (input, other) = (&corpus[random.below(corpus.len())], &corpus[random.below(corpus.len())]);
        let input = mutate(input, other, target.words, &mut random);
        check(target, &input, &format!("the input of round {round}"));
    }
}

#[test]
fn any_workflow_file_is_read_or_refused() {
    run("parser");
}

#[test]
fn any_expression_keeps_its_limits() {
    run("expressions");
}

#[test]
fn any_span_is_shown_as_it_is_read() {
    run("durations");
}

#[test]
fn no_secret_is_left_in_anything_said() {
    run("redactor");
}

#[test]
fn any_request_is_a_message_or_a_problem() {
    run("transcoder");
}

#[test]
fn anything_stored_is_read_back_or_refused() {
    run("decoder");
}
