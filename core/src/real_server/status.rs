//! How a real server is.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::memory::{Memory, MemoryError};
use super::{Change, Door, DoorError, Item, Mode, UNIT, Wish, judge, unit};
use crate::config::Tunnel;
use crate::ruleset::Family;

/// How a real server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The virtual addresses.
    pub vips: BTreeSet<IpAddr>,
    /// How their packets come.
    pub mode: Mode,
    /// What they are wrapped in, for `tun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnel: Option<Tunnel>,
    /// The family of the outer headers, where it is not that of the virtual address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<Family>,
    /// Where they come in, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Whether `wvs real-server setup` has set that up, and can take it back.
    pub remembered: bool,
    /// All that is needed for it.
    pub items: Vec<Item>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// What is remembered cannot be used.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The host cannot be looked at.
    #[error(transparent)]
    Look(#[from] DoorError),
    /// Nothing is set up, and nothing was asked for.
    #[error("no setup is remembered in {0}: say what to look for with --vip and --mode")]
    Nothing(String),
}

/// Says how everything is that a wish needs, or what was set up.
pub fn status(door: &mut dyn Door, state_dir: &Path, wish: Option<Wish>) -> Result<Status, StatusError> {
    let remembered = Memory::peek(state_dir, &door.origin()?)?;
    let Some(wish) = wish.or_else(|| remembered.as_ref().map(|it| it.wish.clone())) else {
        return Err(StatusError::Nothing(state_dir.display().to_string()));
    };
    let remembered = remembered.filter(|it| it.wish == wish);
    let mut seen = door.see(&wish, false)?;
    let needs_program = |change: &Change| matches!(change, Change::Decapsulator { .. });
    if remembered
        .as_ref()
        .is_some_and(|it| it.changes.iter().any(needs_program))
    {
        seen.abilities = Some(BTreeSet::new());
    }
    let mut items = judge(&wish, &seen);
    if let Some(persistence) = remembered.as_ref().and_then(|it| it.persistence.as_ref()) {
        let item = Item::new(UNIT, "enabled").because("sets all this up when the host starts");
        items.push(if unit::is_enabled(persistence, &wish, state_dir) {
            item.ok("enabled")
        } else {
            item.missing("missing, disabled or changed", [])
        });
    }
    Ok(Status {
        remembered: remembered.is_some(),
        tunnel: (wish.mode == Mode::Tun).then_some(wish.tunnel),
        vips: wish.vips,
        mode: wish.mode,
        outer: wish.outer,
        interface: wish.interface,
        items,
    })
}
