//! A real server of direct routing or tunnels: what its host needs, how to bring it there, and back.
//!
//! [`judge`] says of each thing how it should be and how it is; what is missing is the plan. [`setup`] writes down
//! what it is going to change before it changes it, so that [`undo`] restores what was there, whatever happened
//! in between. No director is needed, and none is asked.

mod arp;
mod change;
mod item;
mod memory;
mod receive;
mod seen;
mod segments;
mod setup;
mod status;
#[cfg(test)]
mod tests;
mod undo;
mod unit;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::Tunnel;
use crate::ruleset::Family;

pub use change::{Change, Door, DoorError, Origin, Unmade};
pub use item::{Item, State, judge, plan};
pub use memory::{Memory, MemoryError, Remembered};
pub use receive::{Ability, Device};
pub use seen::{Arp, Decapsulation, Interface, Seen, Way};
pub use segments::{headers, overhead};
pub use setup::{Made, Persistence, SetupError, setup};
pub use status::{Status, StatusError, status};
pub use undo::{UndoError, Undone, undo};
pub use unit::{UNIT, UnitError};

/// How packets for virtual addresses come to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// As they are, with the real server's hardware address (`ipvsadm -g`).
    Dr,
    /// In a tunnel (`ipvsadm -i`).
    Tun,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Dr => "dr",
            Mode::Tun => "tun",
        })
    }
}

/// What a host shall be a real server of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The virtual addresses.
    pub vips: BTreeSet<IpAddr>,
    /// How their packets come.
    pub mode: Mode,
    /// What they are wrapped in, for `tun`.
    #[serde(default)]
    pub tunnel: Tunnel,
    /// The family of the outer headers, where it is not that of the virtual address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<Family>,
    /// Where they come in, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Where the decapsulator is pinned, if it is needed.
    pub pin_dir: PathBuf,
}

impl Wish {
    /// Whether there are virtual addresses of a family.
    pub fn has(&self, family: Family) -> bool {
        self.vips.iter().any(|vip| Family::of(*vip) == family)
    }

    /// The families of its virtual addresses.
    pub fn families(&self) -> impl Iterator<Item = Family> {
        Family::ALL.into_iter().filter(|family| self.has(*family))
    }

    /// The family of the outer headers of a family's packets.
    fn outer(&self, family: Family) -> Family {
        self.outer.unwrap_or(family)
    }

    /// Whether it differs from another in more than in the virtual addresses.
    fn is_of_another_kind(&self, other: &Wish) -> bool {
        let without = |wish: &Wish| Wish {
            vips: BTreeSet::new(),
            ..wish.clone()
        };
        without(self) != without(other)
    }
}

/// As the arguments of `wvs real-server setup`.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vips: Vec<_> = self.vips.iter().map(ToString::to_string).collect();
        write!(f, "--vip {} --mode {}", vips.join(","), self.mode)?;
        if self.mode == Mode::Tun {
            write!(f, " --tunnel {}", self.tunnel)?;
        }
        if let Some(outer) = self.outer {
            write!(f, " --outer {}", outer.to_string().to_lowercase())?;
        }
        match &self.interface {
            Some(interface) => write!(f, " --interface {interface}"),
            None => Ok(()),
        }
    }
}
