//! Bugs planted on purpose, to prove that the simulation finds such bugs. They exist only with the feature `planted`,
//! which nothing but the simulation turns on, and are active only in a thread that asks for one.

macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $what])+ $name,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

bugs! {
    /// A start is acknowledged before it is stored.
    EarlyAck,
    /// A report is acknowledged before it is stored.
    EarlyReportAck,
    /// Effects are brought about before their commit, and leases are given for what is not stored.
    EffectBeforeCommit,
    /// A commit shows no fence, and the store compares neither fence nor sequence.
    LostFence,
    /// An owner that was shut out goes on with what it has in memory.
    ZombieGoesOn,
    /// Taking over does not raise the epoch or change the owner.
    EpochNotRaised,
    /// A commit whose answer was an error is taken for done.
    ErrorTakenForSuccess,
    /// A batch that was written and comes again is refused instead of recognised.
    RepeatNotRecognised,
    /// Lost leases spend `max_attempts`.
    LossSpendsAttempt,
    /// One attempt more than `max_attempts` is made.
    OneRetryTooMany,
    /// Retry timers are forgotten when an execution is loaded.
    RetryForgottenOnReload,
    /// Ready tasks are not offered again when an execution is loaded, nor by the reconciler.
    DispatchForgottenOnReload,
    /// The reconciler does nothing: a lost pointer stays lost.
    NoReconciler,
    /// Attempts that ran under the former owner are not given back.
    RunningForgottenOnReload,
    /// Leases never run out.
    LeaseNeverExpires,
    /// A closed session takes its leases with it.
    ClosedSessionForgets,
    /// A report needs no valid token: the task's number is enough.
    NoTokenCheck,
    /// A lease is given although the task runs already.
    GrantedTwice,
    /// A lease of an `at_most_once` task is told before it is stored.
    AtMostOnceNotStored,
    /// A lost `at_most_once` task is given out again.
    AtMostOnceRepeated,
    /// A needed task's failure does not keep a task from running.
    FailureIgnored,
    /// A task that ran because of a failure and succeeded counts as its repair.
    AlarmTakenForRepair,
    /// A task that handles several failures runs at the first of them.
    HandlerTooEarly,
    /// A join does not wait for all that it needs.
    JoinTooEarly,
    /// A cancelled execution still gives out tasks.
    CancelledStillGranted,
    /// A change leaves out the last task that it should carry.
    TaskRowForgotten,
    /// The reloaded tallies count every end as a success.
    TallyWrongOnReload,
    /// A slice is decided and the next one forgotten.
    ContinueForgotten,
    /// Idempotency keys of starts that are not stored yet are not remembered.
    KeyForgotten,
    /// A lease that outlives its owner is told before it is stored.
    LeaseNotStored,
    /// A lease that was taken over from a former owner never runs out.
    TakenOverNeverExpires,
    /// A lease of whose worker nothing is left is forgotten, and its task with it.
    UnheardForgotten,
    /// A replica's word that a session is over counts although the session has gone on elsewhere since.
    OldCloseObeyed,
    /// A lease that a worker did not name when it came back is given out again although it was given out after that.
    YoungLeaseGivenBack,
    /// Of the outcomes that a start is given to keep, the last one is forgotten.
    KeptForgotten,
    /// What a commit tells the feed is written after the commit, by a step of its own.
    FeedAfterCommit,
    /// A batch that was written and comes again tells the feed again.
    FeedToldTwice,
}

#[cfg(feature = "planted")]
thread_local! {
    static ACTIVE: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Makes a bug active in this thread, or none.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    ACTIVE.set(bug);
}

/// Whether a bug is active.
#[cfg(feature = "planted")]
#[must_use]
pub fn planted(bug: Bug) -> bool {
    ACTIVE.get() == Some(bug)
}

/// Without the feature there are no bugs.
#[cfg(not(feature = "planted"))]
#[must_use]
#[inline]
pub const fn planted(_: Bug) -> bool {
    false
}
