//! A host that is a value.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::real_server::*;
use crate::ruleset::Family;

/// When the door is called for the n-th time to make or unmake something.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// It gives an error, and has made nothing.
    Fails,
    /// The process ends, with the change made.
    Dies,
}

#[derive(Clone, Debug)]
pub struct Host {
    pub seen: Seen,
    pub origin: Origin,
    can: BTreeSet<Ability>,
    trouble: Option<(usize, Trouble)>,
}

pub fn vip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A wish; of a tunnel, its mode is the tunnel.
pub fn wish(vips: &[&str], mode: &str, interface: Option<&str>) -> Wish {
    Wish {
        vips: vips.iter().map(|text| vip(text)).collect(),
        mode: if mode == "dr" { Mode::Dr } else { Mode::Tun },
        tunnel: mode.parse().unwrap_or_default(),
        outer: None,
        interface: interface.map(str::to_owned),
        pin_dir: "/sys/fs/bpf/wvs".into(),
    }
}

fn interface(kind: Option<&str>, asks: bool, mtu: u32, addresses: &[(&str, u8)]) -> Interface {
    Interface {
        kind: kind.map(str::to_owned),
        asks,
        up: true,
        mtu,
        arp: Arp::default(),
        addresses: addresses
            .iter()
            .map(|(text, length)| (vip(text), *length))
            .collect(),
    }
}

/// A host with two interfaces and a default route by the first. Its kernel can do everything.
pub fn host() -> Host {
    let eth0 = [("10.1.0.11", 24), ("fd00:b::11", 64), ("fe80::1", 64)];
    let way = |gateway: &str| Way {
        interface: "eth0".into(),
        gateway: Some(vip(gateway)),
        mtu: 1500,
        advmss: None,
    };
    let devices = Device::ALL.map(Ability::Device);
    Host {
        seen: Seen {
            interfaces: [
                ("lo", interface(None, false, 65_536, &[("127.0.0.1", 8), ("::1", 128)])),
                ("eth0", interface(None, true, 1500, &eth0)),
                ("eth1", interface(Some("vlan"), true, 1500, &[("10.2.0.11", 24)])),
            ]
            .map(|(name, interface)| (name.to_owned(), interface))
            .into(),
            ways: [(Family::V4, way("10.1.0.1")), (Family::V6, way("fd00:b::1"))].into(),
            bpffs: true,
            ..Seen::default()
        },
        origin: Origin {
            boot: "one".into(),
            namespace: "net:[1]".into(),
        },
        can: devices.into_iter().chain([Ability::Gue]).collect(),
        trouble: None,
    }
}

impl Host {
    pub fn cannot(&mut self, device: Device) {
        self.can.remove(&Ability::Device(device));
    }

    pub fn trouble(&mut self, at: usize, trouble: Trouble) {
        self.trouble = Some((at, trouble));
    }

    pub fn calm(&mut self) {
        self.trouble = None;
    }

    /// Settings of `all`, `lo`, `eth0` and `eth1`, three each.
    pub fn settings(&mut self, values: &[u32]) {
        let arps = values.chunks(3).map(|it| Arp {
            ignore: it[0],
            announce: it[1],
            rp_filter: it[2].min(2),
        });
        let own = self.seen.interfaces.values_mut().map(|it| &mut it.arp);
        for (place, arp) in [&mut self.seen.all].into_iter().chain(own).zip(arps) {
            *place = arp;
        }
    }

    pub fn stands(&mut self, address: &str, interface: &str) {
        let length = if vip(address).is_ipv4() { 32 } else { 128 };
        self.interface(interface).addresses.insert((vip(address), length));
    }

    pub fn lacks(&mut self, address: &str) {
        for interface in self.seen.interfaces.values_mut() {
            interface.addresses.retain(|(it, _)| *it != vip(address));
        }
    }

    pub fn interface(&mut self, name: &str) -> &mut Interface {
        self.seen.interfaces.get_mut(name).unwrap()
    }

