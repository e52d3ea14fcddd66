//! What a database can do wrong, in the house's words.

/// What a database error means for whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A row with that key is there already.
    Duplicate,
    /// Busy, locked or cut off: the same call may succeed in a moment.
    Transient,
    /// The disk is full.
    Full,
    /// The file may not be written.
    ReadOnly,
    /// The file is damaged or no database.
    Corrupt,
    /// Anything else.
    Other,
}

/// A database did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database answered with an error, or did not answer.
    #[error("{}", summary(*kind, source))]
    Database {
        /// What it means.
        kind: ErrorKind,
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// The file or directory cannot be used.
    #[error("cannot use {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file was written by a newer version.
    #[error(
        "{path} has schema {found}, this version knows {known}: it was written by a newer nexus; use that version, or \
         another --data directory"
    )]
    Newer {
        /// The file.
        path: String,
        /// Number of its newest migration.
        found: i64,
        /// Number of the newest migration that this version knows.
        known: i64,
    },
    /// A migration that the file has is not the one that this version knows under its number.
    #[error("{path}: migration {number} was changed after it had been applied")]
    Changed {
        /// The file.
        path: String,
        /// The migration's number.
        number: i64,
    },
    /// The schema lacks migrations, and this process is not the one that applies them.
    #[error("{path} has schema {found}, this version needs {known}: run `nexus migrate`")]
    Behind {
        /// The database.
        path: String,
        /// Number of its newest migration.
        found: i64,
        /// Number of the newest migration that this version knows.
        known: i64,
    },
    /// The answer to a commit was lost, and whether it was done could not be found out. To do it again could do it
    /// twice; whoever asked has to look.
    #[error("the database was lost during a commit, and whether it was done is not known")]
    Unsettled {
        /// What happened to the commit.
        #[source]
        source: sqlx::Error,
    },
    /// Something went wrong with a database that has a name.
    #[error("{place}: {error}")]
    At {
        /// Which one: schema, host, port and name.
        place: std::sync::Arc<str>,
        /// What went wrong.
        error: Box<Error>,
    },
    /// A setting cannot be used.
    #[error("{what}")]
    Setting {
        /// Which, and why.
        what: String,
    },
    /// Another process has the directory.
    #[error("another nexus process uses {path}; stop it, or choose another directory with --data")]
    Locked {
        /// The directory.
        path: String,
    },
}

fn summary(kind: ErrorKind, source: &sqlx::Error) -> String {
    if is_distrust(source) {
        return format!("the database's certificate is not accepted, or it does not accept this one's: {source}");
    }
    let words = match kind {
        ErrorKind::Duplicate => "a row with that key exists already",
        ErrorKind::Transient => "the database is busy or cannot be reached",
        ErrorKind::Full => "the disk is full",
        ErrorKind::ReadOnly => "the database cannot be written",
        ErrorKind::Corrupt => "the database file is damaged",
        ErrorKind::Other => "the database failed",
    };
    // What the database itself says of a transient trouble is for logs; that it cannot be reached, and why, is for whoever
    // has to do something about it.
    match source {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::Protocol(_) | sqlx::Error::Configuration(_) => {
            format!("{words}: {source}")
        }
        sqlx::Error::Database(answer) if kind == ErrorKind::Other || kind == ErrorKind::Transient => {
            match answer.code() {
                Some(code) => format!("{words}: {} (SQLSTATE {code}){}", answer.message(), advice(&code)),
                None => format!("{words}: {}", answer.message()),
            }
        }
        _ => words.to_owned(),
    }
}

/// What to do about what only a person can mend.
fn advice(code: &str) -> &'static str {
    match code {
        "28000" | "28P01" => "; check the user and the password in its address, and the server's pg_hba.conf",
        "3D000" => "; create the database, or correct its name in the address",
        "42501" => "; grant the user what it lacks",
        _ => "",
    }
}

/// Whether TLS could not be agreed on. The driver tells it as a broken connection, in the words of rustls.
fn is_distrust(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(_) | sqlx::Error::Tls(_)) && error.to_string().contains("certificate")
}

