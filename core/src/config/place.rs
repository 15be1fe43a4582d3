//! Places in a configuration, whether or not there is a file.

use super::{Config, Service};

/// A place in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A setting of the director.
    Director(DirectorKey),
    /// Something of a service, by the service's index.
    Service(usize, ServiceKey),
}

/// The settings of the director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectorKey {
    /// `plugin_dir`
    PluginDir,
    /// `state_dir`
    StateDir,
    /// `ct_mark_mask`
    CtMarkMask,
    /// One of `interfaces`, by index.
    Interface(usize),
    /// `pin_dir`
    PinDir,
    /// `max_flows`
    MaxFlows,
    /// `queue`
    Queue,
    /// `metrics`
    Metrics,
}

/// What a service has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// The service itself.
    Whole,
    /// `name`
    Name,
    /// `listen`, all of it.
    Listens,
    /// One of `listen`, by index.
    Listen(usize),
    /// `forward`
    Forward,
    /// `source`, all of it.
    Sources,
    /// One of `source`, by index.
    Source(usize),
    /// `scheduler`
    Scheduler,
    /// A parameter of the scheduler, by name.
    Param(String),
    /// `slots`
    Slots,
    /// `manage_vip`
    ManageVip,
    /// `manage_vip.interface`
    Interface,
    /// Something of `persistence`.
    Persistence(PersistenceKey),
    /// Something of `timeouts`.
    Timeouts(TimeoutKey),
    /// `one_packet`
    OnePacket,
    /// Something of one of `pins`, by index.
    Pin(usize, PinKey),
    /// `tunnel`
    Tunnel,
    /// `tunnel_source`, all of it.
    TunnelSources,
    /// One of `tunnel_source`, by index.
    TunnelSource(usize),
    /// Something of a backend, by the backend's index.
    Backend(usize, BackendKey),
}

/// What `persistence` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersistenceKey {
    /// All of it.
    Whole,
    /// `timeout`
    Timeout,
    /// `mask`
    Mask,
    /// `mask6`
    Mask6,
    /// `group`
    Group,
}

/// What `timeouts` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimeoutKey {
    /// All of it.
    Whole,
    /// `established`
    Established,
    /// `fin`
    Fin,
    /// `udp`
    Udp,
}

impl TimeoutKey {
    /// The key in the file.
    pub fn name(self) -> &'static str {
        match self {
            TimeoutKey::Whole => "timeouts",
            TimeoutKey::Established => "established",
            TimeoutKey::Fin => "fin",
            TimeoutKey::Udp => "udp",
        }
    }
}

/// What one of `pins` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PinKey {
    /// All of it.
    Whole,
    /// `client`
    Client,
    /// `backend`
    Backend,
}

/// What a backend has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BackendKey {
    /// The backend itself.
    Whole,
    /// `address`
    Address,
    /// `weight`
    Weight,
    /// `forward`
    Forward,
    /// `max_connections`
    MaxConnections,
    /// `min_connections`
    MinConnections,
    /// `tunnel`
    Tunnel,
}

impl Place {
    /// The service of the place, by index.
    pub fn service(&self) -> Option<usize> {
        match self {
            Place::Director(_) => None,
            Place::Service(service, _) => Some(*service),
        }
    }

    /// The next larger place around this one.
    pub fn around(&self) -> Option<Place> {
        let Place::Service(service, key) = self else {
            return None;
        };
        let larger = match key {
            ServiceKey::Whole => return None,
            ServiceKey::Listen(_) => ServiceKey::Listens,
            ServiceKey::Source(_) => ServiceKey::Sources,
            ServiceKey::Param(_) => ServiceKey::Scheduler,
            ServiceKey::Interface => ServiceKey::ManageVip,
            ServiceKey::Persistence(key) if *key != PersistenceKey::Whole => {
                ServiceKey::Persistence(PersistenceKey::Whole)
            }
            ServiceKey::Timeouts(key) if *key != TimeoutKey::Whole => ServiceKey::Timeouts(TimeoutKey::Whole),
            ServiceKey::Pin(pin, key) if *key != PinKey::Whole => ServiceKey::Pin(*pin, PinKey::Whole),
            ServiceKey::TunnelSource(_) => ServiceKey::TunnelSources,
            ServiceKey::Backend(backend, key) if *key != BackendKey::Whole => {
                ServiceKey::Backend(*backend, BackendKey::Whole)
            }
            _ => ServiceKey::Whole,
        };
        Some(Place::Service(*service, larger))
    }

