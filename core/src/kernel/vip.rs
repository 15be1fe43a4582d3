//! The door to addresses and routes: rtnetlink.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkLayerType, LinkMessage};
use rtnetlink::{Error, Handle};
use tokio::runtime::Runtime;
use tokio_stream::{Stream, StreamExt as _};

use super::announce::{self, Port};
use super::{AddressError, Addresses, Routes};
use crate::ruleset::Family;

/// How long the kernel may take to answer. It answers at once; this only guards against waiting for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// A netlink socket to addresses and routes, in the network namespace of the thread that opened it.
///
/// It has a runtime of its own, so it must not be used from inside another one.
#[derive(Debug)]
pub struct RouteSocket {
    runtime: Runtime,
    pub(super) handle: Handle,
}

/// An interface as far as virtual addresses need it.
#[derive(Clone, Debug)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    /// Its hardware address, where neighbours ask for one.
    pub(super) hardware: Option<[u8; 6]>,
}

/// An address that stands on an interface.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) address: IpAddr,
    pub(super) message: AddressMessage,
}

pub(super) fn to_io(error: &Error) -> io::Error {
    match error {
        Error::NetlinkError(error) => match error.code {
            Some(code) => io::Error::from_raw_os_error(code.get().saturating_abs()),
            None => io::Error::other("netlink gave an error without a number"),
        },
        other => io::Error::other(other.to_string()),
    }
}

pub(super) async fn collect<T>(answers: impl Stream<Item = Result<T, Error>>) -> io::Result<Vec<T>> {
    let mut answers = pin!(answers);
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await {
        all.push(answer.map_err(|error| to_io(&error))?);
    }
    Ok(all)
}

/// The bits of a lone address: `/32` or `/128`.
fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl RouteSocket {
    /// Opens a socket.
    pub fn open() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let _entered = runtime.enter();
        let (connection, handle, _) = rtnetlink::new_connection()?;
        drop(runtime.spawn(connection));
        drop(_entered);
        Ok(RouteSocket { runtime, handle })
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let bounded = async { tokio::time::timeout(PATIENCE, work).await };
        self.runtime
            .block_on(bounded)
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let links = self.wait(collect(self.handle.link().get().execute()))?;
        Ok(links.iter().filter_map(Interface::read).collect())
    }

    /// Finds an interface, or says which there are.
    fn find(&self, action: &'static str, address: IpAddr, name: &str) -> Result<Interface, AddressError> {
        let failed = |hint, source| AddressError {
            action,
            address,
            interface: name.to_owned(),
            hint,
            source,
        };
        let all = self.interfaces().map_err(|error| failed(String::new(), error))?;
        all.iter().find(|it| it.name == name).cloned().ok_or_else(|| {
            let missing = io::Error::new(io::ErrorKind::NotFound, "there is no such interface");
            failed(hint(name, &all), missing)
        })
    }

    /// The addresses of an interface.
    fn standing(&self, interface: &Interface) -> io::Result<Vec<Standing>> {
        let request = self.handle.address().get().set_link_index_filter(interface.index);
        let all = self.wait(collect(request.execute()))?;
        Ok(all.into_iter().filter_map(Standing::read).collect())
    }

    /// All addresses of the host, and the index of the interface of each.
    pub(super) fn all_addresses(&self) -> io::Result<Vec<(IpAddr, u32)>> {
        let all = self.wait(collect(self.handle.address().get().execute()))?;
        let standing = all.into_iter().filter_map(Standing::read);
        Ok(standing.map(|it| (it.address, it.message.header.index)).collect())
    }

    fn add(&self, interface: &Interface, address: IpAddr) -> io::Result<()> {
        let mut request = self
            .handle
            .address()
            .add(interface.index, address, whole(address));
        // The crate's own message would declare a lone IPv4 address to be a broadcast address.
        *request.message_mut() = lone_address(interface.index, address);
        self.wait(async { request.execute().await.map_err(|error| to_io(&error)) })
    }
}

