//! What can be typed about who may do what: logging in and out, keys, users, roles, sessions; and about who did what.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use nexus_cli_frame::time::{Since, parse_span};
use nexus_cli_frame::{Page, secret};
use secrecy::SecretString;

#[derive(Debug, Args)]
pub struct LoginArgs {
    /// The user's name; asked for at a terminal when not said
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Read the password from stdin instead of the terminal
    #[arg(long)]
    pub password_stdin: bool,
    /// Log in by the OpenID provider, in a browser on this machine
    #[arg(long, conflicts_with_all = ["user", "password_stdin", "claim"])]
    pub oidc: bool,
    /// Print the address of the provider's page and open no browser
    #[arg(long, requires = "oidc")]
    pub no_browser: bool,
    /// Become the first administrator, by the one-time token that the server printed at its first start
    #[arg(long, value_name = "TOKEN", value_parser = secret)]
    pub claim: Option<SecretString>,
}

#[derive(Debug, Subcommand)]
pub enum Keys {
    /// Create an API key; its secret is shown once
    Create(CreateKey),
    /// List keys, the newest first
    List {
        /// Only those of this user
        #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
        user: String,
        /// Those too that have ended or were revoked
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        page: Page,
    },
    /// Show one key, without its secret
    Get {
        /// Its id, the second part of nxk_ID_…
        #[arg(value_name = "KEY")]
        id: String,
    },
    /// Revoke a key for good
    Revoke {
        /// Its id, the second part of nxk_ID_…
        #[arg(value_name = "KEY")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateKey {
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub description: String,
    /// Whose it is to be; your own when not said
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub user: String,
    /// A role that it has, in the command's namespace, in others (ROLE@a,b) or in every one (ROLE@*); may be repeated
    #[arg(long = "role", required = true, value_name = "ROLE[@NAMESPACE,…]")]
    pub roles: Vec<String>,
    /// For workers: a queue that tasks may be taken from; may be repeated, every queue when not said
    #[arg(long = "queue", value_name = "NAME")]
    pub queues: Vec<String>,
    /// How long it lives, such as 90d; for ever when not said
    #[arg(long, value_parser = parse_span, value_name = "SPAN")]
    pub expires: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub enum Users {
    /// Create a person or a service account
    Create(CreateUser),
    /// List users by name
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show one user
    Get {
        /// The name
        #[arg(value_name = "USER")]
        name: String,
    },
    /// Change a user's name for people or roles
    Update(UpdateUser),
    /// Let a user do nothing at present: neither they nor their keys and sessions
    Disable {
        /// The name
        #[arg(value_name = "USER")]
        name: String,
    },
    /// Let a disabled user do again what they may
    Enable {
        /// The name
        #[arg(value_name = "USER")]
        name: String,
    },
    /// Set a user's password; their sessions end
    SetPassword {
        /// The name; your own when not said
        #[arg(value_name = "USER")]
        name: Option<String>,
        /// Read the password from stdin instead of the terminal; your own old one on the line before it
        #[arg(long)]
        password_stdin: bool,
    },
    /// Delete a user, with their keys and sessions
    Delete {
        /// The name
        #[arg(value_name = "USER")]
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct CreateUser {
    /// The name
    #[arg(value_name = "USER")]
    pub name: String,
    /// The name for people
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub display_name: String,
    /// It is a program: it has keys and no password
    #[arg(long)]
    pub service_account: bool,
    /// A role, in the command's namespace, in others (ROLE@a,b) or in every one (ROLE@*); may be repeated
    #[arg(long = "role", value_name = "ROLE[@NAMESPACE,…]")]
    pub roles: Vec<String>,
    /// Read a password from stdin
    #[arg(long, conflicts_with_all = ["service_account", "no_password"])]
    pub password_stdin: bool,
    /// Set no password: they come by the OpenID provider
    #[arg(long)]
    pub no_password: bool,
}

#[derive(Debug, Args)]
pub struct UpdateUser {
    /// The name
    #[arg(value_name = "USER")]
    pub name: String,
    /// The new name for people
    #[arg(long, value_name = "NAME")]
    pub display_name: Option<String>,
    /// All roles from now on, in the command's namespace, in others (ROLE@a,b) or in every one (ROLE@*); may be repeated
    #[arg(long = "role", value_name = "ROLE[@NAMESPACE,…]")]
    pub roles: Vec<String>,
    /// No role from now on
    #[arg(long, conflicts_with = "roles")]
    pub no_roles: bool,
    /// Change only what still has this etag
    #[arg(long, default_value = "", hide_default_value = true)]
    pub etag: String,
}

#[derive(Debug, Subcommand)]
pub enum Roles {
    /// Create a role
    Create {
        /// The name
        #[arg(value_name = "ROLE")]
        name: String,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
        description: String,
        /// A permission, such as workflows.read (docs/methods.md); may be repeated
        #[arg(long = "permission", required = true, value_name = "PERMISSION")]
        permissions: Vec<String>,
    },
    /// List roles: those that are built in, then the others by name
    List {
        #[command(flatten)]
        page: Page,
    },
    /// Show one role
    Get {
        /// The name
        #[arg(value_name = "ROLE")]
        name: String,
    },
    /// Change a role that is not built in
    Update {
        /// The name
        #[arg(value_name = "ROLE")]
        name: String,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// All permissions from now on; may be repeated
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// Change only what still has this etag
        #[arg(long, default_value = "", hide_default_value = true)]
        etag: String,
    },
    /// Delete a role that is not built in and that nobody has
    Delete {
        /// The name
        #[arg(value_name = "ROLE")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Sessions {
    /// List sessions, the newest first
    List {
        /// Only those of this user
        #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
        user: String,
        #[command(flatten)]
        page: Page,
    },
    /// End a session
    Revoke {
        /// Its id
        #[arg(value_name = "SESSION")]
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Audit {
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only of this actor: a user's name, or what whoami shows as the subject
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub actor: String,
    /// Only about this object, as NAME or KIND/NAME, such as user/anna
    #[arg(long, default_value = "", hide_default_value = true, value_name = "OBJECT")]
    pub object: String,
    /// Only of this method, such as CreateUser
    #[arg(long, default_value = "", hide_default_value = true, value_name = "METHOD")]
    pub method: String,
    /// Only what was refused
    #[arg(long)]
    pub denied: bool,
    /// Only from then on: a time, or a span such as 2h
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    pub since: Option<Since>,
    /// Only about the namespace of the command, for who may not see all of them
    #[arg(long)]
    pub one_namespace: bool,
    /// The oldest first
    #[arg(long)]
    pub oldest_first: bool,
    #[command(flatten)]
    pub page: Page,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Write the whole log into a file, one JSON object a line; goes on where the file ends
    Export {
        /// The file
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Compute the chain of hashes anew: the server's, or that of a file that was exported
    Verify {
        /// A file that was exported
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// Do not ask the server whether it still has the file's last entry
        #[arg(long, requires = "file")]
        offline: bool,
    },
}
