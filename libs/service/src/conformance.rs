//! One suite of tests for every adapter of a storage port.

/// Makes a module of tests for each adapter, with one test for each function of the suite, which takes the adapter. A fresh
/// one is opened for each, over a directory that lives as long as the test; the caller's crate needs `tempfile` and `tokio`.
///
/// ```ignore
/// nexus_service::conformance! {
///     adapters: { sqlite: SqliteStore::open, memory: in_memory },
///     tests: [what_is_written_is_read_back, keys_are_unique],
/// }
/// ```
#[macro_export]
macro_rules! conformance {
    (adapters: { $($adapter:ident : $open:expr),+ $(,)? }, tests: $tests:tt $(,)?) => {
        $($crate::conformance!(@ $adapter, $open, $tests);)+
    };
    (@ $adapter:ident, $open:expr, [$($test:ident),+ $(,)?]) => {
        mod $adapter {
            $(#[tokio::test]
            async fn $test() {
                use super::*;
                let directory = tempfile::tempdir().expect("a directory");
                let store = $open(directory.path()).await.expect("the store opens");
                super::$test(&store).await;
            })+
        }
    };
}
