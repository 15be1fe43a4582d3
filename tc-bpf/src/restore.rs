//! Putting connections back: for when the tables were made anew in another size.

use crate::layout::{Flow, FlowKey, FlowKey4, STATE_SYN};
use crate::maps::{MapError, Maps, refused};

/// A key as the IPv4 table has it.
fn narrowed(key: &FlowKey) -> FlowKey4 {
    let [s0, s1, s2, s3, d0, d1, d2, d3, ..] = key.addresses;
    FlowKey4 {
        sport: key.sport,
        dport: key.dport,
        proto: key.proto,
        family: key.family,
        pad: key.pad,
        saddr: [s0, s1, s2, s3],
        daddr: [d0, d1, d2, d3],
    }
}

impl Maps {
    /// Puts connections into the tables, as [`Maps::flows`] lists them; what is there of the same name is replaced.
    /// Those of which only a SYN was seen are left out: their clients send another one.
    pub fn restore_flows(&self, flows: &[(FlowKey, Flow)]) -> Result<(), MapError> {
        let restoring = || refused(format!("restoring {} connections", flows.len()));
        let lasting = |family| {
            flows
                .iter()
                .filter(move |(key, flow)| key.family == family && flow.state != STATE_SYN)
        };
        let (keys, values): (Vec<_>, Vec<_>) = lasting(4).map(|(key, flow)| (narrowed(key), *flow)).unzip();
        self.flows4.set_all(&keys, &values).map_err(restoring())?;
        let (keys, values): (Vec<_>, Vec<_>) = lasting(6).copied().unzip();
        self.flows6.set_all(&keys, &values).map_err(restoring())
    }
}
