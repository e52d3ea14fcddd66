//! What happened in a simulation, counted. A run in which the faults never hit proves nothing, so these counts are part
//! of its verdict.

/// Declares the counters and what each of them counts.
macro_rules! counts {
    ($($name:ident: $what:literal,)+) => {
        /// How often each thing happened.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Counts {
            $(#[doc = $what] pub $name: u64,)+
        }

        impl Counts {
            /// Adds another run's counts.
            pub fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            /// Every count with its name.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name),)+]
            }
        }
    };
}

counts! {
    happenings: "Steps of the scheduler.",
    executions: "Executions that were started.",
    commits: "Batches that were applied to the store.",
    begun: "Attempts that a worker began.",
    owners_killed: "Owners that died.",
    owners_killed_unreleased: "Owners that died after a commit and before its effects.",
    owners_paused: "Owners that were stopped and woke later.",
    owners_frozen: "Times at which an owner found that it had been frozen, and took no lease for it.",
    zombies_fenced: "Owners that woke to find the shards in other hands, and were refused by the store.",
    owners_started_over: "Owners that were shut out, claimed the shards again and loaded everything.",
    commits_failed: "Batches that the store refused without writing them.",
    commits_ambiguous: "Batches that the store wrote while it said that it had not.",
    commits_stalled: "Batches that took seconds.",
    pointers_lost: "Pointers that never arrived.",
    pointers_doubled: "Pointers that arrived more than once.",
    dispatchers_wiped: "Dispatchers that forgot everything.",
    offered_again: "Pointers that the reconciler brought back.",
    pointers_refused: "Pointers whose lease was refused because they were no longer current.",
    workers_vanished: "Workers that died with what they held.",
    workers_paused: "Workers that were stopped and woke with tasks whose leases were over.",
    streams_broken: "Sessions that ended at once because the worker's stream broke.",
    leases_expired: "Attempts that were lost because nobody extended their lease.",
    reports_stale: "Reports that were refused because their lease was over.",
    reports_doubled: "Reports that were sent twice.",
    answers_lost: "Answers of the owner that never arrived.",
    starts_repeated: "Starts that were repeated with the same key and gave the same execution.",
    starts_refused: "Starts that were refused because a key was used with another body.",
    handovers: "Owners that gave their shards up in order.",
    resumed: "Sessions that went on under a new owner, with attempts that still ran.",
    closed_late: "Sessions that went on elsewhere and were then called over by where they had been before.",
    silences: "Leases whose workers had not been heard of for a while, as was noted for the next owner.",
    looked_again: "Starts whose owner changed after the store was asked for their key.",
    cancels: "Executions that were cancelled.",
    retries: "Attempts that followed a failed one.",
    losses: "Attempts that were lost and did not count.",
    poisoned: "Tasks that failed because their workers vanished too often.",
    unknown: "Tasks with `at_most_once` that ended unknown.",
    kept: "Tasks that did not run since their start was given their outcomes.",
    slices: "Decisions that were cut and went on later.",
    clock_jumps: "Times at which the wall clock jumped.",
    releases: "Attempts that a worker gave back.",
    seated: "Attempts that were leased to a waiting worker in the commit that made them ready.",
    unheard: "Such leases whose worker was gone when they were stored.",
    never_came: "Leases that were lost on the way to workers that came back without them.",
    overloaded: "Starts that were refused for overload.",
}