impl Addresses for RouteSocket {
    fn ensure(&mut self, address: IpAddr, interface: &str) -> Result<bool, AddressError> {
        let action = "bring up";
        let failed = |source| AddressError {
            action,
            address,
            interface: interface.to_owned(),
            hint: privilege_hint(&source),
            source,
        };
        let found = self.find(action, address, interface)?;
        if self
            .standing(&found)
            .map_err(failed)?
            .iter()
            .any(|it| it.address == address)
        {
            return Ok(false);
        }
        match self.add(&found, address) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(failed(error)),
        }
        if let Some(hardware) = found.hardware {
            let port = Port {
                name: &found.name,
                index: found.index,
                hardware,
            };
            if let Err(error) = announce::announce(address, &port) {
                tracing::warn!(%address, interface, %error, "cannot announce the address to the neighbours");
            }
        }
        Ok(true)
    }

    /// Only an address that stands alone (`/32` or `/128`) is taken off: an address with a network is not
    /// one that [`Addresses::ensure`] has put there.
    fn remove(&mut self, address: IpAddr, interface: &str) -> Result<bool, AddressError> {
        let failed = |source| AddressError {
            action: "take down",
            address,
            interface: interface.to_owned(),
            hint: privilege_hint(&source),
            source,
        };
        // With its interface the address has gone.
        let all = self.interfaces().map_err(failed)?;
        let Some(found) = all.into_iter().find(|it| it.name == interface) else {
            return Ok(false);
        };
        let is_ours = |it: &Standing| it.address == address && it.message.header.prefix_len == whole(address);
        let standing = self.standing(&found).map_err(failed)?;
        let Some(ours) = standing.into_iter().find(is_ours) else {
            return Ok(false);
        };
        let request = self.handle.address().del(ours.message);
        match self.wait(async { request.execute().await.map_err(|error| to_io(&error)) }) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn interface(&mut self, address: IpAddr, interface: &str) -> Result<(), AddressError> {
        self.find("manage", address, interface).map(drop)
    }

    fn unreachable(&mut self, address: IpAddr) -> Option<String> {
        self.route_to(address).err()
    }

    fn routes(&mut self, hosts: &BTreeSet<IpAddr>) -> io::Result<Routes> {
        self.routes_to(hosts)
    }

    fn make_sure(&mut self, ifindex: u32, neighbour: IpAddr) -> io::Result<()> {
        RouteSocket::make_sure(self, ifindex, neighbour)
    }

    fn interface_names(&mut self) -> io::Result<BTreeSet<String>> {
        Ok(self.interfaces()?.into_iter().map(|it| it.name).collect())
    }

    fn holders(&mut self, addresses: &BTreeSet<IpAddr>) -> io::Result<BTreeMap<IpAddr, BTreeSet<String>>> {
        self.interfaces_of(addresses)
    }

    fn forwards(&mut self, family: Family) -> bool {
        super::sysctl::forwards(family).unwrap_or(false)
    }
}

impl Interface {
    pub(super) fn read(link: &LinkMessage) -> Option<Self> {
        let name = link.attributes.iter().find_map(|it| match it {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })?;
        let hardware = link.attributes.iter().find_map(|it| match it {
            LinkAttribute::Address(bytes) => <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            _ => None,
        });
        let asks = link.header.link_layer_type == LinkLayerType::Ether
            && !link
                .header
                .flags
                .intersects(LinkFlags::Loopback | LinkFlags::Noarp);
        Some(Interface {
            name,
            index: link.header.index,
            hardware: hardware.filter(|_| asks),
        })
    }
}

impl Standing {
    pub(super) fn read(message: AddressMessage) -> Option<Self> {
        // IFA_LOCAL is the address; IFA_ADDRESS is the peer where there is one, and the only one of IPv6.
        let local = message.attributes.iter().find_map(|it| match it {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        });
        let address = message.attributes.iter().find_map(|it| match it {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        });
        Some(Standing {
            address: local.or(address)?,
            message,
        })
    }
}

/// `ip address add ADDRESS/32 dev …`, or `ADDRESS/128 dev … nodad preferred_lft 0`.
///
/// Duplicate address detection would keep an IPv6 address from being used for a second or more, and for good
/// where a director before this one still answers. Without a preferred lifetime it is not taken as the source
/// of the director's own connections, for instance of health checks.
fn lone_address(index: u32, address: IpAddr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = whole(address);
    message.header.scope = AddressScope::Universe;
    message.attributes = vec![
        AddressAttribute::Address(address),
        AddressAttribute::Local(address),
    ];
    match address {
        IpAddr::V4(_) => message.header.family = AddressFamily::Inet,
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.header.flags = AddressHeaderFlags::Nodad;
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_valid = u32::MAX;
            message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
        }
    }
    message
}

/// What to do about an interface that is not there.
fn hint(wanted: &str, all: &[Interface]) -> String {
    let near = all
        .iter()
        .map(|it| (strsim::damerau_levenshtein(wanted, &it.name), &it.name))
        .filter(|(distance, _)| *distance <= 2)
        .min();
    let names: Vec<_> = all.iter().map(|it| it.name.as_str()).collect();
    match near {
        Some((_, near)) => format!("; did you mean {near}? There are {}", names.join(", ")),
        None => format!("; there are {}", names.join(", ")),
    }
}

fn privilege_hint(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; it takes CAP_NET_ADMIN".to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_interface_gets_a_suggestion() {
        let interface = |name: &str| Interface {
            name: name.into(),
            index: 1,
            hardware: None,
        };
        let all = [interface("lo"), interface("eth0"), interface("bond0")];
        assert_eq!(hint("eht0", &all), "; did you mean eth0? There are lo, eth0, bond0");
        assert_eq!(hint("wlan0", &all), "; there are lo, eth0, bond0");
    }
}
