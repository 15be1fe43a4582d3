//! The tc program as the kernel holds it: `GET /v1/tc`.

use serde::{Deserialize, Serialize};

use super::Way;
use crate::config::Endpoint;
use crate::ruleset::Family;
use crate::scheduler::Dispatch;

/// All of it, read back from the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Where programs, maps and attachments are pinned.
    pub pin_dir: String,
    /// The programs that are loaded; the first is the one that is attached.
    pub programs: Vec<LoadedProgram>,
    /// Where it is attached.
    pub attachments: Vec<Attachment>,
    /// The pinned maps.
    pub maps: Vec<MapView>,
    /// What it answers to.
    pub listeners: Vec<ListenerView>,
    /// The services, with their tables.
    pub services: Vec<PoolView>,
    /// The backends, those too that are removed and still have connections.
    pub backends: Vec<TargetView>,
}

/// A program in the kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadedProgram {
    /// Its name.
    pub name: String,
    /// The kernel's number (`bpftool prog show id N`).
    pub id: u32,
    /// The kernel's digest of its instructions; the same object has the same tag everywhere.
    pub tag: String,
    /// Through how many instructions the verifier walked (Linux 5.16).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_instructions: Option<u32>,
}

/// An interface at whose ingress the program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// The interface.
    pub interface: String,
    /// Its index.
    pub ifindex: u32,
    /// `tcx` or `clsact`.
    pub hook: String,
    /// The kernel's number of the program that runs there; none where somebody else has detached it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
    /// All programs at that ingress, in the order in which packets meet them.
    pub ingress: Vec<Neighbour>,
}

/// A program at an ingress, whoever's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// `tcx` or `clsact`.
    pub hook: String,
    /// Its name; of filters that are no programs, their kind.
    pub name: String,
    /// The kernel's number of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<u32>,
    /// Whether it is ours.
    pub ours: bool,
}

/// A pinned map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapView {
    /// Its name, and that of its pin.
    pub name: String,
    /// The kernel's number (`bpftool map dump id N`).
    pub id: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value, on each CPU where there is one for each.
    pub value_size: u32,
    /// Elements it may have.
    pub max_entries: u32,
}

/// What leads to a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerView {
    /// One address, protocol and port, or one mark.
    pub listener: String,
    /// The number of the service.
    pub number: u32,
}

/// A service of the program: the clients of one family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolView {
    /// Its number in the maps.
    pub number: u32,
    /// The service; none where the director does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The family of its clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// What is special about it; empty where nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<String>,
    /// How its table is used.
    pub dispatch: Dispatch,
    /// How many slots there are.
    pub slots: usize,
    /// Slots that name nobody.
    pub empty: usize,
    /// How many connections its cycle has handed out.
    pub position: u64,
    /// Packets that were refused because nobody takes them.
    pub refused: u64,
    /// Who has how many slots.
    pub shares: Vec<Share>,
}

/// A backend's part of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The backend's id.
    pub id: u16,
    /// Its slots.
    pub slots: usize,
}

/// A backend of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetView {
    /// Its id in the maps.
    pub id: u16,
    /// The service; none where the director does not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Its address, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Endpoint>,
    /// The generation of its id: connections of another one are void.
    pub generation: u16,
    /// How packets get there.
    pub way: Way,
    /// Times it was chosen.
    pub connections: u64,
    /// Packets sent there.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}
