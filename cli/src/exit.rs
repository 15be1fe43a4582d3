//! What the exit code says.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no director, or none that we may talk to.
    Unreachable = 3,
    /// The answer was printed, and it is not a good one.
    Degraded = 4,
    /// Something differs.
    Drift = 5,
}

impl Exit {
    const ALL: [Exit; 6] = [
        Exit::Done,
        Exit::Failed,
        Exit::Usage,
        Exit::Unreachable,
        Exit::Degraded,
        Exit::Drift,
    ];

    fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Failed => "failed",
            Exit::Usage => "usage: the command line makes no sense",
            Exit::Unreachable => "the director cannot be reached",
            Exit::Degraded => "degraded: status or doctor found something that is not as it should be",
            Exit::Drift => "drift: diff found a difference",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The exit codes as `wvs --help` lists them.
pub fn help() -> String {
    let lines = Exit::ALL.map(|exit| format!("\n  {}  {}", exit as u8, exit.meaning()));
    format!("Exit codes:{}\n\nData is written to stdout, messages to stderr.", lines.concat())
}
