//! One change of a host, and the door that makes it and takes it back.

use std::error::Error;
use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Device, Seen, Wish};
use crate::ruleset::Family;

/// One change of a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// A setting under `/proc/sys`.
    Sysctl {
        /// Its dotted name; a dot of an interface's name is a slash.
        name: String,
        /// What it was. Nothing for a device that is ours: it goes with the device.
        before: Option<String>,
        /// What it shall be.
        after: String,
    },
    /// Taking in GUE at a UDP port.
    Gue {
        /// The outer family.
        family: Family,
        /// The port.
        port: u16,
    },
    /// A tunnel's receiving end, and up.
    Device {
        /// Which.
        device: Device,
        /// Whether the checksum of GRE is expected.
        checksum: bool,
    },
    /// Bringing a device up that is there.
    Up {
        /// Which.
        device: Device,
    },
    /// An address where our decapsulator ends tunnels.
    TunnelEnd {
        /// The address.
        address: IpAddr,
    },
    /// Our decapsulator on an interface.
    Decapsulator {
        /// Where.
        interface: String,
    },
    /// A virtual address.
    Address {
        /// The address.
        address: IpAddr,
        /// Where.
        interface: String,
    },
}

impl Change {
    /// Whether both are about the same thing, whatever was there before.
    pub(super) fn is_about_the_same(&self, other: &Change) -> bool {
        match (self, other) {
            (Change::Sysctl { name, .. }, Change::Sysctl { name: other, .. }) => name == other,
            (Change::Device { device, .. }, Change::Device { device: other, .. }) => device == other,
            (one, other) => one == other,
        }
    }

    /// Whether it is still needed for what remains to be wished.
    pub(super) fn is_needed_for(&self, wish: &Wish) -> bool {
        match self {
            Change::Address { address, .. } => wish.vips.contains(address),
            Change::Gue { family, .. } => wish.families().any(|inner| wish.outer(inner) == *family),
            Change::Device { device, .. } | Change::Up { device } => wish
                .families()
                .any(|family| Device::of(wish, family) == Some(*device)),
            // All settings are of IPv4.
            Change::Sysctl { .. } => wish.has(Family::V4),
            Change::TunnelEnd { .. } | Change::Decapsulator { .. } => !wish.vips.is_empty(),
        }
    }

    /// How it reads when it is taken back.
    pub(super) fn taken_back(&self) -> String {
        match self {
            Change::Sysctl { name, before, after } => match before {
                Some(before) => format!("{name}: {after} -> {before}"),
                None => format!("{name}: gone with its device"),
            },
            other => other.to_string().replacen('+', "-", 1),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Sysctl { name, before, after } => match before {
                Some(before) => write!(f, "{name}: {before} -> {after}"),
                None => write!(f, "{name}: {after}"),
            },
            Change::Gue { family, port } => {
                write!(f, "+ GUE on UDP port {port} of {family}")
            }
            Change::Device { device, checksum } => {
                write!(f, "+ device {device} ({}", device.kind())?;
                f.write_str(if *checksum { ", with checksums)" } else { ")" })
            }
            Change::Up { device } => write!(f, "+ {device} up"),
            Change::TunnelEnd { address } => write!(f, "+ tunnels end at {address}"),
            Change::Decapsulator { interface } => write!(f, "+ decapsulator on {interface}"),
            Change::Address { address, interface } => write!(f, "+ {address} on {interface}"),
        }
    }
}

/// Why the host cannot be seen or changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}{hint}")]
pub struct DoorError {
    /// What was tried.
    pub action: String,
    /// What to do about it; empty or beginning with `; `.
    pub hint: String,
    /// Why it failed.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Which host changes were made on: they go with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The kernel's `boot_id`: another one each time that it starts.
    pub boot: String,
    /// The network namespace, as `/proc` names it.
    pub namespace: String,
}

/// What became of a change that was taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmade {
    /// It is as it was before.
    Done,
    /// It was so already.
    Already,
    /// Somebody else has changed it since, and it was left alone: what it is now.
    Foreign(String),
}

/// The door to the host.
pub trait Door {
    /// Which host this is.
    fn origin(&mut self) -> Result<Origin, DoorError>;
    /// Looks at all that a wish is about. `trying` finds out what the kernel can do, which may load modules.
    fn see(&mut self, wish: &Wish, trying: bool) -> Result<Seen, DoorError>;
    /// Makes a change. Made already, it does nothing.
    fn make(&mut self, change: &Change) -> Result<(), DoorError>;
    /// Takes a change back, also one that was made in part or not at all.
    fn unmake(&mut self, change: &Change) -> Result<Unmade, DoorError>;
}
