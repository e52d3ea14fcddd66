//! What can be typed about channels, rules and deliveries. A credential is never an argument: whoever lists processes would see
//! it; arguments name the secret that has it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nexus_cli_frame::Page;

/// A length of time.
fn span(text: &str) -> Result<Duration, String> {
    nexus_cli_frame::time::parse_span(text)
}

#[derive(Debug, Subcommand)]
pub enum Channels {
    /// List channels by name
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show one channel
    Get {
        /// Its name
        channel: String,
    },
    /// Create a channel, from a file or from flags
    Create(Box<ChannelArgs>),
    /// Put another content in the place of a channel's, from a file or from flags
    Update(Box<ChannelArgs>),
    /// Delete a channel
    Delete {
        /// Its name
        channel: String,
    },
    /// Send a sample, and show what the receiver says
    Test {
        /// Name of a channel that is kept
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        channel: Option<String>,
        /// Or a file with one that is not kept; `-` for stdin
        #[arg(short, long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MailSecurity {
    Starttls,
    Tls,
    None,
}

#[derive(Debug, Args)]
pub struct ChannelArgs {
    /// Its name; that of the file when not said
    #[arg(required_unless_present = "file")]
    pub(crate) channel: Option<String>,
    /// A YAML or JSON file with the whole channel (docs/notifications.md); `-` for stdin
    #[arg(short, long, value_name = "FILE", conflicts_with = "kind")]
    pub(crate) file: Option<PathBuf>,
    /// A program: where it takes a POST, or `{{ secrets.NAME }}`
    #[arg(long, value_name = "URL", group = "kind")]
    pub(crate) webhook: Option<String>,
    /// The secret with the address of Slack's incoming webhook
    #[arg(long, value_name = "SECRET", group = "kind")]
    pub(crate) slack: Option<String>,
    /// The secret with the address of the webhook of Teams
    #[arg(long, value_name = "SECRET", group = "kind")]
    pub(crate) teams: Option<String>,
    /// The secret with the address of Discord's webhook
    #[arg(long, value_name = "SECRET", group = "kind")]
    pub(crate) discord: Option<String>,
    /// The secret with the integration key of PagerDuty
    #[arg(long, value_name = "SECRET", group = "kind")]
    pub(crate) pager_duty: Option<String>,
    /// Mail to these addresses
    #[arg(long, value_name = "ADDRESS,…", value_delimiter = ',', group = "kind", requires_all = ["smtp", "from"])]
    pub(crate) email: Vec<String>,
    /// The mail server, `HOST` or `HOST:PORT`
    #[arg(long, value_name = "HOST", requires = "email")]
    pub(crate) smtp: Option<String>,
    /// How the connection to it is protected
    #[arg(long, value_enum, default_value_t = MailSecurity::Starttls, requires = "email")]
    pub(crate) security: MailSecurity,
    /// Whom the mail is from
    #[arg(long, value_name = "ADDRESS", requires = "email")]
    pub(crate) from: Option<String>,
    /// Who logs in to the mail server
    #[arg(long, value_name = "NAME", requires_all = ["email", "password"])]
    pub(crate) username: Option<String>,
    /// The secret with the password
    #[arg(long, value_name = "SECRET", requires = "username")]
    pub(crate) password: Option<String>,
    /// A secret that requests to the program are signed with; twice while one is exchanged
    #[arg(long = "sign", value_name = "SECRET", requires = "webhook")]
    pub(crate) sign: Vec<String>,
    /// A header of requests to the program; may hold `{{ secrets.NAME }}`
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", requires = "webhook")]
    pub(crate) headers: Vec<String>,
    /// What it is for
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    pub(crate) description: Option<String>,
    /// At most so many messages in so much time, such as 30/1m; others wait for their turn
    #[arg(long, value_name = "N/SPAN", conflicts_with = "file")]
    pub(crate) rate: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Rules {
    /// List rules by name
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show one rule
    Get {
        /// Its name
        rule: String,
    },
    /// Create a rule, from a file or from flags
    Create(Box<RuleArgs>),
    /// Put another content in the place of a rule's, from a file or from flags
    Update(Box<RuleArgs>),
    /// Delete a rule
    Delete {
        /// Its name
        rule: String,
    },
}

#[derive(Debug, Args)]
pub struct RuleArgs {
    /// Its name; that of the file when not said
    #[arg(required_unless_present = "file")]
    pub(crate) rule: Option<String>,
    /// A YAML or JSON file with the whole rule (docs/notifications.md); `-` for stdin
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["on", "channels"])]
    pub(crate) file: Option<PathBuf>,
    /// Of what: started, succeeded, failed, cancelled, timed_out, task_retried, task_failed, recovered, running_long
    #[arg(
        long,
        value_name = "EVENT,…",
        value_delimiter = ',',
        required_unless_present = "file"
    )]
    pub(crate) on: Vec<String>,
    /// Where; may be repeated
    #[arg(long = "channel", value_name = "CHANNEL", required_unless_present = "file")]
    pub(crate) channels: Vec<String>,
    /// Only of these workflows: a name, or a pattern such as `daily_*`; may be repeated
    #[arg(long = "workflow", value_name = "PATTERN")]
    pub(crate) workflows: Vec<String>,
    /// Only of executions with this label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
    /// Only if this expression is true
    #[arg(long = "if", value_name = "EXPRESSION")]
    pub(crate) condition: Option<String>,
    /// How long is too long, for running_long
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) longer_than: Option<Duration>,
    /// How many times the median of the last executions is too long, for running_long
    #[arg(long, value_name = "N")]
    pub(crate) times_median: Option<f64>,
    /// Gather what happens within so much time into one message
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) group: Option<Duration>,
    /// Hours in which nobody wants to hear of it, such as 22:00-07:00
    #[arg(long, value_name = "FROM-TO", requires = "zone")]
    pub(crate) quiet: Option<String>,
    /// Their time zone, such as Europe/Berlin
    #[arg(long, value_name = "ZONE", requires = "quiet")]
    pub(crate) zone: Option<String>,
    /// Drop what happens in quiet hours, instead of holding it until they are over
    #[arg(long, requires = "quiet")]
    pub(crate) quiet_drop: bool,
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Deliveries {
    /// List messages, the newest first
    List {
        /// Only in this state, such as DEAD
        #[arg(long)]
        state: Option<String>,
        /// Only to this channel
        #[arg(long)]
        channel: Option<String>,
        /// Only by this rule
        #[arg(long)]
        rule: Option<String>,
        /// Only about this execution
        #[arg(long)]
        execution: Option<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one message, with what was sent and answered
    Get {
        /// Its id
        delivery: String,
    },
    /// Send a message again, under its own id
    Redeliver {
        /// Its id
        delivery: String,
    },
}
