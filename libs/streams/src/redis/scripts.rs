//! What runs inside Redis, and the names of keys.
//!
//! A script sees and changes a queue in one step, so publishing is idempotent and settling leaves nothing behind. All
//! keys of a queue share a hash tag: a cluster keeps them together, which scripts require.

use std::sync::LazyLock;

use ::redis::Script;

use crate::fair::LANES;
use crate::{Delivered, Lane, Pointer};

/// The one consumer group of every stream.
pub(super) const GROUP: &str = "nexus";

macro_rules! scripts {
    ($($name:ident = $file:literal;)+) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)+
    };
}

scripts! {
    PUBLISH = "publish.lua";
    SETTLE = "settle.lua";
    GIVE_BACK = "giveback.lua";
    READ = "read.lua";
    CLAIM = "claim.lua";
    REPAIR = "repair.lua";
    TIDY = "tidy.lua";
}

/// The names of a namespace's keys.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    namespace: String,
}

impl Keys {
    pub(super) fn new(namespace: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
        }
    }

    pub(super) fn stream(&self, queue: &str, lane: Lane) -> String {
        let lane = match lane {
            Lane::High => "high",
            Lane::Normal => "normal",
            Lane::Low => "low",
        };
        format!("nexus:{{{}:{queue}}}:{lane}", self.namespace)
    }

    pub(super) fn index(&self, queue: &str, lane: Lane) -> String {
        format!("{}:index", self.stream(queue, lane))
    }

    pub(super) fn streams(&self, queue: &str) -> [String; 3] {
        LANES.map(|lane| self.stream(queue, lane))
    }

    /// Names one life of the data: when it is gone or another, everything may be.
    pub(super) fn generation(&self) -> String {
        format!("nexus:{}:generation", self.namespace)
    }

    /// Written to see whether writing works.
    pub(super) fn probe(&self) -> String {
        format!("nexus:{}:probe", self.namespace)
    }
}

/// An entry's only field: 16 bytes of execution, 4 of task, 4 of attempt, big-endian.
pub(super) fn encode(pointer: &Pointer) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(&pointer.execution);
    bytes[16..20].copy_from_slice(&pointer.task.to_be_bytes());
    bytes[20..].copy_from_slice(&pointer.attempt.to_be_bytes());
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Option<Pointer> {
    let (execution, rest) = bytes.split_first_chunk::<16>()?;
    let (task, rest) = rest.split_first_chunk::<4>()?;
    Some(Pointer {
        execution: *execution,
        task: u32::from_be_bytes(*task),
        attempt: u32::from_be_bytes(rest.try_into().ok()?),
    })
}

/// What scripts answer for an entry: position of its stream from 1, id, pointer.
pub(super) type Row = (usize, String, Vec<u8>);

/// An entry of a stream in the house's words; nothing for one that nobody of this house wrote.
pub(super) fn delivered(queue: &std::sync::Arc<str>, (at, id, bytes): Row) -> Option<Delivered> {
    Some(Delivered {
        queue: std::sync::Arc::clone(queue),
        lane: *LANES.get(at.checked_sub(1)?)?,
        id: id.into(),
        pointer: decode(&bytes)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_come_back_as_they_were() {
        let pointer = Pointer {
            execution: [7; 16],
            task: 1 << 30,
            attempt: 3,
        };
        assert_eq!(decode(&encode(&pointer)), Some(pointer));
        for broken in [&[][..], &[0; 23], &[0; 25]] {
            assert_eq!(decode(broken), None);
        }
    }

    #[tokio::test]
    async fn only_consumers_with_nothing_are_removed() {
        let server = nexus_servers::Redis::start(nexus_servers::RedisOptions::default()).expect("a private Redis");
        let link = crate::redis::Link::open(&server.url()).expect("address");
        let run = async |words: &[&str]| {
            let command = ::redis::cmd(words[0]).arg(&words[1..]).to_owned();
            link.run::<::redis::Value>(&command).await.expect("answer");
        };
        run(&["XGROUP", "CREATE", "s", GROUP, "0", "MKSTREAM"]).await;
        run(&["XADD", "s", "*", "p", "x"]).await;
        for consumer in ["holds", "gone", "self"] {
            run(&["XGROUP", "CREATECONSUMER", "s", GROUP, consumer]).await;
        }
        run(&["XREADGROUP", "GROUP", GROUP, "holds", "STREAMS", "s", ">"]).await;
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let mut tidy = TIDY.prepare_invoke();
        tidy.key("s").arg(GROUP).arg("self").arg(0);
        assert_eq!(link.invoke::<i64>(&tidy).await.expect("tidied"), 1);
        assert_eq!(link.invoke::<i64>(&tidy).await.expect("tidied"), 0);
    }

    #[test]
    fn the_keys_of_a_queue_share_their_hash_tag() {
        let keys = Keys::new("prod");
        assert_eq!(keys.stream("q", Lane::High), "nexus:{prod:q}:high");
        assert_eq!(keys.index("q", Lane::Low), "nexus:{prod:q}:low:index");
    }
}
