//! The program's connections, for listings.

use std::net::SocketAddr;
use std::time::Duration;

use wvs_tc_bpf::layout::{
    Flow as Entry, FlowKey, STATE_CLOSED, STATE_DATAGRAM, STATE_ESTABLISHED, STATE_FIN, STATE_SYN,
    STATE_TIME_WAIT,
};
use wvs_tc_bpf::{MapError, Maps, tick};

use crate::ruleset::Protocol;
use crate::scheduler::BackendId;

/// A connection of the program's tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcFlow {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// What it asked for.
    pub target: SocketAddr,
    /// The backend.
    pub backend: BackendId,
    /// The generation of its id.
    pub generation: u16,
    /// The service that chose.
    pub service: u16,
    /// LVS's word for the client's half of it.
    pub state: &'static str,
    /// Its kind of state, for timeouts.
    pub kind: u8,
    /// How long the client has been silent.
    pub silent: Duration,
}

/// A connection for the program to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// What it asked for.
    pub target: SocketAddr,
    /// The backend that it has.
    pub backend: BackendId,
    /// The generation of its id.
    pub generation: u16,
    /// The service.
    pub service: u16,
    /// Whether it is about to end.
    pub ending: bool,
}

/// Puts connections into the tables, as if their last packet came now.
pub(super) fn adopt(maps: &Maps, flows: &[Adopted]) -> Result<(), MapError> {
    let now = maps.now()?;
    let entries: Vec<_> = flows
        .iter()
        .map(|it| {
            let state = match it.protocol {
                Protocol::Udp => STATE_DATAGRAM,
                _ if it.ending => STATE_FIN,
                _ => STATE_ESTABLISHED,
            };
            let entry = Entry {
                backend: it.backend.0,
                generation: it.generation,
                seen: now,
                service: it.service,
                state,
                flags: 0,
                opened: now,
            };
            (FlowKey::new(it.protocol.number(), it.client, it.target), entry)
        })
        .collect();
    maps.restore_flows(&entries)
}

/// All connections, the half-open ones too.
pub(super) fn list(maps: &Maps) -> Result<Vec<TcFlow>, MapError> {
    let (now, tick) = (maps.now()?, tick());
    let flows = maps.flows()?;
    let shown = flows.iter().filter_map(|(key, flow)| {
        let (client, target) = key.ends();
        let ticks = now.wrapping_sub(flow.seen) as i32;
        Some(TcFlow {
            protocol: Protocol::from_number(key.proto)?,
            client,
            target,
            backend: BackendId(flow.backend),
            generation: flow.generation,
            service: flow.service,
            state: state_name(flow.state),
            kind: flow.state,
            silent: tick.saturating_mul(ticks.max(0).unsigned_abs()),
        })
    });
    Ok(shown.collect())
}

/// LVS's names (`ipvsadm -lnc`).
fn state_name(state: u8) -> &'static str {
    match state {
        STATE_SYN => "SYN_RECV",
        STATE_ESTABLISHED => "ESTABLISHED",
        STATE_FIN => "FIN_WAIT",
        STATE_TIME_WAIT => "TIME_WAIT",
        STATE_CLOSED => "CLOSE",
        STATE_DATAGRAM => "UDP",
        _ => "NONE",
    }
}
