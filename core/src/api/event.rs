//! What happens: `GET /v1/events`, one JSON object to a line.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::SchedulerHealth;
use crate::config::Endpoint;
use crate::ruleset::Family;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in UTC (RFC 3339).
    pub time: String,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// A configuration or an edit was applied.
    Applied {
        /// Whether it was one edit, and not a file.
        edit: bool,
        /// Whether the running configuration is another one now.
        changed: bool,
        /// What was sent to the kernel, counted in steps.
        steps: usize,
    },
    /// A configuration was not applied; the running one stays.
    NotApplied {
        /// Why.
        why: String,
    },
    /// Somebody else's change to our tables was put right.
    Repaired {
        /// In so many steps.
        steps: usize,
    },
    /// A backend of direct routing or tunnels cannot be reached any more.
    BackendLost {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
        /// Why.
        why: String,
    },
    /// It can be reached again.
    BackendFound {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
    },
    /// A backend has as many connections as it may.
    BackendFull {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
    },
    /// It has room again.
    BackendFree {
        /// The service.
        service: String,
        /// Its address.
        backend: Endpoint,
    },
    /// A scheduler failed, or refused its backends.
    SchedulerFailed {
        /// The service.
        service: String,
        /// The family.
        family: Family,
        /// The plugin.
        plugin: String,
        /// Why.
        error: String,
        /// How it is since.
        health: SchedulerHealth,
    },
    /// It answers again.
    SchedulerWorks {
        /// The service.
        service: String,
        /// The family.
        family: Family,
        /// The plugin.
        plugin: String,
    },
    /// The new version of its file is in use.
    SchedulerExchanged {
        /// The service.
        service: String,
        /// The family.
        family: Family,
        /// The plugin.
        plugin: String,
    },
    /// The new version of its file is not in use; the one before goes on.
    SchedulerRefused {
        /// The service.
        service: String,
        /// The family.
        family: Family,
        /// The plugin.
        plugin: String,
        /// Why.
        why: String,
    },
    /// Sampled: the tc program chose a backend for a packet.
    Scheduled(Sample),
    /// Sampled: no backend took a packet, and it was refused.
    Refused(Sample),
    /// Sampled: a packet was lost.
    Dropped {
        /// Why; the same words as in `wvs status`.
        reason: String,
        /// The packet.
        #[serde(flatten)]
        packet: Sample,
    },
    /// Sampled: something else befell a packet, which was not lost.
    Noticed {
        /// What; the same words as in `wvs status`.
        reason: String,
        /// The packet.
        #[serde(flatten)]
        packet: Sample,
    },
    /// Sampled packets of which nothing is told: the tc program reported more than its ring holds until the director's
    /// next look.
    Unreported {
        /// So many.
        packets: u64,
    },
    /// The reader was too slow.
    Missed {
        /// So many events were not told.
        events: u64,
    },
}

impl Happening {
    /// Whether it is only for those who want samples.
    pub fn is_of_samples(&self) -> bool {
        matches!(
            self,
            Happening::Scheduled(_)
                | Happening::Refused(_)
                | Happening::Dropped { .. }
                | Happening::Noticed { .. }
                | Happening::Unreported { .. }
        )
    }

    /// The packet, where it is one of a sample.
    pub fn sample_mut(&mut self) -> Option<&mut Sample> {
        match self {
            Happening::Scheduled(packet)
            | Happening::Refused(packet)
            | Happening::Dropped { packet, .. }
            | Happening::Noticed { packet, .. } => Some(packet),
            _ => None,
        }
    }
}

/// A packet that stands for many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// `tcp`, `udp`, `sctp`, or a protocol's number.
    pub protocol: String,
    /// The client.
    pub client: SocketAddr,
    /// What it asked for.
    pub target: SocketAddr,
    /// The service, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// The backend, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<Endpoint>,
    /// Where it came in.
    pub interface: String,
    /// Its firewall mark; 0 is none.
    pub mark: u32,
    /// Bytes of the IP packet.
    pub length: u32,
    /// It stands for so many.
    pub one_in: u32,
}
