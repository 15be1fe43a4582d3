//! Devices, all addresses, and default routes: what a real server asks rtnetlink.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_route::link::{
    GreIOFlags, InfoData, InfoGre, InfoGre6, InfoIpTunnel, InfoKind, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteMetric, RouteType,
};
use rtnetlink::RouteMessageBuilder;

use super::vip::{Interface, RouteSocket, Standing, collect, to_io};
use crate::real_server::Device;
use crate::ruleset::Family;

/// An interface as it was found.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) index: u32,
    /// The kernel's word for its kind, of those that have one.
    pub(super) kind: Option<String>,
    /// Whether neighbours ask for addresses there.
    pub(super) asks: bool,
    pub(super) up: bool,
    pub(super) mtu: u32,
}

/// A default route as it was found.
#[derive(Clone, Debug)]
pub(super) struct DefaultRoute {
    pub(super) index: u32,
    pub(super) gateway: Option<IpAddr>,
    pub(super) mtu: Option<u32>,
    pub(super) advmss: Option<u32>,
}

/// A name that no device can have: it has a slash. Asked for a device of this name, a kernel that knows its kind
/// refuses the name; any other says first that it does not know the kind.
const IMPOSSIBLE: &str = "wvs/none";

impl RouteSocket {
    pub(super) fn all_links(&self) -> io::Result<Vec<Link>> {
        let links = self.wait(collect(self.handle.link().get().execute()))?;
        Ok(links.iter().filter_map(Link::read).collect())
    }

    /// The size of each interface's packets.
    pub fn mtus(&self) -> io::Result<BTreeMap<String, u32>> {
        Ok(self
            .all_links()?
            .into_iter()
            .map(|link| (link.name, link.mtu))
            .collect())
    }

    /// The addresses of all interfaces by the interface's number, with the length of their prefixes.
    pub(super) fn addresses_with_networks(&self) -> io::Result<Vec<(u32, IpAddr, u8)>> {
        let all = self.wait(collect(self.handle.address().get().execute()))?;
        let standing = all.into_iter().filter_map(Standing::read);
        Ok(standing
            .map(|it| (it.message.header.index, it.address, it.message.header.prefix_len))
            .collect())
    }

    /// The default route of the main table, the one of the lowest metric.
    pub(super) fn default_route(&self, family: Family) -> io::Result<Option<DefaultRoute>> {
        let all = match family {
            Family::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
            Family::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        };
        let routes = self.wait(collect(self.handle.route().get(all).execute()))?;
        let found = routes.iter().filter_map(DefaultRoute::read);
        Ok(found.min_by_key(|(metric, _)| *metric).map(|(_, route)| route))
    }

    /// Whether the kernel has devices of a kind. It may load a module for that; nothing is made.
    pub(super) fn can_make(&self, device: Device) -> io::Result<bool> {
        match self.make(IMPOSSIBLE, device, false) {
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
            _ => Ok(true),
        }
    }

