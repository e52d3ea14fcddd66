//! Who reads the feed.

use super::*;

pub(super) async fn one_reads_the_feed_at_a_time(timed: &Timed) {
    let mut reading = timed
        .store
        .take_reading("one", MINUTE)
        .await
        .expect("taken")
        .expect("it is free");
    assert!(reading.positions.is_empty());
    reading.positions = vec![(0, 7), (63, 9)];
    assert!(timed.store.take_reading("two", MINUTE).await.expect("asked").is_none());
    record(&*timed.store, &[], Some(&reading)).await.expect("recorded");
    timed.set(BEGIN + 2 * MINUTE);
    let other = timed
        .store
        .take_reading("two", MINUTE)
        .await
        .expect("taken")
        .expect("its time is over");
    assert_eq!(other.positions, [(0, 7), (63, 9)]);
    // Who was too late changes nothing.
    reading.positions.clear();
    record(&*timed.store, &[], Some(&reading)).await.expect("recorded");
    let again = timed
        .store
        .take_reading("two", MINUTE)
        .await
        .expect("taken")
        .expect("it is its own");
    assert_eq!(again.positions.len(), 2);
}
