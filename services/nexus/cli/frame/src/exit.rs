//! How commands end.

use std::process::ExitCode;

use nexus_api::execution::v1::execution::State;

/// How a command ended. Numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it should.
    Ok,
    /// It did not, for a reason without a number of its own.
    Error,
    /// The execution failed or timed out.
    Failed,
    /// The server does not know who calls, or does not allow it.
    Denied,
    /// The execution was cancelled.
    Cancelled,
    /// The wait was over before the execution.
    StillRunning,
    /// The server cannot be reached.
    Unavailable,
    /// The workflow or its parameters are invalid.
    Invalid,
    /// Ctrl-C.
    Interrupted,
}

impl Exit {
    /// The number. 2 belongs to the argument parser.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Error => 1,
            Self::Failed => 3,
            Self::Denied => 4,
            Self::Cancelled => 5,
            Self::StillRunning => 6,
            Self::Unavailable => 7,
            Self::Invalid => 8,
            Self::Interrupted => 130,
        }
    }

    /// The exit code of the process.
    #[must_use]
    pub fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// What an execution's state means for the command that waited for it.
    pub fn of_state(state: State) -> Self {
        match state {
            State::Succeeded => Self::Ok,
            State::Failed | State::TimedOut => Self::Failed,
            State::Cancelled => Self::Cancelled,
            State::Unspecified | State::Pending | State::Running | State::Paused | State::Cancelling => {
                Self::StillRunning
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_promised() {
        let numbers = [
            Exit::Ok,
            Exit::Error,
            Exit::Failed,
            Exit::Denied,
            Exit::Cancelled,
            Exit::StillRunning,
            Exit::Unavailable,
            Exit::Invalid,
            Exit::Interrupted,
        ];
        assert_eq!(numbers.map(Exit::number), [0, 1, 3, 4, 5, 6, 7, 8, 130]);
        assert_eq!(Exit::of_state(State::TimedOut), Exit::Failed);
        assert_eq!(Exit::of_state(State::Cancelling), Exit::StillRunning);
    }
}
