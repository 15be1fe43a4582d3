//! Bringing a host to what a wish needs.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::memory::{Memory, MemoryError, Remembered};
use super::unit::{self, UnitError};
use super::{Change, Door, DoorError, Item, State, Wish, judge, plan};

/// Setting up at boot: by a unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Persistence {
    /// The root of the file system that the unit is written to.
    pub root: PathBuf,
    /// The program that it runs.
    pub program: PathBuf,
}

/// What setup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// What was changed, or would be.
    pub changes: Vec<Change>,
    /// The unit, if it was written.
    pub unit: Option<PathBuf>,
    /// How things are afterwards; of a rehearsal: before.
    pub items: Vec<Item>,
}

/// Why a host was not set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// What is remembered cannot be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// It is set up for something else.
    #[error(
        "this host is set up with `{0}`: name its addresses too and keep the rest, or run `wvs real-server undo` first"
    )]
    Otherwise(Box<Wish>),
    /// Something is in the way.
    #[error("something is in the way; nothing was changed{}", lines(.0))]
    Obstacles(Vec<Item>),
    /// It cannot be looked at.
    #[error(transparent)]
    Look(#[from] DoorError),
    /// A change failed.
    #[error("{what}{}", outcome(.left))]
    Failed {
        /// What failed.
        what: &'static str,
        /// What could not be taken back, and why.
        left: Vec<String>,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn lines(items: &[Item]) -> String {
    let line = |item: &Item| {
        let fix = item
            .fix
            .as_ref()
            .map_or_else(String::new, |fix| format!("\n    fix: {fix}"));
        format!("\n  {}: {}, wanted: {}{fix}", item.name, item.is, item.wanted)
    };
    items.iter().map(line).collect()
}

fn outcome(left: &[String]) -> String {
    if left.is_empty() {
        "; what had been changed is as it was before".to_owned()
    } else {
        format!(
            "; not everything could be taken back, `wvs real-server undo` tries again:\n  {}",
            left.join("\n  ")
        )
    }
}

/// Brings a host to what a wish needs, or, to rehearse, says what it would change.
///
/// What is there already stays as it is and is not remembered, so that undo leaves it. A wish may grow by virtual
/// addresses; for anything else the host has to be set back first.
pub fn setup(
    door: &mut dyn Door,
    state_dir: &Path,
    wish: &Wish,
    persistence: Option<Persistence>,
    rehearse: bool,
) -> Result<Made, SetupError> {
    let memory = if rehearse {
        None
    } else {
        Some(Memory::open(state_dir)?)
    };
    let origin = door.origin()?;
    let before = Memory::peek(state_dir, &origin)?;
    if let Some(before) = &before
        && (wish.is_of_another_kind(&before.wish) || !before.wish.vips.is_subset(&wish.vips))
    {
        return Err(SetupError::Otherwise(before.wish.clone().into()));
    }
    let items = judge(wish, &door.see(wish, true)?);
    let obstacles: Vec<_> = items
        .iter()
        .filter(|it| it.state == State::Wrong)
        .cloned()
        .collect();
    if !obstacles.is_empty() {
        return Err(SetupError::Obstacles(obstacles));
    }
    let changes = plan(&items);
    let Some(memory) = memory else {
        let unit = None;
        return Ok(Made { changes, unit, items });
    };
    let after = Remembered {
        origin,
        wish: wish.clone(),
        changes: joined(before.as_ref().map_or(&[], |it| &it.changes), &changes),
        persistence: persistence.or_else(|| before.as_ref()?.persistence.clone()),
    };
    if before.as_ref() != Some(&after) {
        memory.keep(Some(&after))?;
    }
    let unit = match make_all(door, &changes, &after, state_dir) {
        Ok(unit) => unit,
        Err((made, what, source)) => {
            let left = take_back(door, &changes[..made]);
            // What could not be taken back is still to be undone.
            if left.is_empty() {
                memory.keep(before.as_ref())?;
            }
            return Err(SetupError::Failed { what, left, source });
        }
    };
    let items = judge(wish, &door.see(wish, true)?);
    Ok(Made { changes, unit, items })
}

/// What is remembered, with what comes to it. Where both are about the same thing, what was before the first counts.
fn joined(before: &[Change], new: &[Change]) -> Vec<Change> {
    let fresh = new
        .iter()
        .filter(|change| !before.iter().any(|old| old.is_about_the_same(change)));
    before.iter().chain(fresh).cloned().collect()
}

type Failure = (usize, &'static str, Box<dyn std::error::Error + Send + Sync>);

/// Makes all changes, and writes the unit. A failure says how many have been made, all or in part.
fn make_all(
    door: &mut dyn Door,
    changes: &[Change],
    after: &Remembered,
    state_dir: &Path,
) -> Result<Option<PathBuf>, Failure> {
    for (change, made) in changes.iter().zip(1..) {
        door.make(change)
            .map_err(|error| (made, "the host cannot be set up", error.into()))?;
    }
    let Some(persistence) = &after.persistence else {
        return Ok(None);
    };
    let text = unit::text(&after.wish, state_dir, &persistence.program);
    match unit::write(&persistence.root, &text) {
        Ok(is_new) => Ok(is_new.then(|| unit::path(&persistence.root))),
        Err(error) => Err((changes.len(), "the host cannot be set up at boot", unit_source(error))),
    }
}

fn unit_source(error: UnitError) -> Box<dyn std::error::Error + Send + Sync> {
    error.into()
}

/// Takes changes back, the last one first, and says what could not be.
fn take_back(door: &mut dyn Door, changes: &[Change]) -> Vec<String> {
    let mut left = Vec::new();
    for change in changes.iter().rev() {
        if let Err(error) = door.unmake(change) {
            left.push(format!("{change}: {}", crate::chain(&error)));
        }
    }
    left
}
