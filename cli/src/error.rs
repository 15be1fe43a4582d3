//! Why a command failed, what to do about it, and how that is written.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::client::ClientError;
use crate::exit::Exit;
use crate::local::LocalError;
use crate::render::{Paint, escape, escape_block, escape_painted};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The command line makes no sense, beyond what its grammar can tell.
    #[error("{0}")]
    Usage(String),
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// stdout takes no more.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
    /// The answer cannot be written in the form that was asked for.
    #[error("cannot write {what} as {format}")]
    Form {
        /// The answer.
        what: &'static str,
        /// The form.
        format: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The operator did not confirm.
    #[error("not confirmed; nothing was removed")]
    NotConfirmed,
    /// The director.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What needs no director.
    #[error(transparent)]
    Local(#[from] LocalError),
}

impl CommandError {
    /// The exit code it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            CommandError::Usage(_) => Exit::Usage,
            CommandError::Client(ClientError::Unreachable { .. } | ClientError::Unanswered { .. }) => {
                Exit::Unreachable
            }
            _ => Exit::Failed,
        }
    }

    /// A configuration's faults, which are a text of their own. `painted` if it may have colour.
    fn faults(&self, painted: bool) -> Option<String> {
        match self {
            CommandError::Client(ClientError::Refused { failure }) => {
                failure.faults.as_deref().map(escape_block)
            }
            CommandError::Local(error) if painted => error.faults().map(escape_painted),
            CommandError::Local(error) => error.faults().map(escape_block),
            _ => None,
        }
    }

    /// What caused it, outermost first.
    fn causes(&self) -> Vec<String> {
        if let CommandError::Client(ClientError::Refused { failure }) = self {
            return failure.causes.clone();
        }
        let sources = std::iter::successors(self.source(), |&error| error.source());
        sources.map(|error| error.to_string()).collect()
    }

    /// What to do about it, where that is known.
    fn help(&self) -> Option<String> {
        match self {
            CommandError::Client(error) => client_help(error),
            CommandError::Local(error) => error.help(),
            _ => None,
        }
    }
}

fn client_help(error: &ClientError) -> Option<String> {
    match error {
        ClientError::Unreachable { socket, source } => {
            let socket = socket.display();
            Some(match source.kind() {
                io::ErrorKind::NotFound => format!(
                    "there is no {socket}: start the director with `wvs run --config FILE`, or name its socket with --socket or WVS_SOCKET"
                ),
                io::ErrorKind::ConnectionRefused => format!(
                    "{socket} is there, but no director listens: start it with `wvs run --config FILE`"
                ),
                io::ErrorKind::PermissionDenied => "run as root".to_owned(),
                _ => return None,
            })
        }
        ClientError::Unanswered { .. } => Some(
            "a change may have been made or not: see `wvs status`, and the director's log if it ended"
                .to_owned(),
        ),
        ClientError::Malformed { .. } | ClientError::Foreign { .. } => Some(
            "are the director and this wvs of the same version? See `wvs status` and `wvs --version`"
                .to_owned(),
        ),
        ClientError::Setup { .. } | ClientError::Refused { .. } => None,
    }
}

/// Writes an error: the configuration's faults as they are, then the error, its causes and what to do.
pub fn render(error: &CommandError, paint: Paint) -> String {
    let mut text = String::new();
    if let Some(faults) = error.faults(paint.is_on()) {
        let _ = writeln!(text, "{}\n", faults.trim_end());
    }
    let message = match error {
        // What this process itself says of the machine can take several lines.
        CommandError::Local(_) => escape_block(error.to_string().trim_end()),
        _ => escape(&error.to_string()),
    };
    let _ = writeln!(text, "{} {message}", paint.error("error:"));
    for cause in error.causes() {
        let _ = writeln!(text, "  caused by: {}", escape(&cause));
    }
    if let Some(help) = error.help() {
        let _ = writeln!(text, "{} {}", paint.bold("help:"), escape(&help));
    }
    text
}
