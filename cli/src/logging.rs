//! The log, on stderr.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::output::Output;

/// Logs what the command line asks for, or `RUST_LOG` if it is set. The director says what it does; the other
/// commands say so only when asked, as their messages say enough.
pub fn start(global: &Global, is_director: bool, output: &Output) {
    let louder = usize::from(global.verbose) + usize::from(is_director);
    let level = match louder {
        _ if global.quiet => "error",
        0 => "warn",
        1 if is_director => "info",
        1 | 2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,wvs={level},wvs_core={level}")));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(output.message_paint.is_on())
        .with_target(global.verbose > 1)
        .log_internal_errors(false);
    // The journal and most supervisors note the time themselves.
    let started = if is_director && io::stderr().is_terminal() {
        tracing::subscriber::set_global_default(log.finish())
    } else {
        tracing::subscriber::set_global_default(log.without_time().finish())
    };
    debug_assert!(started.is_ok(), "the log is started once");
}
