//! Which networks belong to which zone.

use std::net::{Ipv4Addr, Ipv6Addr};

use wvs_plugin::Address;

/// Networks by zone, the nearest first. What is in none is in a last zone.
#[derive(Clone, Debug, Default)]
pub struct Places(Vec<Vec<Network>>);

#[derive(Clone, Copy, Debug)]
struct Network {
    bits: u128,
    mask: u128,
}

impl Places {
    /// Zones are separated by `;`, their networks by `,` or blanks.
    ///
    /// # Errors
    /// A sentence for the operator about the first that is no network.
    pub fn read(text: &str) -> Result<Self, String> {
        let separates = |c: char| c == ',' || c.is_ascii_whitespace();
        let zone = |text: &str| {
            let networks = text.split(separates).filter(|word| !word.is_empty());
            networks.map(Network::read).collect::<Result<Vec<_>, String>>()
        };
        let zones = text.split(';').map(zone).collect::<Result<Vec<_>, String>>()?;
        Ok(Self(zones.into_iter().filter(|zone| !zone.is_empty()).collect()))
    }

    /// How many zones there are, the last one among them.
    pub fn zones(&self) -> usize {
        self.0.len() + 1
    }

    /// The nearest zone that an address is in.
    pub fn zone_of(&self, address: &Address) -> usize {
        let bits = [address.a, address.b, address.c, address.d]
            .iter()
            .fold(0, |bits, word| (bits << 32) | u128::from(*word));
        let zone = self
            .0
            .iter()
            .position(|zone| zone.iter().any(|network| bits & network.mask == network.bits));
        zone.unwrap_or(self.0.len())
    }
}

impl Network {
    fn read(text: &str) -> Result<Self, String> {
        let refused = || {
            Err([
                "parameter local has ",
                text,
                ", wanted networks such as 10.1.0.0/16 or 2001:db8::/32",
            ]
            .concat())
        };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, length.parse::<u32>().ok()),
            None => (text, Some(128)),
        };
        let (bits, length) = match (address.parse::<Ipv4Addr>(), address.parse::<Ipv6Addr>(), length) {
            (Ok(four), _, Some(128)) if !text.contains('/') => (four.to_ipv6_mapped(), 128),
            // As in the contract, IPv4 is IPv4-mapped.
            (Ok(four), _, Some(length @ 0..=32)) => (four.to_ipv6_mapped(), 96 + length),
            (_, Ok(six), Some(length @ 0..=128)) => (six, length),
            _ => return refused(),
        };
        let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
        Ok(Self {
            bits: u128::from(bits) & mask,
            mask,
        })
    }
}
