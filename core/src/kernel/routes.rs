//! How the kernel would reach a host: route, interface, MTU, neighbour (`ip route get`, `ip neigh`).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rtnetlink::RouteMessageBuilder;

use super::vip::{RouteSocket, collect, to_io};
use crate::tc::Route;

/// An interface as far as routes need it.
struct Link {
    name: String,
    mtu: u32,
    loopback: bool,
    hardware: Option<[u8; 6]>,
}

/// A neighbour whose hardware address is known.
struct Neighbour {
    hardware: [u8; 6],
    /// The kernel has made sure of it lately, or need not.
    fresh: bool,
}

impl RouteSocket {
    /// The kernel's route to an address, or why there is none, in words for operators.
    pub(super) fn route_to(&self, address: IpAddr) -> Result<Option<RouteMessage>, String> {
        let question = match address {
            IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(address, 32)
                .build(),
            IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(address, 128)
                .build(),
        };
        let refuses = |kind| match kind {
            RouteType::Unreachable => Some("unreachable"),
            RouteType::BlackHole => Some("blackhole"),
            RouteType::Prohibit => Some("prohibit"),
            RouteType::Throw => Some("throw"),
            _ => None,
        };
        match self.wait(collect(self.handle.route().get(question).execute())) {
            Ok(routes) => match routes.into_iter().next() {
                Some(route) => match refuses(route.header.kind) {
                    Some(kind) => Err(format!("its route is of type {kind}")),
                    None => Ok(Some(route)),
                },
                None => Ok(None),
            },
            // For IPv4 the kernel answers with the error that a packet would get.
            Err(error) => Err(match error.raw_os_error() {
                Some(libc::ENETUNREACH) => "there is no route to it".to_owned(),
                Some(libc::EHOSTUNREACH) => "its route is of type unreachable".to_owned(),
                Some(libc::EINVAL) => "its route is of type blackhole".to_owned(),
                Some(libc::EACCES) => "its route is of type prohibit".to_owned(),
                _ => format!("its route cannot be looked up: {error}"),
            }),
        }
    }

    /// The routes to some hosts, or why there are none.
    pub(super) fn routes_to(
        &self,
        hosts: &BTreeSet<IpAddr>,
    ) -> io::Result<BTreeMap<IpAddr, Result<Route, String>>> {
        if hosts.is_empty() {
            return Ok(BTreeMap::new());
        }
        let links = self.links()?;
        let neighbours = self.neighbours()?;
        let route = |host: IpAddr| {
            let found = self.route_to(host)?;
            let found = found.ok_or_else(|| "there is no route to it".to_owned())?;
            described(host, &found, &links, &neighbours)
        };
        Ok(hosts.iter().map(|&host| (host, route(host))).collect())
    }

    /// Has the kernel make sure of a neighbour's hardware address (`ip neigh … nud none use`): redirected packets do
    /// not tell it that the entry is in use.
    pub(super) fn make_sure(&self, ifindex: u32, neighbour: IpAddr) -> io::Result<()> {
        let request = self
            .handle
            .neighbours()
            .add(ifindex, neighbour)
            .state(NeighbourState::None)
            .flags(NeighbourFlags::Use)
            .replace();
        self.wait(async { request.execute().await.map_err(|error| to_io(&error)) })
    }

    /// Which interfaces hold addresses, but for the loopback.
    pub(super) fn interfaces_of(
        &self,
        addresses: &BTreeSet<IpAddr>,
    ) -> io::Result<BTreeMap<IpAddr, BTreeSet<String>>> {
        let mut holders: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
        if addresses.is_empty() {
            return Ok(holders);
        }
        let links = self.links()?;
        for (address, index) in self.all_addresses()? {
            let link = links.get(&index).filter(|link| !link.loopback);
            if let (true, Some(link)) = (addresses.contains(&address), link) {
                holders.entry(address).or_default().insert(link.name.clone());
            }
        }
        Ok(holders)
    }

