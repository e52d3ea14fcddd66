//! An output that one replica kept is used by another: replicas keep them in Redis.

mod common;

use common::{apply, connect, run};
use nexus_fleet::{Mesh, Role, Shape};

const FILE: &str = "
name: kept
tasks:
  a: {cache: {ttl: 1h}, bash: {run: 'echo word=$RANDOM-$$ >> $NEXUS_OUTPUT'}}
output: '{{ tasks.a.output.word }}'
";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_what_is_kept_and_do_without_it() {
    let shape = Shape {
        definitions: 1,
        workers: 1,
        ..Shape::default()
    };
    let mut mesh = Mesh::start(shape).await.expect("mesh");
    apply(&mesh, FILE).await;
    let ways = [0, 1].map(|number| connect(&mesh.node(Role::Execution, number).address()));
    let first = run(&ways[0], "kept").await;
    assert_eq!(first.task_counts["SUCCEEDED"], 1, "{first:?}");
    // It is kept after the answer, in a moment.
    let mut second = run(&ways[1], "kept").await;
    for _ in 0..50 {
        if second.task_counts.contains_key("CACHED") {
            break;
        }
        second = run(&ways[1], "kept").await;
    }
    assert_eq!(second.task_counts["CACHED"], 1, "{second:?}");
    mesh.redis().kill();
    let without = run(&ways[0], "kept").await;
    assert_eq!(without.task_counts["SUCCEEDED"], 1, "{without:?}");
    mesh.stop().await.expect("stop");
}
