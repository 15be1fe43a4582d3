//! The connections in the tables: listing them, cutting them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::layout::{Flow, FlowKey, FlowKey4};
use crate::maps::{MapError, Maps, refused};
use crate::service::client;

/// A connection as the tables have it.
pub type Flows = Vec<(FlowKey, Flow)>;

impl FlowKey {
    /// The connection of a client to a virtual address, both of one family.
    #[must_use]
    pub fn new(protocol: u8, client: SocketAddr, listener: SocketAddr) -> Self {
        let (length, family) = if client.is_ipv4() { (4, 4) } else { (16, 6) };
        let mut addresses = [0; 32];
        for (place, end) in addresses.chunks_exact_mut(length).zip([client, listener]) {
            match end.ip() {
                IpAddr::V4(address) => place.copy_from_slice(&address.octets()),
                IpAddr::V6(address) => place.copy_from_slice(&address.octets()),
            }
        }
        Self {
            sport: client.port().to_be(),
            dport: listener.port().to_be(),
            proto: protocol,
            family,
            pad: [0; 2],
            addresses,
        }
    }

    /// The client and the virtual address, with their ports.
    #[must_use]
    pub fn ends(&self) -> (SocketAddr, SocketAddr) {
        let length = if self.family == 4 { 4 } else { 16 };
        let address = |from: usize| {
            let mut address = [0; 16];
            address[..length].copy_from_slice(&self.addresses[from..from + length]);
            client(&address, self.family)
        };
        (
            SocketAddr::new(address(0), u16::from_be(self.sport)),
            SocketAddr::new(address(length), u16::from_be(self.dport)),
        )
    }
}

/// A key of the IPv4 table as the other tables have it.
fn widened(key: &FlowKey4) -> FlowKey {
    let mut addresses = [0; 32];
    addresses[..4].copy_from_slice(&key.saddr);
    addresses[4..8].copy_from_slice(&key.daddr);
    FlowKey {
        sport: key.sport,
        dport: key.dport,
        proto: key.proto,
        family: key.family,
        pad: key.pad,
        addresses,
    }
}

/// How long one of the kernel's ticks is: the resolution of its coarse clocks (Linux 2.6.32).
#[must_use]
pub fn tick() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is valid; this clock always exists.
    unsafe { libc::clock_getres(libc::CLOCK_MONOTONIC_COARSE, &raw mut time) };
    Duration::from_nanos(time.tv_nsec.max(1) as u64)
}

impl Maps {
    /// What time it is by the entries' clock, in the kernel's ticks. The program is asked.
    pub fn now(&self) -> Result<u32, MapError> {
        crate::sys::run_program(&self.clock).map_err(refused("asking the program what time it is"))
    }

    /// All connections, the half-open ones too. For listings: a sweep is cheaper.
    pub fn flows(&self) -> Result<Flows, MapError> {
        let mut all = Flows::new();
        let mut see4 = |keys: &[FlowKey4], values: &[Flow]| {
            all.extend(keys.iter().map(widened).zip(values.iter().copied()));
        };
        self.flows4
            .walk(&mut see4)
            .and_then(|()| self.half_open4.walk(&mut see4))
            .map_err(refused("reading the IPv4 connections"))?;
        let mut see6 = |keys: &[FlowKey], values: &[Flow]| {
            all.extend(keys.iter().copied().zip(values.iter().copied()));
        };
        self.flows6
            .walk(&mut see6)
            .and_then(|()| self.half_open6.walk(&mut see6))
            .map_err(refused("reading the IPv6 connections"))?;
        Ok(all)
    }

    /// Ends a backend's connections, or those of one generation: what its clients send next is scheduled anew.
    pub fn cut(&self, backend: u16) -> Result<usize, MapError> {
        let mut cut = 0;
        macro_rules! cut {
            ($map:ident) => {
                let mut keys_of = Vec::new();
                let see = |keys: &[_], values: &[Flow]| {
                    let pairs = keys.iter().zip(values);
                    keys_of.extend(
                        pairs
                            .filter(|(_, flow)| flow.backend == backend)
                            .map(|(key, _)| *key),
                    );
                };
                let doing = || format!("ending the connections of backend {backend}");
                self.$map.walk(see).map_err(refused(doing()))?;
                cut += self.$map.delete_all(&keys_of).map_err(refused(doing()))?;
            };
        }
        cut!(flows4);
        cut!(flows6);
        cut!(half_open4);
        cut!(half_open6);
        Ok(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_survive_the_key() {
        for (client, listener) in [
            ("192.0.2.7:40001", "10.0.0.100:80"),
            ("[2001:db8::7]:1", "[2001:db8::100]:65535"),
        ] {
            let ends = (client.parse().unwrap(), listener.parse().unwrap());
            let key = FlowKey::new(6, ends.0, ends.1);
            assert_eq!((key.proto, key.ends()), (6, ends));
        }
    }
}
