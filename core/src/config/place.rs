//! Places in a configuration, whether or not there is a file.

use super::Config;

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
    /// Something of a backend, by the backend's index.
    Backend(usize, BackendKey),
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
            Place::Director(DirectorKey::PluginDir) => return "director: plugin_dir".to_owned(),
            Place::Director(DirectorKey::StateDir) => return "director: state_dir".to_owned(),
            Place::Director(DirectorKey::CtMarkMask) => return "director: ct_mark_mask".to_owned(),
            Place::Service(index, key) => (*index, key),
        };
        let Some(service) = config.services.get(index) else {
            return format!("service {}", index + 1);
        };
        let name = service_words(config, index);
        let part = match key {
            ServiceKey::Whole => return name,
            ServiceKey::Name => "name".to_owned(),
            ServiceKey::Listens => "listen".to_owned(),
            ServiceKey::Listen(listen) => match service.listen.get(*listen) {
                Some(listen) => format!("listen {listen}"),
                None => "listen".to_owned(),
            },
            ServiceKey::Forward => "forward".to_owned(),
            ServiceKey::Sources => "source".to_owned(),
            ServiceKey::Source(source) => match service.source.get(*source) {
                Some(source) => format!("source {source}"),
                None => "source".to_owned(),
            },
            ServiceKey::Scheduler => "scheduler".to_owned(),
            ServiceKey::Param(param) => format!("scheduler: parameter {param:?}"),
            ServiceKey::Slots => "slots".to_owned(),
            ServiceKey::ManageVip => "manage_vip".to_owned(),
            ServiceKey::Interface => "manage_vip: interface".to_owned(),
            ServiceKey::Backend(backend, key) => {
                let backend = match service.backends.get(*backend) {
                    Some(backend) => format!("backend {}", backend.address),
                    None => format!("backend {}", backend + 1),
                };
                match key {
                    BackendKey::Whole => backend,
                    BackendKey::Address => format!("{backend}: address"),
                    BackendKey::Weight => format!("{backend}: weight"),
                    BackendKey::Forward => format!("{backend}: forward"),
                }
            }
        };
        format!("{name}: {part}")
    }
}

/// `service "web"`, or `service 3` where it has no name.
pub(crate) fn service_words(config: &Config, index: usize) -> String {
    match config.services.get(index) {
        Some(service) if !service.name.is_empty() => format!("service {:?}", service.name),
        _ => format!("service {}", index + 1),
    }
}
