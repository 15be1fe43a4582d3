//! Dispatch tables.

use crate::scheduler::{BackendId, Dispatch};

/// What a scheduler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DispatchTable {
    /// How the kernel uses the slots.
    pub dispatch: Dispatch,
    /// Who gets each slot.
    pub slots: Vec<Option<BackendId>>,
}