    fn links(&self) -> io::Result<BTreeMap<u32, Link>> {
        let links = self.wait(collect(self.handle.link().get().execute()))?;
        Ok(links
            .iter()
            .filter_map(|it| Some((it.header.index, Link::read(it)?)))
            .collect())
    }

    fn neighbours(&self) -> io::Result<BTreeMap<(u32, IpAddr), Neighbour>> {
        let all = self.wait(collect(self.handle.neighbours().get().execute()))?;
        Ok(all.iter().filter_map(Neighbour::read).collect())
    }
}

/// What a route means for a host, with its interface and its next hop.
fn described(
    host: IpAddr,
    route: &RouteMessage,
    links: &BTreeMap<u32, Link>,
    neighbours: &BTreeMap<(u32, IpAddr), Neighbour>,
) -> Result<Route, String> {
    let mut ifindex = 0;
    let (mut gateway, mut source, mut metric) = (None, None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(index) => ifindex = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::Via(RouteVia::Inet(address)) => gateway = Some(IpAddr::V4(*address)),
            RouteAttribute::Via(RouteVia::Inet6(address)) => gateway = Some(IpAddr::V6(*address)),
            RouteAttribute::PrefSource(RouteAddress::Inet(address)) => source = Some(IpAddr::V4(*address)),
            RouteAttribute::PrefSource(RouteAddress::Inet6(address)) => source = Some(IpAddr::V6(*address)),
            RouteAttribute::Metrics(all) => {
                metric = all.iter().find_map(|it| match it {
                    RouteMetric::Mtu(mtu) => Some(*mtu),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let link = links
        .get(&ifindex)
        .ok_or_else(|| format!("its route leaves by interface {ifindex}, which is gone"))?;
    let neighbour = neighbours.get(&(ifindex, gateway.unwrap_or(host)));
    Ok(Route {
        local: route.header.kind == RouteType::Local,
        interface: link.name.clone(),
        ifindex,
        mtu: metric
            .filter(|mtu| *mtu > 0)
            .map_or(link.mtu, |mtu| mtu.min(link.mtu)),
        hardware: link.hardware,
        gateway,
        source,
        neighbour: neighbour.map(|it| it.hardware),
        fresh: neighbour.is_some_and(|it| it.fresh),
    })
}

impl Link {
    fn read(link: &LinkMessage) -> Option<Self> {
        let (mut name, mut mtu, mut hardware) = (None, 1500, None);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(it) => name = Some(it.clone()),
                LinkAttribute::Mtu(it) => mtu = *it,
                LinkAttribute::Address(it) => hardware = <[u8; 6]>::try_from(it.as_slice()).ok(),
                _ => {}
            }
        }
        let loopback = link.header.flags.contains(LinkFlags::Loopback);
        let ethernet = link.header.link_layer_type == LinkLayerType::Ether;
        Some(Link {
            name: name?,
            mtu,
            loopback,
            hardware: hardware.filter(|_| ethernet),
        })
    }
}

impl Neighbour {
    fn read(message: &NeighbourMessage) -> Option<((u32, IpAddr), Self)> {
        let fresh = match message.header.state {
            NeighbourState::Reachable | NeighbourState::Permanent | NeighbourState::Noarp => true,
            // The kernel is about to make sure.
            NeighbourState::Delay | NeighbourState::Probe => true,
            NeighbourState::Stale => false,
            _ => return None,
        };
        let (mut address, mut hardware) = (None, None);
        for attribute in &message.attributes {
            match attribute {
                NeighbourAttribute::Destination(NeighbourAddress::Inet(it)) => {
                    address = Some(IpAddr::V4(*it))
                }
                NeighbourAttribute::Destination(NeighbourAddress::Inet6(it)) => {
                    address = Some(IpAddr::V6(*it))
                }
                NeighbourAttribute::LinkLayerAddress(it) => {
                    hardware = <[u8; 6]>::try_from(it.as_slice()).ok()
                }
                _ => {}
            }
        }
        let hardware = hardware?;
        Some(((message.header.ifindex, address?), Neighbour { hardware, fresh }))
    }
}
