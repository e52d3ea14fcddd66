//! What can be typed.

mod context;
mod events;
mod notifications;
mod schedules;
mod secrets;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use nexus_cli_frame::Page;

pub use context::{ContextValue, Contexts, SetContext};
pub use events::{EventsArgs, Readers};
pub use notifications::{ChannelArgs, Channels, Deliveries, MailSecurity, RuleArgs, Rules};
pub use schedules::{BackfillArgs, Catchup, DayMatch, DstPolicy, NextArgs, Policy, Schedules, Settings, Times};
pub use secrets::{Secrets, SetArgs};

/// The commands of a client.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check workflow files without a server
    Validate(ValidateArgs),
    /// Make workflows be what their files say
    Apply(ApplyArgs),
    /// Start an execution
    Run(RunArgs),
    /// Look at workflows and their revisions
    #[command(subcommand, visible_alias = "workflow")]
    Workflows(Workflows),
    /// Look at executions, wait for them, cancel them
    #[command(subcommand, visible_alias = "execution")]
    Executions(Executions),
    /// Have executions start by themselves: when, and what became of it
    #[command(subcommand, visible_alias = "schedule")]
    Schedules(Schedules),
    /// Show what tasks wrote
    Logs(LogsArgs),
    /// Make any call of REST (docs/rest.md), without a gateway
    Api(ApiArgs),
    /// Show what happens, as it is committed
    Events(EventsArgs),
    /// Look at who reads the feed of events, and forget those that do not come any more
    #[command(subcommand, visible_alias = "reader")]
    Readers(Readers),
    /// Turn a workflow of the earlier Python system into a workflow file
    Import(ImportArgs),
    /// Keep secrets for tasks: set them, and see which there are and who names them
    #[command(subcommand, visible_alias = "secret")]
    Secrets(Secrets),
    /// Say where messages about executions go, and try it out
    #[command(subcommand, visible_alias = "channel")]
    Channels(Channels),
    /// Say of what messages tell, and which channels get them
    #[command(subcommand, visible_alias = "rule")]
    Rules(Rules),
    /// Look at messages, and send them again
    #[command(subcommand, visible_alias = "delivery")]
    Deliveries(Deliveries),
    /// Name the systems that commands can be about
    #[command(subcommand, visible_alias = "contexts")]
    Context(Contexts),
    /// Log in; what is left of it is a session, which the context keeps
    Login(nexus_cli_access::LoginArgs),
    /// End the session, and forget it
    Logout,
    /// Show who you are to the server, and what you may do
    Whoami,
    /// Create, show and revoke API keys
    #[command(subcommand, visible_alias = "key")]
    Keys(nexus_cli_access::Keys),
    /// Create, show and change users
    #[command(subcommand, visible_alias = "user")]
    Users(nexus_cli_access::Users),
    /// Create, show and change roles
    #[command(subcommand, visible_alias = "role")]
    Roles(nexus_cli_access::Roles),
    /// Show and end sessions
    #[command(subcommand, visible_alias = "session")]
    Sessions(nexus_cli_access::Sessions),
    /// Show the audit log: who did what to which object, from where
    Audit(nexus_cli_access::Audit),
}

#[derive(Debug, Args)]
pub struct ValidateArgs {
    /// Files, or folders with .yaml, .yml and .json files; `-` for stdin
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// A file, a folder with .yaml, .yml and .json files, or `-` for stdin; may be repeated
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(super) files: Vec<PathBuf>,
    /// Say what would happen and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// What changed, in your words
    #[arg(short, long, default_value = "", hide_default_value = true)]
    pub(super) message: String,
}

