//! From the kernel's routes to the way that the program sends a backend's packets.

use std::net::IpAddr;

use wvs_tc_bpf::{Encapsulation, Method, Target, Way};

use crate::config::{Forward, Prefix, Tunnel, TunnelKind};

/// How the kernel would send a packet to an address now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The address is one of this host's own.
    pub local: bool,
    /// The interface it leaves by.
    pub interface: String,
    /// That one's index.
    pub ifindex: u32,
    /// The largest IP packet that the route and the interface take.
    pub mtu: u32,
    /// The interface's hardware address; none where it is no Ethernet.
    pub hardware: Option<[u8; 6]>,
    /// The router, where it is behind one.
    pub gateway: Option<IpAddr>,
    /// The source address that the kernel would take.
    pub source: Option<IpAddr>,
    /// The next hop's hardware address, where the kernel knows it.
    pub neighbour: Option<[u8; 6]>,
    /// Whether the kernel has made sure of it lately.
    pub fresh: bool,
}

impl Route {
    /// Whose hardware address packets bear.
    pub fn next_hop(&self, to: IpAddr) -> IpAddr {
        self.gateway.unwrap_or(to)
    }
}

/// Why the program cannot send packets to a backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// The kernel has no route.
    #[error("{0}")]
    Unrouted(String),
    /// Direct routing reaches no further than the network.
    #[error(
        "it is behind the router {gateway} on {interface}, and direct routing only reaches hosts of the same network; \
         use forward = \"tun\", or give the director an address in its network"
    )]
    BehindRouter {
        /// The router.
        gateway: IpAddr,
        /// The interface.
        interface: String,
    },
    /// There are no hardware addresses there.
    #[error("it is behind {0}, which is no Ethernet interface; use forward = \"nat\"")]
    NotEthernet(String),
    /// The outer header would leave nothing.
    #[error("the MTU of {interface} is {mtu}, which is too small for a tunnel")]
    Narrow {
        /// The interface.
        interface: String,
        /// Its MTU.
        mtu: u32,
    },
    /// The tunnel has no end here.
    #[error("the director has no address on {0} that a tunnel could begin at")]
    NoSource(String),
}

/// The smallest MTU that a tunnel may have: what IPv6 asks for (RFC 8200 §5), and an outer header.
const NARROWEST: u32 = 1280;

/// How the program sends packets to a backend: `route` is the kernel's word, or why there is none.
pub fn target(
    address: IpAddr,
    forward: Forward,
    route: Option<&Result<Route, String>>,
    generation: u16,
) -> Result<Target, NoWay> {
    let made = |method, way| Target {
        method,
        address,
        generation,
        way,
        encapsulation: Encapsulation::Ipip,
        quiesced: false,
    };
    if matches!(forward, Forward::Nat | Forward::FullNat) {
        return Ok(made(Method::Nat, None));
    }
    let route = match route {
        Some(Ok(route)) => route,
        Some(Err(why)) => return Err(NoWay::Unrouted(why.clone())),
        None => return Err(NoWay::Unrouted("its route is not known yet".into())),
    };
    if route.local {
        return Ok(made(Method::Local, None));
    }
    let Some(hardware) = route.hardware else {
        return Err(NoWay::NotEthernet(route.interface.clone()));
    };
    let mut way = Way {
        ifindex: route.ifindex,
        mtu: u16::try_from(route.mtu).unwrap_or(u16::MAX),
        macs: route.neighbour.map(|neighbour| (neighbour, hardware)),
        source: None,
        source_prefix: None,
    };
    match (forward, route.gateway) {
        (Forward::Dr, Some(gateway)) => Err(NoWay::BehindRouter {
            gateway,
            interface: route.interface.clone(),
        }),
        (Forward::Dr, None) => Ok(made(Method::DirectRouting, Some(way))),
        _ if route.mtu < NARROWEST => Err(NoWay::Narrow {
            interface: route.interface.clone(),
            mtu: route.mtu,
        }),
        _ => {
            let source = route.source.filter(|it| it.is_ipv4() == address.is_ipv4());
            way.source = Some(source.ok_or_else(|| NoWay::NoSource(route.interface.clone()))?);
            Ok(made(Method::Tunnel, Some(way)))
        }
    }
}

