//! What the director offers a plugin. There is nothing else: no files, no network, no clock.

#[cfg(target_arch = "wasm32")]
use crate::bindings::policy::wvs::scheduler::host as imported;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::host as imported;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The scheduler cannot do its work.
    Error,
    /// The operator should look at this.
    Warn,
    /// Worth knowing.
    Info,
    /// For the author of the plugin.
    Debug,
}

/// Writes to the director's log under the plugin's name. The director limits rate and length.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    let level = match level {
        Level::Error => imported::Level::Error,
        Level::Warn => imported::Level::Warn,
        Level::Info => imported::Level::Info,
        Level::Debug => imported::Level::Debug,
    };
    imported::log(level, message);
}

/// A random number. The same seed, which the director gives, makes the same numbers.
#[must_use]
pub fn random() -> u32 {
    imported::random()
}

/// Seconds since the plugin was loaded; virtual time in a simulation.
#[must_use]
pub fn now() -> f64 {
    imported::now()
}

/// A panic in a module is a bare trap, so its message has to reach the log first.
pub(crate) fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        let mut message = String::from("panicked");
        if let Some(at) = panic.location() {
            message.push_str(" at ");
            message.push_str(at.file());
            message.push(':');
            crate::params::push_decimal(&mut message, at.line());
        }
        if let Some(text) = panic.payload_as_str() {
            message.push_str(": ");
            message.push_str(text);
        }
        log(Level::Error, &message);
    }));
}
