//! Taking back what setup has changed.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use super::memory::{Memory, MemoryError, Remembered};
use super::unit::{self, UnitError};
use super::{Change, Door, DoorError, Unmade, Wish};

/// What undo did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// What was taken back.
    pub changes: Vec<String>,
    /// What was left alone, because somebody has changed it since.
    pub left: Vec<String>,
    /// Whether a unit was removed.
    pub unit: bool,
    /// What the host still is a real server of.
    pub remains: Option<Wish>,
    /// Whether anything was remembered at all.
    pub remembered: bool,
}

/// Why not everything was taken back.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// What is remembered cannot be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The host cannot be looked at.
    #[error(transparent)]
    Look(#[from] DoorError),
    /// An address is not among those that were set up.
    #[error("{vip} was not set up; what was: {wish}")]
    Unknown {
        /// The address.
        vip: IpAddr,
        /// What was set up.
        wish: Box<Wish>,
    },
    /// The unit cannot be removed.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// Some changes could not be taken back; they are still remembered.
    #[error("not everything could be taken back; try again:\n  {}", .0.join("\n  "))]
    Failed(Vec<String>),
}

/// Takes back what setup has changed: for some virtual addresses, or all of it where none is named. What somebody
/// else has changed since is left alone.
///
/// `root` is where a unit is looked for that nobody remembers.
pub fn undo(
    door: &mut dyn Door,
    state_dir: &Path,
    vips: &BTreeSet<IpAddr>,
    root: &Path,
) -> Result<Undone, UndoError> {
    let memory = Memory::open(state_dir)?;
    let origin = door.origin()?;
    let Some(before) = Memory::peek(state_dir, &origin)? else {
        let unit = vips.is_empty() && unit::remove(root)?;
        return Ok(Undone {
            unit,
            ..Undone::default()
        });
    };
    if let Some(vip) = vips.difference(&before.wish.vips).next() {
        return Err(UndoError::Unknown {
            vip: *vip,
            wish: before.wish.into(),
        });
    }
    let mut remains = before.wish.clone();
    remains.vips.retain(|vip| !vips.is_empty() && !vips.contains(vip));
    // First what would bring it back.
    let unit = match &before.persistence {
        Some(persistence) if remains.vips.is_empty() => unit::remove(&persistence.root)?,
        Some(persistence) => {
            unit::write(&persistence.root, &unit::text(&remains, state_dir, &persistence.program))?;
            false
        }
        None => false,
    };
    let (kept, obsolete): (Vec<_>, Vec<_>) = before
        .changes
        .iter()
        .cloned()
        .partition(|change| change.is_needed_for(&remains));
    let mut undone = Undone {
        unit,
        remembered: true,
        ..Undone::default()
    };
    let failures = unmake_all(door, &obsolete, &mut undone);
    if !failures.is_empty() {
        // All of it is still wished, so that the next try finds it.
        let is_left = |change: &Change| failures.iter().any(|(failed, _)| failed == change);
        let left = obsolete.into_iter().filter(is_left);
        memory.keep(Some(&Remembered {
            changes: left.chain(kept).collect(),
            origin,
            ..before
        }))?;
        return Err(UndoError::Failed(failures.into_iter().map(|(_, why)| why).collect()));
    }
    if remains.vips.is_empty() {
        memory.keep(None)?;
    } else {
        memory.keep(Some(&Remembered {
            wish: remains.clone(),
            changes: kept,
            origin,
            ..before
        }))?;
        undone.remains = Some(remains);
    }
    Ok(undone)
}

/// Takes changes back, the last one first, and gives back those that could not be, with the reason.
fn unmake_all(door: &mut dyn Door, changes: &[Change], undone: &mut Undone) -> Vec<(Change, String)> {
    let mut failures = Vec::new();
    for change in changes.iter().rev() {
        match door.unmake(change) {
            Ok(Unmade::Done) => undone.changes.push(change.taken_back()),
            Ok(Unmade::Already) => {}
            Ok(Unmade::Foreign(is)) => undone
                .left
                .push(format!("{}: it is {is} now", change.taken_back())),
            Err(error) => failures.push((change.clone(), format!("{change}: {}", crate::chain(&error)))),
        }
    }
    failures
}
