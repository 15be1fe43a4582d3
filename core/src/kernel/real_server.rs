//! The door through which a host becomes a real server.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use wvs_tc_bpf::{Decapsulator, pin};

use super::fou::Fou;
use super::links::{Link, by_index};
use super::vip::RouteSocket;
use super::{Addresses as _, sysctl};
use crate::config::TunnelKind;
use crate::real_server::{
    Ability, Arp, Change, Decapsulation, Device, Door, DoorError, Interface, Mode, Origin, Seen, Unmade, Way,
    Wish,
};
use crate::ruleset::Family;

/// The host, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct HostDoor {
    routes: RouteSocket,
    pin_dir: PathBuf,
    decapsulator: Option<Decapsulator>,
}

/// A failed action.
fn failed<E: Error + Send + Sync + 'static>(action: impl Into<String>) -> impl FnOnce(E) -> DoorError {
    let action = action.into();
    |source| DoorError {
        hint: hint(&source),
        action,
        source: source.into(),
    }
}

/// What to do about it. The reason may stand below a few errors that only name objects.
fn hint(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    let number = causes
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .find_map(io::Error::raw_os_error);
    match number {
        Some(libc::EPERM | libc::EACCES) => "; run it as root".to_owned(),
        Some(libc::EROFS) => {
            "; /proc/sys is read-only here: run it on the host, not in a container".to_owned()
        }
        _ => String::new(),
    }
}

impl HostDoor {
    /// Opens the door. The decapsulator is pinned below `pin_dir`, if it is needed.
    pub fn open(pin_dir: &Path) -> Result<Self, DoorError> {
        Ok(HostDoor {
            routes: RouteSocket::open().map_err(failed("open a netlink socket"))?,
            pin_dir: pin_dir.to_owned(),
            decapsulator: None,
        })
    }

    fn decapsulator(&mut self) -> Result<&mut Decapsulator, DoorError> {
        let loaded = match self.decapsulator.take() {
            Some(loaded) => loaded,
            None => Decapsulator::load(&self.pin_dir).map_err(failed("load the decapsulator"))?,
        };
        Ok(self.decapsulator.insert(loaded))
    }

    /// Removes the decapsulator's pins when nothing needs them.
    fn sweep(&mut self) -> Result<(), DoorError> {
        self.decapsulator = None;
        Decapsulator::sweep(&self.pin_dir).map_err(failed("remove the decapsulator"))
    }

    fn interfaces(&self, links: &[Link]) -> Result<BTreeMap<String, Interface>, DoorError> {
        let addresses = self
            .routes
            .addresses_with_networks()
            .map_err(failed("read the addresses"))?;
        let interface = |link: &Link| {
            let of_it = addresses.iter().filter(|(index, ..)| *index == link.index);
            let interface = Interface {
                kind: link.kind.clone(),
                asks: link.asks,
                up: link.up,
                mtu: link.mtu,
                arp: arp(&link.name)?,
                addresses: of_it.map(|(_, address, length)| (*address, *length)).collect(),
            };
            Ok((link.name.clone(), interface))
        };
        links.iter().map(interface).collect()
    }

    fn way(&self, family: Family, links: &[Link]) -> Result<Option<Way>, DoorError> {
        let route = self
            .routes
            .default_route(family)
            .map_err(failed("read the routes"))?;
        Ok(route.and_then(|route| {
            let link = *by_index(links).get(&route.index)?;
            Some(Way {
                interface: link.name.clone(),
                gateway: route.gateway,
                mtu: route.mtu.unwrap_or(link.mtu),
                advmss: route.advmss,
            })
        }))
    }

    fn abilities(&self, wish: &Wish, fou: Option<&Fou>) -> Result<BTreeSet<Ability>, DoorError> {
        let mut abilities: BTreeSet<_> = fou.map(|_| Ability::Gue).into_iter().collect();
        for family in wish.families() {
            let Some(device) = Device::of(wish, family) else {
                continue;
            };
            let can = self.routes.can_make(device);
            if can.map_err(failed(format!("find out whether there are devices of kind {}", device.kind())))? {
                abilities.insert(Ability::Device(device));
            }
        }
        Ok(abilities)
    }

    fn decapsulation(&self) -> Result<Decapsulation, DoorError> {
        let attached =
            Decapsulator::attachments(&self.pin_dir).map_err(failed("look for the decapsulator"))?;
        let addresses = Decapsulator::addresses(&self.pin_dir).map_err(failed("read where tunnels end"))?;
        Ok(Decapsulation {
            // What somebody else has detached leaves its pin.
            interfaces: attached
                .into_iter()
                .filter(|it| it.program.is_some())
                .map(|it| it.interface)
                .collect(),
            addresses: addresses.into_iter().collect(),
        })
    }
}