    /// Makes a device that takes in tunnels of any sender, and brings it up.
    pub(super) fn make_device(&self, device: Device, checksum: bool) -> io::Result<()> {
        match self.make(device.name(), device, checksum) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // There may be one such device without a fixed other end, of whatever name.
                let links = self.all_links()?;
                links
                    .iter()
                    .any(|it| it.name == device.name())
                    .then_some(())
                    .ok_or(error)
            }
            outcome => outcome,
        }
    }

    fn make(&self, name: &str, device: Device, checksum: bool) -> io::Result<()> {
        let flags = if checksum {
            GreIOFlags::Checksum
        } else {
            GreIOFlags::empty()
        };
        let (kind, data) = match device {
            Device::Ipip => (InfoKind::IpIp, InfoData::IpTunnel(vec![InfoIpTunnel::CollectMetadata])),
            Device::Ip6tnl => (InfoKind::Ip6Tnl, InfoData::IpTunnel(vec![InfoIpTunnel::CollectMetadata])),
            Device::Gre => {
                let data = vec![InfoGre::IFlags(flags), InfoGre::CollectMetadata];
                (InfoKind::GreTun, InfoData::GreTun(data))
            }
            Device::Ip6gre => {
                let data = vec![InfoGre6::IFlags(flags), InfoGre6::CollectMetadata];
                (InfoKind::GreTun6, InfoData::GreTun6(data))
            }
        };
        let mut message = LinkMessage::default();
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        message.attributes = vec![
            LinkAttribute::IfName(name.to_owned()),
            LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind), LinkInfo::Data(data)]),
        ];
        let request = self.handle.link().add(message);
        self.wait(async { request.execute().await.map_err(|error| to_io(&error)) })
    }

    /// Brings a device up.
    pub(super) fn bring_up(&self, device: Device) -> io::Result<()> {
        let Some(link) = self.all_links()?.into_iter().find(|it| it.name == device.name()) else {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        };
        let mut message = LinkMessage::default();
        message.header.index = link.index;
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
        let request = self.handle.link().change(message);
        self.wait(async { request.execute().await.map_err(|error| to_io(&error)) })
    }

    /// Removes a device of ours. Says whether it was there; one of another kind is not.
    pub(super) fn remove_device(&self, device: Device) -> io::Result<bool> {
        let is_ours = |it: &Link| it.name == device.name() && it.kind.as_deref() == Some(device.kind());
        let Some(link) = self.all_links()?.into_iter().find(is_ours) else {
            return Ok(false);
        };
        let request = self.handle.link().del(link.index);
        match self.wait(async { request.execute().await.map_err(|error| to_io(&error)) }) {
            Ok(()) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Link {
    fn read(message: &LinkMessage) -> Option<Self> {
        let interface = Interface::read(message)?;
        let kind = message.attributes.iter().find_map(|it| match it {
            LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                LinkInfo::Kind(kind) => Some(kind.to_string()),
                _ => None,
            }),
            _ => None,
        });
        let mtu = message.attributes.iter().find_map(|it| match it {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        });
        Some(Link {
            asks: interface.hardware.is_some(),
            name: interface.name,
            index: interface.index,
            kind,
            up: message.header.flags.contains(LinkFlags::Up),
            mtu: mtu.unwrap_or_default(),
        })
    }
}

impl DefaultRoute {
    /// Its metric, and what it is.
    fn read(message: &RouteMessage) -> Option<(u32, Self)> {
        let table = message.attributes.iter().find_map(|it| match it {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
        let is_main = table.unwrap_or(message.header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN);
        let is_default = message.header.destination_prefix_length == 0;
        if !is_main || !is_default || message.header.kind != RouteType::Unicast {
            return None;
        }
        let mut route = DefaultRoute {
            index: 0,
            gateway: None,
            mtu: None,
            advmss: None,
        };
        let mut metric = 0;
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Priority(priority) => metric = *priority,
                RouteAttribute::Metrics(metrics) => route.take(metrics),
                // Of several ways the first stands for all.
                RouteAttribute::MultiPath(hops) => {
                    if let Some(hop) = hops.first() {
                        route.index = hop.interface_index;
                        hop.attributes.iter().for_each(|it| route.next_hop(it));
                    }
                }
                other => route.next_hop(other),
            }
        }
        (route.index > 0).then_some((metric, route))
    }

    fn take(&mut self, metrics: &[RouteMetric]) {
        for metric in metrics {
            match metric {
                RouteMetric::Mtu(mtu) => self.mtu = Some(*mtu),
                RouteMetric::Advmss(advmss) => self.advmss = Some(*advmss),
                _ => {}
            }
        }
    }

    fn next_hop(&mut self, attribute: &RouteAttribute) {
        match attribute {
            RouteAttribute::Oif(index) => self.index = *index,
            RouteAttribute::Gateway(RouteAddress::Inet(address)) => self.gateway = Some((*address).into()),
            RouteAttribute::Gateway(RouteAddress::Inet6(address)) => self.gateway = Some((*address).into()),
            _ => {}
        }
    }
}

/// Interfaces by number.
pub(super) fn by_index(links: &[Link]) -> BTreeMap<u32, &Link> {
    links.iter().map(|link| (link.index, link)).collect()
}