#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name of the workflow
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(super) workflow: Option<String>,
    /// Apply this file first and run what it defines
    #[arg(short, long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The revision to run; the newest when not said
    #[arg(long, default_value_t = 0, hide_default_value = true, conflicts_with = "file")]
    pub(super) revision: u32,
    /// A parameter; `KEY=@FILE` reads the value from a file, `KEY=@@…` begins with an @
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    pub(super) params: Vec<String>,
    /// All parameters from a JSON or YAML file, `-` for stdin; `--param` is laid over them
    #[arg(long = "params", value_name = "FILE")]
    pub(super) params_file: Option<PathBuf>,
    /// A label, laid over the workflow's own
    #[arg(long = "label", value_name = "KEY=VALUE")]
    pub(super) labels: Vec<String>,
    /// Starting twice with the same id gives one execution
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    pub(super) request_id: String,
    /// Show progress until it has ended
    #[arg(long)]
    pub(super) watch: bool,
    /// Wait until it has ended
    #[arg(long)]
    pub(super) wait: bool,
    /// Wait at most this long, such as 90s or 10m; the execution goes on
    #[arg(long, value_parser = nexus_cli_frame::time::parse_span, value_name = "SPAN")]
    pub(super) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub enum Workflows {
    /// List workflows
    List {
        /// Only those with this label
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one workflow
    Get {
        /// Its name
        workflow: String,
    },
    /// Delete a workflow; running executions go on
    Delete {
        /// Its name
        workflow: String,
    },
    /// List a workflow's revisions
    Revisions {
        /// Its name
        workflow: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show what changed between two revisions
    Diff {
        /// The workflow's name
        workflow: String,
        /// The older revision; the one before the newer when not said
        #[arg(default_value_t = 0, hide_default_value = true)]
        from: u32,
        /// The newer revision; the newest when not said
        #[arg(default_value_t = 0, hide_default_value = true)]
        to: u32,
    },
    /// Draw a workflow's graph
    Graph {
        /// The workflow's name
        workflow: String,
        /// The revision; the newest when not said
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        revision: u32,
        /// The form of the picture
        #[arg(long, value_enum, default_value_t = GraphForm::Mermaid)]
        format: GraphForm,
    },
    /// Print a workflow's file
    Export {
        /// The workflow's name
        workflow: String,
        /// The revision; the newest when not said
        #[arg(long, default_value_t = 0, hide_default_value = true)]
        revision: u32,
        /// As written, or in canonical form
        #[arg(long, value_enum, default_value_t = ExportForm::Source)]
        format: ExportForm,
    },
}

/// A picture of a graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GraphForm {
    Json,
    Mermaid,
    Dot,
    Svg,
}

/// A form of a workflow file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportForm {
    Source,
    Yaml,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Executions {
    /// List executions, newest first
    List {
        /// Only of this workflow
        #[arg(long)]
        workflow: Option<String>,
        /// Only in this state, such as FAILED
        #[arg(long)]
        state: Option<String>,
        /// Only those with this label
        #[arg(long = "label", value_name = "KEY=VALUE")]
        labels: Vec<String>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one execution with its tasks
    Get {
        /// Its id, the beginning of it, or @last
        execution: String,
    },
    /// Show progress until it has ended
    Watch {
        /// Its id, the beginning of it, or @last
        execution: String,
        /// Watch at most this long, such as 90s or 10m; the execution goes on
        #[arg(long, value_parser = nexus_cli_frame::time::parse_span, value_name = "SPAN")]
        timeout: Option<Duration>,
    },
    /// Wait until it has ended
    Wait {
        /// Its id, the beginning of it, or @last
        execution: String,
        /// Wait at most this long, such as 90s or 10m; the execution goes on
        #[arg(long, value_parser = nexus_cli_frame::time::parse_span, value_name = "SPAN")]
        timeout: Option<Duration>,
    },
    /// Cancel it
    Cancel {
        /// Its id, the beginning of it, or @last
        execution: String,
        /// Why, for the history
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
    /// Show its history
    History {
        /// Its id, the beginning of it, or @last
        execution: String,
    },
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The execution's id, the beginning of it, or @last
    pub(super) execution: String,
    /// Only this task
    pub(super) task: Option<String>,
    /// Go on until the execution has ended
    #[arg(short, long)]
    pub(super) follow: bool,
    /// Only this attempt of the task
    #[arg(
        long,
        default_value_t = 0,
        hide_default_value = true,
        requires = "task",
        value_name = "N"
    )]
    pub(super) attempt: u32,
}

#[derive(Debug, Args)]
pub struct ApiArgs {
    /// GET, POST, PUT, PATCH or DELETE
    #[arg(value_name = "METHOD")]
    pub(super) verb: String,
    /// Path with its query, such as /api/v1/executions?page_size=5
    pub(super) path: String,
    /// The body: JSON, or with @ a file that holds it, `@-` for stdin
    #[arg(short, long, value_name = "JSON")]
    pub(super) data: Option<String>,
    /// A header, such as `accept: application/x-ndjson`; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// Show the status and the headers on stderr
    #[arg(short, long)]
    pub(super) include: bool,
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The earlier system's JSON; `-` for stdin
    pub(super) file: PathBuf,
    /// The name to give the workflow; the document's own when not said
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) name: String,
    /// Store the workflow, instead of only printing its file
    #[arg(long)]
    pub(super) apply: bool,
}