    /// What is there to be judged, when the kernel was tried.
    pub fn tried(&self) -> Seen {
        Seen {
            abilities: Some(self.can.clone()),
            ..self.seen.clone()
        }
    }

    fn setting(&mut self, name: &str) -> Option<&mut u32> {
        let (conf, setting) = name.strip_prefix("net.ipv4.conf.")?.rsplit_once('.')?;
        let arp = match conf {
            "all" => &mut self.seen.all,
            name => &mut self.seen.interfaces.get_mut(name)?.arp,
        };
        Some(match setting {
            "arp_ignore" => &mut arp.ignore,
            "arp_announce" => &mut arp.announce,
            _ => &mut arp.rp_filter,
        })
    }

    /// Whether the trouble comes before what is done now, and whether after it.
    fn is_due(&mut self) -> Option<Trouble> {
        let (left, trouble) = self.trouble?;
        self.trouble = left.checked_sub(1).map(|left| (left, trouble));
        (left == 0).then_some(trouble)
    }

    fn with_trouble<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> Result<T, DoorError> {
        match self.is_due() {
            Some(Trouble::Fails) => Err(DoorError {
                action: "do it".into(),
                hint: String::new(),
                source: "trouble".into(),
            }),
            Some(Trouble::Dies) => {
                work(self);
                panic!("killed")
            }
            None => Ok(work(self)),
        }
    }

    fn do_make(&mut self, change: &Change) {
        match change {
            Change::Sysctl { name, after, .. } => *self.setting(name).unwrap() = after.parse().unwrap(),
            Change::Gue { family, port } => drop(self.seen.gue.insert((*family, *port))),
            Change::Device { device, .. } => {
                let mut made = interface(Some(device.kind()), false, 1480, &[]);
                made.arp.rp_filter = 1;
                let replaced = self.seen.interfaces.insert(device.name().into(), made);
                assert_eq!(replaced, None);
            }
            Change::Up { device } => self.interface(device.name()).up = true,
            Change::TunnelEnd { address } => {
                self.seen.decapsulation.addresses.insert(*address);
            }
            Change::Decapsulator { interface } => {
                self.seen.decapsulation.interfaces.insert(interface.clone());
            }
            Change::Address { address, interface } => {
                let length = if address.is_ipv4() { 32 } else { 128 };
                self.interface(interface).addresses.insert((*address, length));
            }
        }
    }

    fn do_unmake(&mut self, change: &Change) -> Unmade {
        let was_there = match change {
            Change::Sysctl { name, before, after } => {
                let (Some(is), Some(before)) = (self.setting(name), before) else {
                    return Unmade::Already;
                };
                let was = is.to_string();
                if was != *before && was != *after {
                    return Unmade::Foreign(was);
                }
                *is = before.parse().unwrap();
                was != *before
            }
            Change::Gue { family, port } => self.seen.gue.remove(&(*family, *port)),
            Change::Device { device, .. } => self.seen.interfaces.remove(device.name()).is_some(),
            Change::Up { .. } => false,
            Change::TunnelEnd { address } => self.seen.decapsulation.addresses.remove(address),
            Change::Decapsulator { interface } => self.seen.decapsulation.interfaces.remove(interface),
            Change::Address { address, interface } => {
                self.seen.interfaces.get_mut(interface).is_some_and(|it| {
                    it.addresses
                        .remove(&(*address, if address.is_ipv4() { 32 } else { 128 }))
                })
            }
        };
        if was_there { Unmade::Done } else { Unmade::Already }
    }
}

impl Door for Host {
    fn origin(&mut self) -> Result<Origin, DoorError> {
        Ok(self.origin.clone())
    }

    fn see(&mut self, _: &Wish, trying: bool) -> Result<Seen, DoorError> {
        Ok(if trying { self.tried() } else { self.seen.clone() })
    }

    fn make(&mut self, change: &Change) -> Result<(), DoorError> {
        self.with_trouble(|host| host.do_make(change))
    }

    fn unmake(&mut self, change: &Change) -> Result<Unmade, DoorError> {
        self.with_trouble(|host| host.do_unmake(change))
    }
}
