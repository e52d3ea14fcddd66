//! What readers of the feed can ask, one file a verb; here is what they have in common.

pub(crate) mod acknowledge;
pub(crate) mod delete;
pub(crate) mod read;
pub(crate) mod readers;
pub(crate) mod register;

use nexus_api::ErrorReason;
use nexus_api::error::ApiError;
use nexus_api::feed::v1 as api;
use nexus_api::time::{duration, timestamp};
use nexus_execution_store::SHARDS;
use nexus_execution_store::feed::{Extent, Position, Reader};
use tonic::Status;

use crate::Context;
use crate::error::status;

/// Characters of a reader's name at most.
const LONGEST_NAME: usize = 63;

/// A name as readers have them.
fn name(text: &str) -> Result<&str, Status> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    let fits =
        text.len() <= LONGEST_NAME && text.starts_with(|c: char| c.is_ascii_lowercase()) && text.chars().all(letters);
    if fits {
        return Ok(text);
    }
    let problem = format!(
        "{text:?} is not a name of a reader: a small letter, then small letters, digits, - and _, at most {LONGEST_NAME}"
    );
    Err(ApiError::field("reader", problem).into())
}

/// Positions of a request; each shard at most once.
fn positions(field: &str, asked: &[api::ShardPosition]) -> Result<Vec<Position>, Status> {
    let mut positions: Vec<Position> = Vec::with_capacity(asked.len().min(usize::from(SHARDS)));
    for api::ShardPosition { shard, position } in asked {
        let known = u16::try_from(*shard).ok().filter(|shard| *shard < SHARDS);
        let Some(shard) = known else {
            let problem = format!("there is no shard {shard}: they are numbered from 0 to {}", SHARDS - 1);
            return Err(ApiError::field(field, problem).into());
        };
        if positions.iter().any(|position| position.shard == shard) {
            return Err(ApiError::field(field, format!("shard {shard} is named twice")).into());
        }
        // No feed comes that far; beyond it a database has no numbers.
        let number = (*position).min(u64::MAX >> 2);
        positions.push(Position { shard, number });
    }
    Ok(positions)
}

async fn find(context: &Context, name: &str) -> Result<Reader, Status> {
    let found = context.feed.reader(name).await.map_err(status)?;
    found.ok_or_else(|| unknown(name))
}

fn unknown(name: &str) -> Status {
    let message = format!(
        "there is no reader {name}: it was never registered, or was forgotten because it did not come for longer than it \
         said; register it, and take what has happened meanwhile for missed"
    );
    ApiError::new(ErrorReason::ReaderNotFound, message)
        .with("reader", name)
        .into()
}

fn ahead(position: Option<Position>, extent: Extent) -> Status {
    let asked = position
        .map(|position| format!(" {}", position.number))
        .unwrap_or_default();
    let message = format!(
        "shard {} has only come to position {}, not to the one asked for{asked}: it is of another feed, or the database \
         was put back to an earlier state",
        extent.shard, extent.end
    );
    ApiError::new(ErrorReason::FeedPositionAhead, message)
        .with("shard", extent.shard.to_string())
        .with("end", extent.end.to_string())
        .into()
}

fn shown(reader: Reader, now: i64) -> api::Reader {
    let acknowledged = reader.acknowledged.into_iter().map(|position| api::ShardPosition {
        shard: u32::from(position.shard),
        position: position.number,
    });
    api::Reader {
        name: reader.name,
        create_time: Some(timestamp(reader.created_at)),
        acknowledge_time: Some(timestamp(reader.acknowledged_at)),
        forget_after: (reader.forget_after > 0).then(|| duration(reader.forget_after)),
        acknowledged: acknowledged.collect(),
        lag_entries: reader.behind,
        lag: reader.oldest.map(|oldest| duration(now.saturating_sub(oldest).max(0))),
        lost_entries: reader.lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_positions_are_taken_or_refused_with_a_reason() {
        let longest = "a".repeat(LONGEST_NAME);
        for fits in ["a", "statistics", "audit-2_b", &longest] {
            assert_eq!(name(fits).expect("a name"), fits);
        }
        let longer = "a".repeat(LONGEST_NAME + 1);
        for wrong in ["", "A", "1a", "-", "a b", "ä", &longer] {
            let refused = name(wrong).expect_err(wrong);
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{wrong}");
        }
        let at = |shard, position| api::ShardPosition { shard, position };
        let taken = positions("after", &[at(63, 5), at(0, u64::MAX)]).expect("positions");
        assert_eq!((taken[0].shard, taken[0].number, taken[1].shard), (63, 5, 0));
        for wrong in [vec![at(64, 0)], vec![at(70_000, 0)], vec![at(1, 0), at(1, 1)]] {
            assert!(positions("after", &wrong).is_err(), "{wrong:?}");
        }
    }
}
