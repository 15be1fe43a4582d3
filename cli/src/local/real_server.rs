//! What is done on a real server.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use wvs_core::kernel::real_server::HostDoor;
use wvs_core::real_server::{
    DoorError, Item, Persistence, SetupError, Status, StatusError, UndoError, setup as make, status as look,
    undo as take_back,
};

use crate::args::{Places, SetupArgs, StatusArgs, UndoArgs};

/// Why a real server was not set up, set back or looked at.
#[derive(Debug, thiserror::Error)]
pub enum RealServerError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// There is no way to the kernel.
    #[error(transparent)]
    Door(#[from] DoorError),
    /// It was not set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// It was not set back.
    #[error(transparent)]
    Undo(#[from] UndoError),
    /// It was not looked at.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// This program's own path is not known.
    #[error("cannot say where this program lies, for the unit")]
    Program(#[source] std::io::Error),
}

/// What setup did.
#[derive(Debug, Serialize)]
pub struct Made {
    /// Whether it was only rehearsed.
    pub dry_run: bool,
    /// What was changed, or would be.
    pub changes: Vec<String>,
    /// The unit, if it was written.
    pub unit: Option<PathBuf>,
    /// How things are afterwards; of a rehearsal: before.
    pub items: Vec<Item>,
}

/// What undo did.
#[derive(Debug, Serialize)]
pub struct Undone {
    /// What was taken back.
    pub changes: Vec<String>,
    /// What was left alone, because somebody has changed it since.
    pub left: Vec<String>,
    /// Whether a unit was removed.
    pub unit_removed: bool,
    /// What this host still is a real server of, as arguments of setup.
    pub remains: Option<String>,
    /// Whether setup had been there at all.
    pub remembered: bool,
}

fn door(places: &Places) -> Result<HostDoor, DoorError> {
    HostDoor::open(&places.pin_dir)
}

/// Sets this host up.
pub fn setup(args: &SetupArgs) -> Result<Made, RealServerError> {
    let wish = args.wish().map_err(RealServerError::Usage)?;
    let places = &args.places;
    let persistence = if args.persistent {
        Some(Persistence {
            root: places.root.clone(),
            program: std::env::current_exe().map_err(RealServerError::Program)?,
        })
    } else {
        None
    };
    let made = make(&mut door(places)?, &places.state_dir, &wish, persistence, args.dry_run)?;
    Ok(Made {
        dry_run: args.dry_run,
        changes: made.changes.iter().map(ToString::to_string).collect(),
        unit: made.unit,
        items: made.items,
    })
}

/// Sets this host back.
pub fn undo(args: &UndoArgs) -> Result<Undone, RealServerError> {
    let places = &args.places;
    let vips: BTreeSet<_> = args.vips.iter().copied().collect();
    let undone = take_back(&mut door(places)?, &places.state_dir, &vips, &places.root)?;
    Ok(Undone {
        changes: undone.changes,
        left: undone.left,
        unit_removed: undone.unit,
        remains: undone.remains.map(|wish| wish.to_string()),
        remembered: undone.remembered,
    })
}

/// Says how this host is.
pub fn status(args: &StatusArgs) -> Result<Status, RealServerError> {
    let wish = args.wish().map_err(RealServerError::Usage)?;
    Ok(look(&mut door(&args.places)?, &args.places.state_dir, wish)?)
}
