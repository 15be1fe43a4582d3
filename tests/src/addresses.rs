//! The one place that knows the lab's address plan.
//!
//! Both families use the same decimal digits: the twin of `10.0.0.37` is `fd00:a::37`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The director's address on both of its networks.
pub(crate) const DIRECTOR: u8 = 1;
/// The router's address on the client's network, where there is one.
pub(crate) const ROUTER: u8 = 2;
/// The first of the client's addresses.
const FIRST_CLIENT: u8 = 10;
/// Left free among the client's addresses, for virtual services.
const VIPS: std::ops::Range<u8> = 100..110;
/// The last address a client may have.
const LAST_CLIENT: u8 = 250;
/// The first real server.
const FIRST_BACKEND: u8 = 11;
/// How many real servers fit.
pub(crate) const MAX_BACKENDS: usize = 200;

/// `fd00:a::37` for 37: the digits are read as hexadecimal, so that they look the same as in IPv4.
fn digits(host: u8) -> u16 {
    let host = u16::from(host);
    ((host / 100) << 8) | ((host / 10 % 10) << 4) | (host % 10)
}

/// A host of the client's network, 10.0.0.0/24.
pub(crate) fn client_net(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, host)
}

/// A host of the client's network, fd00:a::/64.
pub(crate) fn client_net6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xa, 0, 0, 0, 0, 0, digits(host))
}

/// A host of the real servers' network, 10.1.0.0/24.
pub(crate) fn backend_net(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, 0, host)
}

/// A host of the real servers' network, fd00:b::/64.
pub(crate) fn backend_net6(host: u8) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xb, 0, 0, 0, 0, 0, digits(host))
}

/// The host numbers a client with `count` addresses has: from 10 on, leaving out 100–109.
///
/// # Panics
/// When more are asked for than fit (231).
pub(crate) fn client_hosts(count: usize) -> Vec<u8> {
    let hosts: Vec<u8> = (FIRST_CLIENT..=LAST_CLIENT)
        .filter(|host| !VIPS.contains(host))
        .take(count)
        .collect();
    assert_eq!(hosts.len(), count, "a client has at most {} addresses", hosts.len());
    hosts
}

/// The host number of real server `n`, counted from 1.
///
/// # Panics
/// When there is no such real server in any lab.
pub(crate) fn backend_host(n: usize) -> u8 {
    assert!((1..=MAX_BACKENDS).contains(&n), "real servers are numbered 1 to {MAX_BACKENDS}, not {n}");
    FIRST_BACKEND + u8::try_from(n - 1).expect("checked above")
}

fn vip_host(n: u8) -> u8 {
    assert!(n < VIPS.end - VIPS.start, "virtual addresses are numbered 0 to 9, not {n}");
    VIPS.start + n
}

/// The `n`-th address kept for virtual services: `10.0.0.100` for 0, up to 9.
pub fn vip(n: u8) -> IpAddr {
    client_net(vip_host(n)).into()
}

/// The `n`-th address kept for virtual services: `fd00:a::100` for 0, up to 9.
pub fn vip6(n: u8) -> IpAddr {
    client_net6(vip_host(n)).into()
}

/// The virtual addresses that real servers hold themselves where they answer clients directly: the first two of each
/// family.
pub(crate) fn served_directly() -> [IpAddr; 4] {
    [vip(0), vip(1), vip6(0), vip6(1)]
}

/// The address of real server `n`, counted from 1: `10.1.0.11` for 1.
pub fn backend(n: usize) -> IpAddr {
    backend_net(backend_host(n)).into()
}

/// The address of real server `n`, counted from 1: `fd00:b::11` for 1.
pub fn backend6(n: usize) -> IpAddr {
    backend_net6(backend_host(n)).into()
}

/// The client's first address, `10.0.0.10`.
pub fn client_source() -> IpAddr {
    client_net(FIRST_CLIENT).into()
}

/// The client's first address, `fd00:a::10`.
pub fn client_source6() -> IpAddr {
    client_net6(FIRST_CLIENT).into()
}

/// The first `count` IPv4 addresses of a client made with that many, for
/// [`Client::from`](crate::Client::from).
pub fn client_sources(count: usize) -> Vec<IpAddr> {
    client_hosts(count)
        .into_iter()
        .map(|host| client_net(host).into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_show_the_same_digits() {
        assert_eq!(backend6(1).to_string(), "fd00:b::11");
        assert_eq!(vip6(9).to_string(), "fd00:a::109");
        assert_eq!(client_net6(250).to_string(), "fd00:a::250");
    }

    #[test]
    fn a_client_never_takes_a_virtual_address() {
        let sources = client_sources(231);
        assert_eq!(sources.last().map(ToString::to_string).as_deref(), Some("10.0.0.250"));
        assert!((0..10).all(|n| !sources.contains(&vip(n))));
    }
}
