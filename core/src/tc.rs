//! What the tc program holds: who listens, which table chooses, and the way to every backend; as data.
//!
//! A service with a backend of direct routing or tunnelling is here and in the nftables ruleset: the program chooses
//! for what arrives from the network, the ruleset for clients on the director itself, by the same table.

mod build;
mod clients;
mod examine;
mod frame;
mod numbers;
mod plan;
mod route;

use std::collections::{BTreeMap, BTreeSet};

use wvs_tc_bpf::{Kin, Listen, Pin, ServiceSettings, Target};

pub use build::{Facts, build, wanted_interfaces};
pub use examine::examine;
pub use frame::frame;
pub use numbers::{ServiceNumbers, TooManyServices};
pub use plan::{Step, Words, around_ruleset, plan};
pub use route::{NoWay, Route, target};

use crate::dispatch::DispatchTable;
use crate::scheduler::BackendId;

/// How many services the program's maps have room for.
pub const MOST_SERVICES: u32 = 4096;
/// How many addresses with a port of their own may lead to services.
pub const MOST_LISTENERS: u32 = 65_536;

/// All that the program should hold, or holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TcState {
    /// The interfaces at whose ingress it sits.
    pub interfaces: BTreeSet<String>,
    /// Which service an address, protocol and port leads to, by its number.
    pub listeners: BTreeMap<Listen, u32>,
    /// The services.
    pub services: BTreeMap<u32, TcService>,
    /// The way to every backend.
    pub backends: BTreeMap<BackendId, Target>,
}

/// One pool in the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcService {
    /// How it treats new connections.
    pub settings: ServiceSettings,
    /// Its schedule.
    pub table: DispatchTable,
    /// Clients whose backend is given.
    pub pins: BTreeSet<Pin>,
    /// What it makes of the backends of its persistence group.
    pub kin: BTreeSet<Kin>,
}

impl TcService {
    /// One that nothing is known of.
    pub fn unknown() -> Self {
        TcService {
            settings: ServiceSettings::default(),
            table: DispatchTable::empty(),
            pins: BTreeSet::new(),
            kin: BTreeSet::new(),
        }
    }
}

impl TcState {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.listeners.is_empty() && self.backends.is_empty() && self.interfaces.is_empty()
    }
}