/// The settings of an interface; zeros where IPv4 is not on it.
fn arp(interface: &str) -> Result<Arp, DoorError> {
    let setting = |setting: &str| {
        let name = format!("net.ipv4.conf.{}.{setting}", interface.replace('.', "/"));
        match sysctl::number(&name) {
            Ok(value) => Ok(u32::try_from(value).unwrap_or(u32::MAX)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(failed(format!("read {name}"))(error)),
        }
    };
    Ok(Arp {
        ignore: setting("arp_ignore")?,
        announce: setting("arp_announce")?,
        rp_filter: setting("rp_filter")?,
    })
}

/// Whether a folder, or where it would be made, lies on a BPF file system.
fn is_on_bpffs(folder: &Path) -> bool {
    let there = folder.ancestors().find(|it| it.exists());
    there.is_some_and(|it| pin::is_bpffs(it).unwrap_or(false))
}

impl Door for HostDoor {
    fn origin(&mut self) -> Result<Origin, DoorError> {
        let namespace = std::fs::read_link("/proc/thread-self/ns/net");
        Ok(Origin {
            boot: sysctl::read("kernel.random.boot_id").map_err(failed("read the kernel's boot_id"))?,
            namespace: namespace
                .map_err(failed("name the network namespace"))?
                .display()
                .to_string(),
        })
    }

    fn see(&mut self, wish: &Wish, trying: bool) -> Result<Seen, DoorError> {
        let links = self.routes.all_links().map_err(failed("read the interfaces"))?;
        let mut ways = BTreeMap::new();
        for family in Family::ALL {
            ways.extend(self.way(family, &links)?.map(|way| (family, way)));
        }
        let is_tunnel = wish.mode == Mode::Tun;
        let mut fou = match wish.tunnel.kind {
            TunnelKind::Gue { .. } if is_tunnel => {
                let fou = if trying { Fou::load() } else { Fou::open() };
                fou.map_err(failed("look for GUE"))?
            }
            _ => None,
        };
        let abilities = if trying && is_tunnel {
            Some(self.abilities(wish, fou.as_ref())?)
        } else {
            None
        };
        Ok(Seen {
            interfaces: self.interfaces(&links)?,
            all: arp("all")?,
            // Where there is no such setting, there is no IPv6.
            ipv6_off: sysctl::number("net.ipv6.conf.lo.disable_ipv6").map_or(true, |off| off != 0),
            gue: match &mut fou {
                Some(fou) => fou.ports().map_err(failed("read where GUE is taken in"))?,
                None => BTreeSet::new(),
            },
            decapsulation: self.decapsulation()?,
            bpffs: is_on_bpffs(&self.pin_dir),
            ways,
            abilities,
        })
    }

    fn make(&mut self, change: &Change) -> Result<(), DoorError> {
        match change {
            Change::Sysctl { name, after, .. } => {
                sysctl::write(name, after).map_err(failed(format!("set {name} to {after}")))
            }
            Change::Gue { family, port } => {
                let action = format!("take in GUE at UDP port {port} of {family}");
                let added = match Fou::open() {
                    Ok(Some(mut fou)) => fou.add(*family, *port),
                    Ok(None) => Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
                    Err(error) => Err(error),
                };
                added.map_err(failed(action))
            }
            Change::Device { device, checksum } => {
                let made = self.routes.make_device(*device, *checksum);
                made.map_err(|error| {
                    let taken = error.kind() == io::ErrorKind::AlreadyExists;
                    let mut error = failed(format!("make the device {device}"))(error);
                    if taken {
                        error.hint = format!(
                            "; another device of kind {} takes in all tunnels (`external`): let it, and put the \
                             virtual addresses on it, or delete it",
                            device.kind()
                        );
                    }
                    error
                })
            }
            Change::Up { device } => {
                let action = format!("bring {device} up");
                self.routes.bring_up(*device).map_err(failed(action))
            }
            Change::TunnelEnd { address } => {
                let action = format!("let tunnels end at {address}");
                self.decapsulator()?.add(*address).map_err(failed(action))
            }
            Change::Decapsulator { interface } => {
                let action = format!("attach the decapsulator to {interface}");
                let attached = self.decapsulator()?.attach(interface);
                attached.map(drop).map_err(failed(action))
            }
            Change::Address { address, interface } => {
                let action = format!("put {address} on {interface}");
                let put = self.routes.ensure(*address, interface);
                put.map(drop).map_err(failed(action))
            }
        }
    }

    fn unmake(&mut self, change: &Change) -> Result<Unmade, DoorError> {
        match change {
            Change::Sysctl { name, before, after } => restore(name, before.as_deref(), after),
            Change::Gue { family, port } => {
                let removed = Fou::open().and_then(|fou| match fou {
                    Some(mut fou) => fou.remove(*family, *port),
                    None => Ok(false),
                });
                removed
                    .map(became)
                    .map_err(failed(format!("take in no more GUE at UDP port {port}")))
            }
            Change::Device { device, .. } => {
                let removed = self.routes.remove_device(*device);
                removed
                    .map(became)
                    .map_err(failed(format!("remove the device {device}")))
            }
            // The device is ours, and goes with the change that made it.
            Change::Up { .. } => Ok(Unmade::Already),
            Change::TunnelEnd { address } => {
                let action = format!("let no tunnels end at {address}");
                let removed = Decapsulator::forget(&self.pin_dir, *address);
                let removed = removed.map_err(failed(action))?;
                self.sweep()?;
                Ok(became(removed))
            }
            Change::Decapsulator { interface } => {
                let action = format!("detach the decapsulator from {interface}");
                let removed = Decapsulator::detach(&self.pin_dir, interface);
                let removed = removed.map_err(failed(action))?;
                self.sweep()?;
                Ok(became(removed))
            }
            Change::Address { address, interface } => {
                let removed = self.routes.remove(*address, interface);
                removed
                    .map(became)
                    .map_err(failed(format!("take {address} off {interface}")))
            }
        }
    }
}

fn became(was_there: bool) -> Unmade {
    if was_there { Unmade::Done } else { Unmade::Already }
}

/// Restores a setting, unless it is neither what was set nor what was before.
fn restore(name: &str, before: Option<&str>, after: &str) -> Result<Unmade, DoorError> {
    let is = match sysctl::read(name) {
        Ok(is) => is,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Unmade::Already),
        Err(error) => return Err(failed(format!("read {name}"))(error)),
    };
    let Some(before) = before else {
        return Ok(Unmade::Already);
    };
    if is == before {
        Ok(Unmade::Already)
    } else if is == after {
        let restored = sysctl::write(name, before).map_err(failed(format!("set {name} to {before}")));
        restored.map(|()| Unmade::Done)
    } else {
        Ok(Unmade::Foreign(is))
    }
}
