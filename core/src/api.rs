//! The director's API: JSON over HTTP on a Unix socket, and its types.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/services` | `Vec<`[`ServiceView`]`>` |
//! | `GET /v1/backends?service=NAME` | `Vec<`[`BackendView`]`>` |
//! | `GET /v1/connections?service=NAME&limit=N` | [`Connections`] |
//! | `POST /v1/explain` with [`Explain`] | [`Explanation`]: where a packet would go, and why |
//! | `GET /v1/tc` | [`Program`]: the tc program as the kernel holds it |
//! | `GET /v1/events?follow=BOOL&sample=N` | [`Event`]s, one to a line: the last ones, and with `follow` all that come |
//! | `GET /v1/persistence?service=NAME&limit=N` | [`PersistentClients`]; with `client=ADDRESS`, only that one |
//! | `GET /v1/config` | the running configuration, [`Config`](crate::config::Config) |
//! | `GET /v1/ruleset` | the ruleset as nft text |
//! | `POST /v1/apply` with [`Apply`] | [`Applied`]: a new configuration, or what it would change |
//! | `POST /v1/reload` with [`Reload`] | [`Applied`]: the director's own file again |
//! | `POST /v1/edit` with [`Edit`] | [`Applied`]: one change of the running configuration |
//! | `GET /metrics` | all counters and states for Prometheus, as OpenMetrics text |
//! | `POST /v1/teardown` | [`Torn`]: everything removed from the kernel, the director stops |
//!
//! A request that fails is answered with [`Failure`] and a status of 4xx (the request's fault) or 5xx.

mod event;
mod explain;
mod program;

use std::collections::BTreeMap;

pub use event::{Event, Happening, Sample};
pub use explain::{
    Because, Chosen, Draw, Explain, Explanation, ForService, Link, Listening, Obstacle, Plane, Refusal, Then,
    Way,
};
pub use program::{
    Attachment, ListenerView, LoadedProgram, MapView, Neighbour, PoolView, Program, Share, TargetView,
};
use serde::{Deserialize, Serialize};

use crate::config::{Backend, Endpoint, Forward, Prefix, Service};
use crate::kernel::{Flow, Traffic};
use crate::ruleset::Family;
use crate::scheduler::Dispatch;

/// How the director is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of wvs.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since it started.
    pub uptime: u64,
    /// The file it reads on reload.
    pub config_file: String,
    /// Whether the running configuration has been changed since that file was read.
    pub edited: bool,
    /// How many services there are.
    pub services: usize,
    /// How many backends there are.
    pub backends: usize,
    /// The ruleset generation of the last change or look.
    pub generation: u32,
    /// How many batches were sent to the kernel.
    pub commits: u64,
    /// How often somebody else's change to our table was put right.
    pub repairs: u64,
    /// The schedulers, one per pool.
    pub schedulers: Vec<SchedulerView>,
    /// Packets that nftables refused, by reason, since the director started and the rules' counters began: `no-backend` takes new
    /// connections; nobody listens on a `closed-port`; `not-forwarded` by the tc program, which they have not passed;
    /// to an `unknown-backend`. What the tc program has nobody for is among its own events.
    #[serde(default)]
    pub refused: BTreeMap<String, u64>,
    /// The tc program of direct routing and tunnels, where a service uses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tc: Option<TcView>,
    /// What is not as it should be, in words that name the fix. Empty where all is well.
    pub warnings: Vec<String>,
}

/// How the tc program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcView {
    /// The interfaces that it is attached to.
    pub interfaces: Vec<String>,
    /// Where its maps and attachments are pinned.
    pub pin_dir: String,
    /// Connections in its tables, by the last sweep.
    pub connections: usize,
    /// Connections that have run out since the director started.
    pub expired: u64,
    /// Packets that were dropped, by reason, since the maps were made.
    pub drops: BTreeMap<String, u64>,
    /// What else happened besides forwarding.
    pub events: BTreeMap<String, u64>,
}

/// How a scheduler is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchedulerView {
    /// The service.
    pub service: String,
    /// The family.
    pub family: Family,
    /// The plugin, by name or path.
    pub plugin: String,
    /// Its version, by itself.
    pub version: String,
    /// What it answers with.
    pub dispatch: Dispatch,
    /// How it is doing.
    pub health: SchedulerHealth,
    /// Calls so far.
    pub calls: u64,
    /// Failed calls so far.
    pub failures: u64,
    /// Connections that it chose for, where it is asked for each.
    #[serde(default)]
    pub picks: u64,
    /// Connections that the built-in round robin chose for instead.
    #[serde(default)]
    pub stand_ins: u64,
    /// The last failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why the plugin's new version is not used, where its file has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// How a scheduler is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum SchedulerHealth {
    /// It answers.
    Running,
    /// It failed and is tried again later; a table that serves meanwhile is in place.
    BackingOff {
        /// Seconds until it is tried again.
        retry_in: u64,
        /// Whether the built-in round robin stands in, for want of a table.
        fallback: bool,
    },
    /// It refuses these backends, in its own words; a table that serves meanwhile is in place.
    Refusing {
        /// Whether the built-in round robin stands in, for want of a table.
        fallback: bool,
    },
    /// It failed too often and is not tried again until its file changes or the service is changed.
    Quarantined {
        /// Whether the built-in round robin stands in, for want of a table.
        fallback: bool,
    },
}