/// What the packets of a tunnelled backend lie in, and which outer sources they have, by the service's own words.
pub fn in_tunnel(mut target: Target, tunnel: Tunnel, sources: &[Prefix]) -> Target {
    if target.method != Method::Tunnel {
        return target;
    }
    let checksum = tunnel.checksum;
    target.encapsulation = match tunnel.kind {
        TunnelKind::Ipip => Encapsulation::Ipip,
        TunnelKind::Gre => Encapsulation::Gre { checksum },
        TunnelKind::Gue { port } => Encapsulation::Gue { port, checksum },
    };
    let family = |it: &&Prefix| it.address.is_ipv4() == target.address.is_ipv4();
    if let (Some(way), Some(prefix)) = (&mut target.way, sources.iter().find(family)) {
        way.source = Some(prefix.address);
        way.source_prefix = Some(prefix.length);
    }
    target
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKEND: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 1, 0, 11));

    fn route() -> Route {
        Route {
            local: false,
            interface: "eth1".into(),
            ifindex: 3,
            mtu: 1500,
            hardware: Some([2, 0, 0, 0, 0, 1]),
            gateway: None,
            source: Some([10, 1, 0, 1].into()),
            neighbour: Some([2, 0, 0, 0, 0, 11]),
            fresh: true,
        }
    }

    fn made(forward: Forward, route: Route) -> Result<Target, NoWay> {
        target(BACKEND, forward, Some(&Ok(route)), 7)
    }

    #[test]
    fn a_neighbour_is_reached_by_its_hardware_address() {
        let target = made(Forward::Dr, route()).unwrap();
        let way = target.way.unwrap();
        assert_eq!((target.method, target.generation), (Method::DirectRouting, 7));
        assert_eq!(way.macs, Some(([2, 0, 0, 0, 0, 11], [2, 0, 0, 0, 0, 1])));
        assert_eq!((way.ifindex, way.mtu, way.source), (3, 1500, None));
        let unknown = Route {
            neighbour: None,
            ..route()
        };
        assert_eq!(made(Forward::Dr, unknown).unwrap().way.unwrap().macs, None);
    }

    #[test]
    fn a_tunnel_goes_through_routers_and_needs_a_source() {
        let far = Route {
            gateway: Some([10, 1, 0, 254].into()),
            ..route()
        };
        assert!(matches!(made(Forward::Dr, far.clone()), Err(NoWay::BehindRouter { .. })));
        assert_eq!(made(Forward::Tun, far).unwrap().way.unwrap().source, Some([10, 1, 0, 1].into()));
        let nowhere = Route {
            source: None,
            ..route()
        };
        assert!(matches!(made(Forward::Tun, nowhere), Err(NoWay::NoSource(_))));
        let narrow = Route { mtu: 1279, ..route() };
        assert!(matches!(made(Forward::Tun, narrow), Err(NoWay::Narrow { .. })));
    }

    #[test]
    fn a_tunnel_is_what_the_service_says() {
        let sources: Vec<Prefix> = ["fd99::/64", "10.99.0.0/16"].map(|it| it.parse().unwrap()).into();
        let gue = Tunnel {
            kind: TunnelKind::Gue { port: 6080 },
            checksum: true,
        };
        let target = in_tunnel(made(Forward::Tun, route()).unwrap(), gue, &sources);
        let way = target.way.unwrap();
        let wanted = Encapsulation::Gue {
            port: 6080,
            checksum: true,
        };
        assert_eq!(target.encapsulation, wanted);
        assert_eq!((way.source, way.source_prefix), (Some([10, 99, 0, 0].into()), Some(16)));
        let plain = in_tunnel(made(Forward::Tun, route()).unwrap(), Tunnel::default(), &[]);
        assert_eq!(plain, made(Forward::Tun, route()).unwrap());
        let direct = made(Forward::Dr, route()).unwrap();
        assert_eq!(in_tunnel(direct, gue, &sources), direct);
    }

    #[test]
    fn the_director_itself_needs_no_way() {
        let here = Route {
            local: true,
            hardware: None,
            ..route()
        };
        let target = made(Forward::Tun, here).unwrap();
        assert_eq!((target.method, target.way), (Method::Local, None));
    }

    #[test]
    fn what_has_no_route_says_so() {
        let why = Err("there is no route to it".to_owned());
        let error = target(BACKEND, Forward::Dr, Some(&why), 0).unwrap_err();
        assert_eq!(error.to_string(), "there is no route to it");
        assert!(target(BACKEND, Forward::Nat, None, 0).is_ok());
        let wire = Route {
            hardware: None,
            ..route()
        };
        assert!(matches!(made(Forward::Dr, wire), Err(NoWay::NotEthernet(_))));
    }
}
