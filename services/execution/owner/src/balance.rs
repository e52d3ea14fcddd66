//! Who should own how many shards: every replica that stays as many as the others, give or take one. Pure: from the same
//! view all replicas come to the same result, and none has to be asked.

use nexus_execution_store::SHARDS;
use nexus_execution_store::membership::View;
use uuid::Uuid;

/// What a replica should do about its shards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// Shards to give up.
    pub give_up: Vec<u16>,
    /// Shards that nobody owns, to be taken.
    pub take: Vec<u16>,
}

/// What the replica `me` should do.
#[must_use]
pub fn moves(me: Uuid, view: &View) -> Moves {
    let of = |wanted: Option<Uuid>| {
        let shards = (0..SHARDS).zip(&view.owners);
        shards
            .filter(move |(_, owner)| **owner == wanted)
            .map(|(shard, _)| shard)
    };
    let held: Vec<u16> = of(Some(me)).collect();
    let share = share(me, view);
    if held.len() > share {
        return Moves {
            give_up: held[share..].to_vec(),
            take: Vec::new(),
        };
    }
    // Replicas that take at the same time begin at different places, so that they seldom want the same one.
    let mut free: Vec<u16> = of(None).collect();
    let rank = view
        .replicas
        .iter()
        .position(|replica| replica.owner == me)
        .unwrap_or(0);
    if !free.is_empty() {
        let from = rank * free.len() / view.replicas.len().max(1);
        let len = free.len();
        free.rotate_left(from % len);
    }
    free.truncate(share - held.len());
    Moves {
        give_up: Vec::new(),
        take: free,
    }
}

/// How many shards a replica should own: an equal share, the first in the order of names getting the odd ones.
fn share(me: Uuid, view: &View) -> usize {
    let mut staying: Vec<Uuid> = view.replicas.iter().filter(|r| !r.draining).map(|r| r.owner).collect();
    staying.sort_unstable();
    let Some(rank) = staying.iter().position(|owner| *owner == me) else {
        return 0;
    };
    let (all, replicas) = (SHARDS as usize, staying.len());
    all / replicas + usize::from(rank < all % replicas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_execution_store::membership::Replica;

    fn view(replicas: &[(u128, bool)], owner: impl Fn(u16) -> Option<u128>) -> View {
        let replica = |(owner, draining): &(u128, bool)| Replica {
            owner: Uuid::from_u128(*owner),
            address: String::new(),
            draining: *draining,
        };
        View {
            replicas: replicas.iter().map(replica).collect(),
            owners: (0..SHARDS).map(|shard| owner(shard).map(Uuid::from_u128)).collect(),
            next_expiry: None,
        }
    }

    /// Lets every replica move in turn until nobody wants to any more; gives how many each owns.
    fn settle(replicas: &[(u128, bool)], mut owners: Vec<Option<u128>>) -> Vec<usize> {
        for _ in 0..10 {
            let mut moved = false;
            for (me, _) in replicas {
                let now = owners.clone();
                let moves = moves(Uuid::from_u128(*me), &view(replicas, |shard| now[shard as usize]));
                moved |= moves != Moves::default();
                for shard in moves.give_up {
                    owners[shard as usize] = None;
                }
                for shard in moves.take {
                    owners[shard as usize] = Some(*me);
                }
            }
            if !moved {
                break;
            }
        }
        let owned = |me: &u128| owners.iter().filter(|owner| **owner == Some(*me)).count();
        replicas.iter().map(|(me, _)| owned(me)).collect()
    }

    #[test]
    fn shares_are_equal_whoever_comes_and_goes() {
        let nobody = vec![None; 64];
        assert_eq!(settle(&[(1, false)], nobody.clone()), [64]);
        assert_eq!(settle(&[(1, false), (2, false)], nobody), [32, 32]);
        assert_eq!(
            settle(&[(3, false), (1, false), (2, false)], vec![Some(1); 64]),
            [21, 22, 21]
        );
        assert_eq!(settle(&[(1, true), (2, false)], vec![Some(1); 64]), [0, 64]);
        assert_eq!(
            settle(&[(1, true)], vec![Some(1); 64]),
            [0],
            "the last one gives up too"
        );
    }

    #[test]
    fn a_settled_mesh_does_not_move() {
        let settled = view(&[(1, false), (2, false)], |shard| Some(u128::from(shard % 2) + 1));
        assert_eq!(moves(Uuid::from_u128(1), &settled), Moves::default());
        assert_eq!(moves(Uuid::from_u128(2), &settled), Moves::default());
    }

    #[test]
    fn a_replica_that_is_not_in_the_view_takes_nothing() {
        let others = view(&[(1, false)], |_| None);
        assert_eq!(moves(Uuid::from_u128(9), &others).take, Vec::<u16>::new());
    }
}