/// A virtual service as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// Its name.
    pub name: String,
    /// What it answers to.
    pub listen: Vec<String>,
    /// How packets reach its backends.
    pub forward: Forward,
    /// The plugin.
    pub scheduler: String,
    /// How many backends take new connections.
    pub available: usize,
    /// How many backends there are.
    pub backends: usize,
    /// Connections since the counters began, also to backends that were removed.
    pub connections: u64,
    /// Packets refused because no backend took them, since the counters began.
    #[serde(default)]
    pub refused: u64,
    /// From clients.
    pub sent: Traffic,
    /// To clients.
    pub received: Traffic,
}

/// A backend as it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendView {
    /// The service.
    pub service: String,
    /// Its address.
    pub address: Endpoint,
    /// Its id in dispatch tables and in the conntrack mark.
    pub id: u16,
    /// How packets reach it.
    pub forward: Forward,
    /// Its weight.
    pub weight: u32,
    /// Whether it takes new connections.
    pub state: BackendState,
    /// Slots of the dispatch table that it holds.
    pub slots: usize,
    /// Established connections, and those on the way there.
    pub active: u32,
    /// All other connections that conntrack knows.
    pub inactive: u32,
    /// Connections since the counters began.
    pub connections: u64,
    /// From clients to it.
    pub sent: Traffic,
    /// From it to clients.
    pub received: Traffic,
    /// How the tc program sends packets to it, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub way: Option<Way>,
}

/// Whether a backend takes new connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendState {
    /// It does.
    Up,
    /// Its weight is 0: it keeps what it has.
    Quiesced,
    /// It is being drained: it keeps what it has.
    Draining,
    /// It has as many connections as it may: it keeps what it has.
    Full,
    /// No packet can be sent to it.
    Unreachable,
}

/// Tracked connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many there are.
    pub total: usize,
    /// Some or all of them.
    pub connections: Vec<Connection>,
}

/// One tracked connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The service; of a backend that was removed, too.
    pub service: String,
    /// The connection.
    #[serde(flatten)]
    pub flow: Flow,
}

/// Clients that stay with their backends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentClients {
    /// Whether there are more; how many would take long to find out.
    pub more: bool,
    /// Some or all of them.
    pub clients: Vec<PersistentClient>,
}

/// One client that stays with its backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersistentClient {
    /// The service; of a group, the one that it came to last.
    pub service: String,
    /// The group that the service shares its clients with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The client: one address, or many that count as one.
    pub client: Prefix,
    /// Where its next connection to the service goes.
    pub backend: Endpoint,
    /// Seconds until it is forgotten, unless it comes again.
    pub expires: u32,
}

/// A new configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Apply {
    /// Its text, in TOML.
    pub text: String,
    /// What to call it in messages.
    pub name: String,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// The director's own file again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// One change of the running configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case")]
pub enum Edit {
    /// Adds a service.
    AddService {
        /// All of it.
        service: Box<Service>,
    },
    /// Removes a service.
    RemoveService {
        /// Its name.
        service: String,
        /// Also forget its connections, so that clients are reset.
        #[serde(default)]
        cut: bool,
    },
    /// Adds a backend to a service.
    AddBackend {
        /// The service.
        service: String,
        /// All of it.
        backend: Backend,
    },
    /// Removes a backend.
    RemoveBackend {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
        /// Also forget its connections, so that clients are reset.
        #[serde(default)]
        cut: bool,
    },
    /// Sets a backend's weight.
    SetWeight {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
        /// The new weight.
        weight: u32,
    },
    /// Drains a backend, or takes it back.
    Drain {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
        /// Whether it is to be drained.
        drain: bool,
    },
}

/// What a change did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The change as an nft script; empty where nothing differed and nothing was sent.
    pub plan: String,
    /// Whether the running configuration differs from the one before, also where the kernel sees no difference.
    #[serde(default)]
    pub changed: bool,
    /// Virtual addresses added to and removed from interfaces, one line each.
    pub addresses: Vec<String>,
    /// Connections that were forgotten on request.
    pub cut: usize,
    /// Persistent clients that were forgotten, because their backends take them no more.
    #[serde(default)]
    pub forgotten: usize,
    /// Whether it was only a question.
    pub dry_run: bool,
    /// What the operator should know, such as a backend without a route.
    pub warnings: Vec<String>,
}

/// What a teardown removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Torn {
    /// Whether there were tables of ours.
    pub tables: bool,
    /// Virtual addresses that were removed.
    pub addresses: Vec<String>,
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// One line.
    pub error: String,
    /// What caused it, outermost first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// For a faulty configuration: all faults, rendered with file, line, column and caret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub faults: Option<String>,
}
