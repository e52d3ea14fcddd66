//! What is broken, within the whole core.

use nexus_execution_store::{Fence, Ids};

use super::*;
use crate::live::tests::live;

#[test]
fn what_is_broken_is_put_aside_and_nothing_is_stored_before_that() {
    let now = Now { wall: 0, steady: 0 };
    let fence = Fence {
        owner: uuid::Uuid::nil(),
        epoch: 1,
    };
    let mut core = Core::shared(fence, Ids::system(), crate::Limits::default(), now);
    let live = live();
    let (id, row) = (live.id, live.row());
    let plan = std::sync::Arc::clone(live.execution.plan());
    core.shards.adopt(id.shard());
    core.executions.insert(live);
    core.commits.mark(id, true, 0);
    assert!(core.must_start_over().is_none());
    core.broken.found(id, Some("refused"));
    assert!(core.must_start_over().is_some() && core.begin_commit(now).is_none());
    assert!(core.last_commit().1.is_empty());
    core.start_over(fence, now);
    assert!(core.must_start_over().is_none(), "the others go on");
    let revived = core.revive(row, Vec::new(), plan, &mut Recovered::default(), now);
    assert!(revived.is_err_and(|why| why.contains("a bug")));
}
