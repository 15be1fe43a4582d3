//! The contract with plugins, as Rust types made from its WIT text.

use std::net::IpAddr;

use super::{Candidate, HashKey, NewFlow};

/// The text of the contract.
pub const WIT: &str = include_str!("../../../plugins-sdk/wit/scheduler.wit");
/// The package of the contract, without its version.
pub(super) const PACKAGE: &str = "wvs:scheduler";
/// The version of the contract that this director speaks.
pub const VERSION: &str = "0.1.0";
/// In a table: no backend.
pub(super) const NO_BACKEND: u32 = u32::MAX;

#[allow(missing_docs)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../plugins-sdk/wit",
        world: "wvs:scheduler/scheduler",
    });
}

pub(super) use bindings::exports::wvs::scheduler::{flows, latency, load, policy, table, timer};
pub(super) use bindings::wvs::scheduler::types::{
    Address, Backend, BackendState, Dispatch as WireDispatch, Flow, HashKey as WireHashKey, Param,
    ParamKind as WireParamKind,
};
pub(super) use bindings::{Scheduler as World, wvs::scheduler::host, wvs::scheduler::types};

impl From<&Candidate> for Backend {
    fn from(candidate: &Candidate) -> Self {
        let mut state = BackendState::empty();
        if candidate.draining {
            state |= BackendState::DRAINING;
        }
        if candidate.overloaded {
            state |= BackendState::OVERLOADED;
        }
        if candidate.down {
            state |= BackendState::DOWN;
        }
        Self {
            id: candidate.id.0.into(),
            weight: candidate.weight,
            address: candidate.address.into(),
            port: candidate.port,
            state,
        }
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        let bits = match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let word = |shift: u32| (bits >> shift) as u32;
        Self {
            a: word(96),
            b: word(64),
            c: word(32),
            d: word(0),
        }
    }
}

impl From<&NewFlow> for Flow {
    fn from(flow: &NewFlow) -> Self {
        Self {
            src: flow.source.into(),
            dst: flow.destination.into(),
            src_port: flow.source_port,
            dst_port: flow.destination_port,
            protocol: flow.protocol,
            mark: flow.mark,
            hash: flow.hash,
        }
    }
}

impl From<WireHashKey> for HashKey {
    fn from(key: WireHashKey) -> Self {
        match key {
            WireHashKey::Source => Self::Source,
            WireHashKey::SourceAndPort => Self::SourceAndPort,
            WireHashKey::Destination => Self::Destination,
            WireHashKey::Both => Self::Both,
        }
    }
}