    /// The place in words: `service "web": backend 10.1.0.11:8080: weight`.
    pub fn describe(&self, config: &Config) -> String {
        let (index, key) = match self {
            Place::Director(key) => return format!("director: {}", director_words(*key, config)),
            Place::Service(index, key) => (*index, key),
        };
        let Some(service) = config.services.get(index) else {
            return format!("service {}", index + 1);
        };
        let name = service_words(config, index);
        match part_words(service, key) {
            Some(part) => format!("{name}: {part}"),
            None => name,
        }
    }
}

/// `service "web"`, or `service 3` where it has no name.
pub(crate) fn service_words(config: &Config, index: usize) -> String {
    match config.services.get(index) {
        Some(service) if !service.name.is_empty() => format!("service {:?}", service.name),
        _ => format!("service {}", index + 1),
    }
}

fn director_words(key: DirectorKey, config: &Config) -> String {
    let name = match key {
        DirectorKey::PluginDir => "plugin_dir",
        DirectorKey::StateDir => "state_dir",
        DirectorKey::CtMarkMask => "ct_mark_mask",
        DirectorKey::Interface(interface) => {
            return of_list("interfaces", config.director.interfaces.get(interface));
        }
        DirectorKey::PinDir => "pin_dir",
        DirectorKey::MaxFlows => "max_flows",
        DirectorKey::Queue => "queue",
        DirectorKey::Metrics => "metrics",
    };
    name.to_owned()
}

/// An element of a list in words.
fn of_list(list: &str, element: Option<impl std::fmt::Display>) -> String {
    element.map_or_else(|| list.to_owned(), |element| format!("{list} {element}"))
}

/// A part of a service in words; none for the service itself.
fn part_words(service: &Service, key: &ServiceKey) -> Option<String> {
    let name = match key {
        ServiceKey::Whole => return None,
        ServiceKey::Name => "name",
        ServiceKey::Listens => "listen",
        ServiceKey::Listen(listen) => return Some(of_list("listen", service.listen.get(*listen))),
        ServiceKey::Forward => "forward",
        ServiceKey::Sources => "source",
        ServiceKey::Source(source) => return Some(of_list("source", service.source.get(*source))),
        ServiceKey::Scheduler => "scheduler",
        ServiceKey::Param(param) => return Some(format!("scheduler: parameter {param:?}")),
        ServiceKey::Slots => "slots",
        ServiceKey::ManageVip => "manage_vip",
        ServiceKey::Interface => "manage_vip: interface",
        ServiceKey::Persistence(PersistenceKey::Whole) => "persistence",
        ServiceKey::Persistence(PersistenceKey::Timeout) => "persistence: timeout",
        ServiceKey::Persistence(PersistenceKey::Mask) => "persistence: mask",
        ServiceKey::Persistence(PersistenceKey::Mask6) => "persistence: mask6",
        ServiceKey::Persistence(PersistenceKey::Group) => "persistence: group",
        ServiceKey::Timeouts(TimeoutKey::Whole) => "timeouts",
        ServiceKey::Timeouts(key) => return Some(format!("timeouts: {}", key.name())),
        ServiceKey::OnePacket => "one_packet",
        ServiceKey::Pin(pin, key) => {
            let pin = of_list("pin", service.pins.get(*pin).map(|pin| pin.client));
            return Some(match key {
                PinKey::Whole => pin,
                PinKey::Client => format!("{pin}: client"),
                PinKey::Backend => format!("{pin}: backend"),
            });
        }
        ServiceKey::Tunnel => "tunnel",
        ServiceKey::TunnelSources => "tunnel_source",
        ServiceKey::TunnelSource(source) => {
            return Some(of_list("tunnel_source", service.tunnel_source.get(*source)));
        }
        ServiceKey::Backend(backend, key) => {
            let backend = match service.backends.get(*backend) {
                Some(backend) => format!("backend {}", backend.address),
                None => format!("backend {}", backend + 1),
            };
            return Some(match key {
                BackendKey::Whole => backend,
                BackendKey::Address => format!("{backend}: address"),
                BackendKey::Weight => format!("{backend}: weight"),
                BackendKey::Forward => format!("{backend}: forward"),
                BackendKey::MaxConnections => format!("{backend}: max_connections"),
                BackendKey::MinConnections => format!("{backend}: min_connections"),
                BackendKey::Tunnel => format!("{backend}: tunnel"),
            });
        }
    };
    Some(name.to_owned())
}
