//! How a call of a plugin fails.

use std::fmt;
use std::time::Duration;

/// Why a call of a plugin gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It did something that WebAssembly forbids, or gave up.
    #[error("plugin {plugin}: {call} trapped: {cause}")]
    Trap {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// The kind of trap, and the plugin's last words.
        cause: String,
    },
    /// It did not come to an end.
    #[error("plugin {plugin}: {call} was stopped after its {} ms", limit.as_millis())]
    Deadline {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// How long it may take.
        limit: Duration,
    },
    /// It wanted more memory than there is.
    #[error(
        "plugin {plugin}: {call} failed: memory limit {limit} B reached, the plugin asked for {wanted} B"
    )]
    Memory {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// How much it may have.
        limit: usize,
        /// How much it wanted to have.
        wanted: usize,
    },
    /// Its answer breaks the contract.
    #[error("plugin {plugin}: {call} broke the contract: {what}")]
    Contract {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// In what way.
        what: Breach,
    },
    /// It said no, in its own words.
    #[error("plugin {plugin}: {call} refused: {message}")]
    Refused {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
        /// Its words.
        message: String,
    },
    /// It failed before, and nothing is known of its state.
    #[error("plugin {plugin}: {call} was not tried, because this instance failed before: start another")]
    Failed {
        /// The plugin.
        plugin: String,
        /// The function of the contract.
        call: &'static str,
    },
}

/// In what way an answer breaks the contract.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// A table of another length.
    #[error("{asked} slots were asked for, and {came} came")]
    Length {
        /// How many slots were asked for.
        asked: u32,
        /// How many came.
        came: usize,
    },
    /// A backend that it was not told of.
    #[error("{place} backend {id}, which was not in the last update")]
    Unknown {
        /// Where it stands.
        place: Place,
        /// What it answered.
        id: u32,
    },
    /// A backend that takes no new connections.
    #[error("{place} backend {id}, which takes no new connections (weight 0, draining, full or down)")]
    Unusable {
        /// Where it stands.
        place: Place,
        /// What it answered.
        id: u32,
    },
    /// It answers one kind, and has the interface of another.
    #[error("it answers {answer}, but does not export {interface}")]
    Interface {
        /// What it answered to `configure`.
        answer: &'static str,
        /// The interface that goes with it.
        interface: String,
    },
    /// More than is taken out of a module at once.
    #[error("its answer takes more than {limit} B")]
    TooLong {
        /// How much is taken.
        limit: usize,
    },
    /// It declares more than a sandbox has.
    #[error("it wants more than its sandbox has: {0}")]
    Limits(String),
    /// Its answer cannot be taken out of the module.
    #[error("{0}")]
    Unreadable(String),
}

/// Where a backend stands in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this slot of a table.
    Slot(usize),
    /// It is the answer.
    Choice,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Slot(slot) => write!(f, "slot {slot} holds"),
            Place::Choice => f.write_str("it chose"),
        }
    }
}

impl CallError {
    /// All [kinds](Self::kind).
    pub const KINDS: [&str; 6] = ["trap", "deadline", "memory", "contract", "refused", "failed"];

    /// One word for counters.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Deadline { .. } => "deadline",
            Self::Memory { .. } => "memory",
            Self::Contract { .. } => "contract",
            Self::Refused { .. } => "refused",
            Self::Failed { .. } => "failed",
        }
    }
}
