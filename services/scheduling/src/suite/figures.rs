//! Figures of schedules that are due at once.

use super::*;

/// How long a hundred thousand schedules take that are due in the same minute: `cargo test -p nexus-scheduling --release --
/// --ignored --nocapture figures`.
async fn figures(timed: &Timed) {
    const MANY: usize = 100_000;
    let one = create(timed, "model", Overlap::Skip).await;
    let mut work = timed.store.begin().await.expect("begin");
    for number in 0..MANY {
        let row = ScheduleRow {
            id: format!("id-{number:06}"),
            key: format!("s{number:06}"),
            ..one.clone()
        };
        assert!(work.insert(&row).await.expect("insert"));
    }
    work.commit().await.expect("commit");
    timed.set(BEGIN + MINUTE);
    let begun = std::time::Instant::now();
    while fire(&*timed.store).await.expect("decided") > 0 {}
    let decided = begun.elapsed();
    let begun = std::time::Instant::now();
    let mut count = 0;
    loop {
        let starts = timed.store.claim_starts(256, 600 * SECOND).await.expect("claimed");
        if starts.is_empty() {
            break;
        }
        count += starts.len();
        let news: Vec<News> = starts
            .iter()
            .map(|start| started(start.fire.key.clone(), &start.fire.key.text()))
            .collect();
        hear(timed, &news).await;
    }
    eprintln!(
        "{MANY} due at once: decided in {decided:?}; taken and recorded as started in {:?}",
        begun.elapsed()
    );
    assert_eq!(count, MANY + 1);
}

#[tokio::test]
#[ignore = "figures, which take a minute"]
async fn figures_on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    figures(&sqlite(directory.path()).await.expect("opened")).await;
}

#[tokio::test]
#[ignore = "figures, which take a minute"]
async fn figures_on_postgres() {
    let directory = tempfile::tempdir().expect("a directory");
    figures(&postgres(directory.path()).await.expect("opened")).await;
}