impl Error {
    /// What the error means.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Database { kind, .. } => *kind,
            Self::At { error, .. } => error.kind(),
            Self::Unsettled { .. } => ErrorKind::Transient,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem => ErrorKind::ReadOnly,
            _ => ErrorKind::Other,
        }
    }

    /// Whether the same call may simply be made again: what failed has passed by in a moment, and surely nothing of it
    /// was done.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Database { kind, .. } => *kind == ErrorKind::Transient,
            Self::At { error, .. } => error.is_retriable(),
            _ => false,
        }
    }

    /// The same error with the name of the database that it is about.
    #[must_use]
    pub fn at(self, place: &std::sync::Arc<str>) -> Self {
        match self {
            Self::Database { .. } | Self::Unsettled { .. } => Self::At {
                place: std::sync::Arc::clone(place),
                error: Box::new(self),
            },
            named => named,
        }
    }

    /// What went wrong, without where: for callers, whom it does not concern.
    #[must_use]
    pub fn placeless(&self) -> &Self {
        match self {
            Self::At { error, .. } => error,
            other => other,
        }
    }

    /// What a database says of a key that is there already; for models of one.
    #[must_use]
    pub fn duplicate() -> Self {
        Self::Database {
            kind: ErrorKind::Duplicate,
            source: sqlx::Error::Protocol("the key is there already".into()),
        }
    }

    /// No answer came in time.
    #[must_use]
    pub fn timed_out() -> Self {
        let source = std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time");
        sqlx::Error::Io(source).into()
    }

    /// The chain of causes, outermost first, for logs.
    #[must_use]
    pub fn report(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text.push_str(": ");
                text.push_str(&more);
            }
            cause = error.source();
        }
        text
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        Self::Database {
            kind: classify(&source),
            source,
        }
    }
}

pub(crate) fn classify(error: &sqlx::Error) -> ErrorKind {
    match error {
        // Nothing that passes by itself.
        _ if is_distrust(error) => ErrorKind::Other,
        sqlx::Error::Database(answer) if answer.is_unique_violation() => ErrorKind::Duplicate,
        #[cfg(feature = "postgres")]
        sqlx::Error::Database(answer) if answer.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() => {
            of_postgres(answer.code().as_deref().unwrap_or_default())
        }
        // SQLite's primary result codes (https://www.sqlite.org/rescode.html); extended codes keep them in the low byte.
        sqlx::Error::Database(answer) => match answer.code().and_then(|code| code.parse::<i32>().ok()) {
            Some(code) => match code & 0xff {
                5 | 6 | 10 => ErrorKind::Transient,
                8 => ErrorKind::ReadOnly,
                11 | 26 => ErrorKind::Corrupt,
                13 => ErrorKind::Full,
                _ => ErrorKind::Other,
            },
            None => ErrorKind::Other,
        },
        // A connection that is reset while it is being made gives half a word, which the driver does not understand.
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
            ErrorKind::Transient
        }
        _ => ErrorKind::Other,
    }
}

/// What a SQLSTATE means (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
#[cfg(feature = "postgres")]
fn of_postgres(code: &str) -> ErrorKind {
    match code {
        "23505" => ErrorKind::Duplicate,
        "53100" => ErrorKind::Full,
        // Also what a former primary answers after a failover, until the address leads to the new one.
        "25006" => ErrorKind::ReadOnly,
        "XX001" | "XX002" => ErrorKind::Corrupt,
        // Conflicts, locks not had in time, statements that took too long, transactions that were forgotten, a server
        // that stops, starts or fails over, a device that failed.
        "40001" | "40P01" | "40003" | "55P03" | "55006" | "57014" | "25P03" | "57P01" | "57P02" | "57P03" | "57P05"
        | "58030" => ErrorKind::Transient,
        // Connections, and resources that others use up for the moment.
        _ if code.starts_with("08") || code.starts_with("53") => ErrorKind::Transient,
        _ => ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "postgres")]
    #[test]
    fn states_mean_what_the_manual_says() {
        for (code, kind) in [
            ("40001", ErrorKind::Transient),
            ("40P01", ErrorKind::Transient),
            ("53300", ErrorKind::Transient),
            ("57P01", ErrorKind::Transient),
            ("08006", ErrorKind::Transient),
            ("53100", ErrorKind::Full),
            ("25006", ErrorKind::ReadOnly),
            ("23505", ErrorKind::Duplicate),
            ("XX001", ErrorKind::Corrupt),
            ("23503", ErrorKind::Other),
            ("57P04", ErrorKind::Other),
            ("", ErrorKind::Other),
        ] {
            assert_eq!(of_postgres(code), kind, "{code}");
        }
    }

    #[test]
    fn a_connection_that_breaks_is_transient_however_the_driver_tells_it() {
        let io = sqlx::Error::Io(std::io::ErrorKind::ConnectionReset.into());
        let half = sqlx::Error::Protocol("unexpected response from SSLRequest: 0x00".into());
        for error in [io, half, sqlx::Error::PoolTimedOut] {
            assert_eq!(classify(&error), ErrorKind::Transient, "{error}");
        }
        assert_eq!(classify(&sqlx::Error::RowNotFound), ErrorKind::Other);
    }
}
