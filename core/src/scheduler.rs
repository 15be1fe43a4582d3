//! Schedulers: WebAssembly plugins, and what the director asks of them.
//!
//! A scheduler sees numbers, never packets, and nothing it answers is trusted:
//! every table and every choice is checked against the backends of the last update before it is used.
#![forbid(unsafe_code)]

use std::net::IpAddr;

pub mod bench;
mod call_error;
pub mod catalog;
pub mod conform;
mod contract;
mod deadline;
mod description;
mod find;
mod flow;
mod guard;
mod host;
mod incumbent;
mod instance;
mod outside;
mod pack;
mod remedy;
mod sandbox;
mod shape;
pub mod simulate;
pub mod stage;
mod supervise;
mod supervised;
mod ticker;
mod usable;
mod vet;
mod wrap;

pub use call_error::{Breach, CallError, Place};
pub use contract::{VERSION as CONTRACT_VERSION, WIT as CONTRACT};
pub use description::{Description, ParamError, ParamKind, ParamSpec};
pub use find::{
    BUILTIN, FindPluginError, Origin, ReadPluginError, available, builtin, find, locate, read_plugin,
};
pub use flow::NewFlow;
pub use host::{HostOptions, Plugin, PluginEngine, PluginHost, StartHostError};
pub use incumbent::Incumbent;
pub use instance::Instance;
pub(crate) use instance::UNKNOWN as UNKNOWN_LATENCY;
pub use pack::pack;
pub use sandbox::Limits;
pub use supervise::{State, Supervision};
pub use supervised::{Pick, Source, Status, Supervised, TableOutcome};
pub use vet::LoadPluginError;

/// Identifies a backend to schedulers, in dispatch tables and in the conntrack mark.
///
/// Unique in the director, never 0, at most 65,535, so that it fits our bits of the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct BackendId(pub u16);

/// One backend as a scheduler sees it (`backend` in the contract).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Stable for the life of the backend in its service.
    pub id: BackendId,
    /// 0 means no new flows.
    pub weight: u32,
    /// Where its connections are sent.
    pub address: IpAddr,
    /// 0 where the service keeps the client's port.
    pub port: u16,
    /// Keeps its flows, should get no new ones.
    pub draining: bool,
    /// At its limit of connections: keeps its flows, gets no new ones for now.
    pub overloaded: bool,
    /// No packet can be sent to it.
    pub down: bool,
}

impl Candidate {
    /// Whether new connections may go to it.
    #[must_use]
    pub fn usable(&self) -> bool {
        self.weight > 0 && !self.draining && !self.overloaded && !self.down
    }
}

/// What the data path hashes to index a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HashKey {
    /// The client's address.
    Source,
    /// The client's address and port.
    SourceAndPort,
    /// The address the client asked for.
    Destination,
    /// The client's address and port, and the address and port it asked for.
    Both,
}

/// How the data path uses a scheduler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// New connections walk the table in order.
    Cycle,
    /// The table is indexed by a hash of the key.
    Hash(HashKey),
    /// It is asked for each new connection. The table beside it is the director's own round robin, walked in
    /// order, for when nobody can be asked.
    Flow,
}

/// Connections of one backend, as conntrack has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Load {
    /// Established, or on the way there (LVS's ActiveConn).
    pub active: u32,
    /// All others: closing, closed, and all UDP (LVS's InActConn).
    pub inactive: u32,
}
