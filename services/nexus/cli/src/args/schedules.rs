//! What can be typed about schedules.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nexus_cli_frame::Page;
use nexus_cli_frame::time::parse_span;

#[derive(Debug, Subcommand)]
pub enum Schedules {
    /// List schedules
    List {
        /// Only those that start this workflow
        #[arg(long)]
        workflow: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one schedule: what it is, what became of it, when it fires next
    Get {
        /// Its name
        schedule: String,
    },
    /// Create a schedule
    Create {
        /// Its name
        schedule: String,
        #[command(flatten)]
        settings: Settings,
        /// Let nothing fire until it is unpaused
        #[arg(long)]
        paused: bool,
    },
    /// Change a schedule: what is not said stays as it is, and of when it fires all is said anew or nothing
    Update {
        /// Its name
        schedule: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Delete a schedule; executions that it started go on
    Delete {
        /// Its name
        schedule: String,
    },
    /// Let nothing fire until it is unpaused
    Pause {
        /// Its name
        schedule: String,
        /// Why, for others
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
    },
    /// Let it fire again
    Unpause {
        /// Its name
        schedule: String,
        /// Why, for others
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
        /// Which of the missed fires are made up for, this time
        #[arg(long, value_enum)]
        catchup: Option<Catchup>,
        /// Say how many that are and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Fire it now
    Trigger {
        /// Its name
        schedule: String,
        /// In the place of its overlap policy
        #[arg(long, value_enum)]
        overlap: Option<Policy>,
        /// Triggering twice with the same id is triggering once
        #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
        request_id: String,
    },
    /// Start what it would have started in a span of time
    Backfill(BackfillArgs),
    /// List backfills, newest first
    Backfills {
        /// Only of this schedule
        schedule: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Cancel a backfill; what it started goes on
    CancelBackfill {
        /// Its id
        backfill: String,
    },
    /// List what became of its nominal times, the last decided first
    Fires {
        /// Its name
        schedule: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show when a schedule fires next, or an expression, for which no server is needed
    Next(NextArgs),
}

/// When it fires.
#[derive(Debug, Clone, Default, Args)]
pub struct Times {
    /// A cron expression, five fields or six with the seconds first; may be repeated
    #[arg(long = "cron", value_name = "EXPR")]
    pub(crate) crons: Vec<String>,
    /// Every so often, such as 15m, or 1h/10m for ten minutes past; may be repeated
    #[arg(long, value_name = "SPAN")]
    pub(crate) every: Vec<String>,
    /// A single time, such as 2026-03-29T09:00:00+02:00; may be repeated
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Vec<String>,
    /// A cron expression of times that are left out; may be repeated
    #[arg(long = "exclude-cron", value_name = "EXPR")]
    pub(crate) exclude_crons: Vec<String>,
    /// The IANA zone that expressions are read in; UTC when not said
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<String>,
    /// What becomes of local times that a change of the clocks skips or repeats
    #[arg(long, value_enum)]
    pub(crate) dst_policy: Option<DstPolicy>,
    /// Whether days must match the day of month OR the day of week, or both
    #[arg(long, value_enum)]
    pub(crate) day_match: Option<DayMatch>,
    /// Nothing fires before this
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<String>,
    /// Nothing fires after this
    #[arg(long, value_name = "TIME")]
    pub(crate) end: Option<String>,
    /// Each fire is delayed by chance, by less than this
    #[arg(long, value_parser = parse_span, value_name = "SPAN")]
    pub(crate) jitter: Option<Duration>,
}

impl Times {
    /// Whether anything of it was said.
    pub(crate) fn is_said(&self) -> bool {
        let lists = [&self.crons, &self.every, &self.at, &self.exclude_crons];
        lists.iter().any(|list| !list.is_empty())
            || [&self.timezone, &self.start, &self.end]
                .iter()
                .any(|said| said.is_some())
            || self.dst_policy.is_some()
            || self.day_match.is_some()
            || self.jitter.is_some()
    }
}

/// What a schedule is.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// The workflow that it starts
    #[arg(long, value_name = "NAME")]
    pub(crate) workflow: Option<String>,
    /// The revision; the newest at each start when not said
    #[arg(long, value_name = "N")]
    pub(crate) revision: Option<u32>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// A parameter; `KEY=@FILE` reads the value from a file, `KEY=@@…` begins with an @
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    pub(crate) params: Vec<String>,
    /// A label of the executions
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// One or two sentences for people
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// What becomes of a fire while an execution runs; skip when not said
    #[arg(long, value_enum)]
    pub(crate) overlap: Option<Policy>,
    /// How late a fire may be; 365 days when not said
    #[arg(long, value_parser = parse_span, value_name = "SPAN")]
    pub(crate) catchup_window: Option<Duration>,
    /// Which late fires are made up for; all when not said
    #[arg(long, value_enum)]
    pub(crate) catchup: Option<Catchup>,
    /// Pause it when an execution fails
    #[arg(long)]
    pub(crate) pause_on_failure: bool,
    /// End after so many actions
    #[arg(long, value_name = "N")]
    pub(crate) actions: Option<u64>,
}

#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// The schedule's name
    pub(crate) schedule: String,
    /// The span begins after this time
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// The span ends with this time
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// Executions at a time
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) max_concurrent: u32,
    /// Begin with the newest time
    #[arg(long)]
    pub(crate) newest_first: bool,
    /// Say what would be started and start nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub struct NextArgs {
    /// The schedule's name; or say --cron, --every or --at
    #[arg(required_unless_present_any = ["crons", "every", "at"], conflicts_with_all = ["crons", "every", "at"])]
    pub(crate) schedule: Option<String>,
    #[command(flatten)]
    pub(crate) times: Times,
    /// Times after this, with its offset or as the zone's clocks show it; after now when not said
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// How many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) count: u32,
}

/// What becomes of a fire while an execution of the schedule runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Policy {
    Skip,
    BufferOne,
    BufferAll,
    CancelOther,
    TerminateOther,
    AllowAll,
}

/// Which late fires are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Catchup {
    All,
    Last,
    None,
}

/// What becomes of local times that are skipped or repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum DstPolicy {
    Adjust,
    Literal,
}

/// How days are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum DayMatch {
    Or,
    And,
}
