//! Setting and reading the maps. Each setter is one update, and knows nothing of what was there before.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::filter;
use crate::half_open::HalfOpen;
use crate::layout::{
    Backend, BackendStats, Event, Flow, FlowKey, FlowKey4, GATE_TICKS, Gate, KinKey, Listener, Persistent,
    PersistentKey, PinKey, Pinned, Service, ServiceStats, Settings, Shortcut, TABLE_KIND_SHIFT,
};
use crate::pin;
use crate::service::ServiceSettings;
use crate::sys::Map;
use crate::target::{Kind, Listen, Target};

/// The pinned maps cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the map {} cannot be opened; is the program loaded?", path.display())]
pub struct OpenError {
    /// Where it should be.
    pub path: PathBuf,
    /// Why not.
    #[source]
    pub source: io::Error,
}

/// The kernel refused a change or a question.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// A number beyond the map's size.
    #[error(
        "{what} {number} is beyond the {size} that the program was loaded with; load it with larger sizes"
    )]
    Beyond {
        /// What was numbered.
        what: &'static str,
        /// Its number.
        number: u32,
        /// The map's size.
        size: u32,
    },
    /// A table with no slot, or with too many.
    #[error("a dispatch table of {0} slots; from 1 to 16,777,215 are possible")]
    Slots(usize),
    /// A backend of direct routing or tunnelling of which it is not said how to reach it.
    #[error("backend {0} has no way: interface, MTU and, for tunnels, outer source of its own family")]
    NoWay(u16),
    /// The kernel's word.
    #[error("the kernel refused: {doing}")]
    Kernel {
        /// What was asked.
        doing: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

pub(crate) fn refused(doing: impl Into<String>) -> impl FnOnce(io::Error) -> MapError {
    let doing = doing.into();
    |source| MapError::Kernel { doing, source }
}

/// The name under which the program that tells the time is pinned.
pub(crate) const CLOCK: &str = "clock";
/// And the one that lets packets arrive.
pub(crate) const INJECT: &str = "inject";

/// The maps of a loaded program.
#[derive(Debug)]
pub struct Maps {
    pub(crate) settings: Map<u32, Settings>,
    gates: Map<u32, Gate>,
    listeners: Map<Listener, u32>,
    shortcuts: Map<u32, Shortcut>,
    pub(crate) services: Map<u32, Service>,
    cycles: Map<u32, u64>,
    pub(crate) tables: Map<u32, u32>,
    pub(crate) backends: Map<u32, Backend>,
    pub(crate) flows4: Map<FlowKey4, Flow>,
    pub(crate) flows6: Map<FlowKey, Flow>,
    pub(crate) half_open4: HalfOpen<FlowKey4>,
    pub(crate) half_open6: HalfOpen<FlowKey>,
    pub(crate) persistent: Map<PersistentKey, Persistent>,
    pub(crate) persistent_new: Map<PersistentKey, Persistent>,
    pub(crate) pins: Map<PinKey, Pinned>,
    pub(crate) kin: Map<KinKey, Pinned>,
    backend_stats: Map<u32, BackendStats>,
    service_stats: Map<u32, ServiceStats>,
    events: Map<u32, u64>,
    pub(crate) clock: OwnedFd,
}

/// A dispatch table to be.
#[derive(Clone, Copy, Debug)]
pub struct NewTable<'a> {
    /// Whose.
    pub service: u32,
    /// How it is used.
    pub kind: Kind,
    /// jhash's initval.
    pub seed: u32,
    /// Backend ids.
    pub slots: &'a [Option<u16>],
}

impl NewTable<'_> {
    /// As the program reads it: kind and length, seed, slots.
    fn values(&self) -> Result<Vec<u32>, MapError> {
        let length = self.slots.len();
        if length == 0 || length >> TABLE_KIND_SHIFT > 0 {
            return Err(MapError::Slots(length));
        }
        let head = [self.kind.number() << TABLE_KIND_SHIFT | length as u32, self.seed];
        let slots = self.slots.iter().map(|slot| u32::from(slot.unwrap_or(0)));
        Ok(head.into_iter().chain(slots).collect())
    }
}

impl Maps {
    /// Opens the maps pinned below `root`.
    pub fn open(root: &Path) -> Result<Self, OpenError> {
        let folder = pin::folder(root);
        macro_rules! open {
            ($($kind:ident: $($name:ident),*;)*) => {
                Self {
                    $($($name: {
                        let path = folder.join(stringify!($name));
                        $kind::open(&path).map_err(|source| OpenError { path, source })?
                    },)*)*
                    clock: {
                        let path = folder.join(CLOCK);
                        crate::sys::open_program(&path).map_err(|source| OpenError { path, source })?
                    },
                }
            };
        }
        Ok(open! {
            Map: settings, gates, listeners, shortcuts, services, cycles, tables, backends, flows4, flows6, persistent,
                persistent_new, pins, kin,
                backend_stats, service_stats, events;
            HalfOpen: half_open4, half_open6;
        })
    }

    /// Tells the program of the tables of half-open connections, when they are new.
    pub(crate) fn begin_half_open(&self) -> Result<(), MapError> {
        let known = self.settings()?.half_open_seed != 0;
        let sets = self.half_open4.sets.min(self.half_open6.sets);
        // The standard library seeds its hashers anew for each process.
        let seed = RandomState::new().build_hasher().finish() | 1;
        if known {
            return Ok(());
        }
        self.change_settings(|settings| (settings.half_open_sets, settings.half_open_seed) = (sets, seed))
    }

    pub(crate) fn change_settings(&self, change: impl FnOnce(&mut Settings)) -> Result<(), MapError> {
        let mut settings = self.settings()?;
        change(&mut settings);
        self.settings
            .set(&0, &settings)
            .map_err(refused("changing the settings"))
    }

    /// How many entries, and how many too-big messages, each CPU may make in a second; it is held over
    /// [`crate::layout::GATE_TICKS`]. No limit of entries is 0.
    pub fn set_limits(&self, inserts: u32, too_big_messages: u32) -> Result<(), MapError> {
        let window = crate::flows::tick().as_secs_f64() * f64::from(1_u32 << GATE_TICKS);
        // From floating point `as` saturates.
        let in_window = |rate: u32| (f64::from(rate) * window).ceil() as u32;
        self.change_settings(|settings| {
            settings.insert_limit = in_window(inserts);
            settings.icmp_limit = in_window(too_big_messages);
        })
    }

    /// Leads what a listener names to a service; the service and its table should be there already.
    pub fn set_listener(&self, listen: Listen, service: u32) -> Result<(), MapError> {
        self.within("service", service, self.services.max_entries)?;
        // The filter first: a listener that the filter does not pass would not be found.
        self.change_settings(|settings| match listen {
            Listen::Address(address, ..) => filter::insert(&mut settings.filter, address),
            Listen::Mark(..) => settings.marks = 1,
        })?;
        // A shortcut never outlives what it is short for, wherever we are interrupted.
        self.forget_shortcut(listen)?;
        self.listeners
            .set(&listen.into(), &service)
            .map_err(refused(format!("listening at {listen:?} for service {service}")))?;
        match listen.shortcut(service) {
            Some((at, shortcut)) => self
                .shortcuts
                .set(&at, &shortcut)
                .map_err(refused(format!("making a shortcut for {listen:?}"))),
            None => Ok(()),
        }
    }

    fn forget_shortcut(&self, listen: Listen) -> Result<(), MapError> {
        let Some((at, shortcut)) = listen.shortcut(0) else {
            return Ok(());
        };
        let doing = || format!("removing the shortcut for {listen:?}");
        let there = self.shortcuts.get(&at).map_err(refused(doing()))?;
        if there.is_some_and(|there| there.name == shortcut.name) {
            self.shortcuts
                .set(&at, &Shortcut::default())
                .map_err(refused(doing()))?;
        }
        Ok(())
    }

    /// Ends a listener. Its connections go on. Says whether there was one.
    pub fn remove_listener(&self, listen: Listen) -> Result<bool, MapError> {
        self.forget_shortcut(listen)?;
        let existed = self
            .listeners
            .delete(&listen.into())
            .map_err(refused(format!("removing the listener {listen:?}")))?;
        Ok(existed)
    }

    /// Takes out of the filter the addresses that have no listener any more. Connections that still live there end
    /// with it: their packets pass us by.
    pub fn renew_filter(&self) -> Result<(), MapError> {
        let listeners = self.listeners()?;
        self.change_settings(|settings| {
            settings.filter = [0; 128];
            settings.marks = 0;
            for listen in listeners.keys() {
                match listen {
                    Listen::Address(address, ..) => filter::insert(&mut settings.filter, *address),
                    Listen::Mark(..) => settings.marks = 1,
                }
            }
        })
    }

    /// All listeners, and the services they lead to.
    pub fn listeners(&self) -> Result<BTreeMap<Listen, u32>, MapError> {
        let mut all = BTreeMap::new();
        for key in self.listeners.keys().map_err(refused("reading the listeners"))? {
            if let Some(service) = self.listeners.get(&key).map_err(refused("reading a listener"))? {
                all.insert(key.into(), service);
            }
        }
        Ok(all)
    }

    /// Sets a service, or changes it.
    pub fn set_service(&self, service: u32, settings: &ServiceSettings) -> Result<(), MapError> {
        self.within("service", service, self.services.max_entries)?;
        self.services
            .set(&service, &(*settings).into())
            .map_err(refused(format!("setting service {service}")))
    }

    /// Removes a service whose listeners are gone: its table, its pins and kin, its counters, and where its cycle was. Its
    /// connections go on.
    pub fn remove_service(&self, service: u32) -> Result<(), MapError> {
        let doing = || refused(format!("removing service {service}"));
        self.within("service", service, self.services.max_entries)?;
        self.remove_table(service)?;
        self.set_pins(service as u16, &[])?;
        self.set_kin(service as u16, &[])?;
        self.services
            .set(&service, &Service::default())
            .map_err(doing())?;
        self.cycles.set(&service, &0).map_err(doing())?;
        self.service_stats
            .set_per_cpu(&service, &ServiceStats::default())
            .map_err(doing())
    }

    /// Gives a service its dispatch table, in exchange for the one it had: packets see the one or the other.
    /// `None` is a slot whose connections are refused. A `cycle` goes on where it was.
    pub fn set_table(
        &self,
        service: u32,
        kind: Kind,
        seed: u32,
        slots: &[Option<u16>],
    ) -> Result<(), MapError> {
        self.set_tables(&[NewTable {
            service,
            kind,
            seed,
            slots,
        }])
    }

    /// The same for several services, each for itself. The kernel waits until no packet uses an old table any more,
    /// some milliseconds, and for all of them together only once.
    pub fn set_tables(&self, tables: &[NewTable<'_>]) -> Result<(), MapError> {
        let doing = || format!("exchanging {} dispatch tables", tables.len());
        let mut made = Vec::with_capacity(tables.len());
        for table in tables {
            self.within("service", table.service, self.tables.max_entries)?;
            made.push(crate::sys::array(&table.values()?).map_err(refused(doing()))?);
        }
        let services: Vec<u32> = tables.iter().map(|table| table.service).collect();
        let descriptors: Vec<u32> = made.iter().map(|table| table.as_raw_fd() as u32).collect();
        self.tables
            .set_all(&services, &descriptors)
            .map_err(refused(doing()))
    }

    /// Takes a service's table away: its new connections are refused.
    pub fn remove_table(&self, service: u32) -> Result<bool, MapError> {
        self.tables
            .delete(&service)
            .map_err(refused(format!("removing the table of service {service}")))
    }

    /// How many new connections a `cycle` has handed out: the next takes the slot of this modulo the table's length.
    pub fn cycle(&self, service: u32) -> Result<u64, MapError> {
        let cycle = self
            .cycles
            .get(&service)
            .map_err(refused(format!("reading where the cycle of service {service} is")))?;
        Ok(cycle.unwrap_or(0))
    }

    /// Sets a backend, or changes the way to it.
    pub fn set_backend(&self, id: u16, target: &Target) -> Result<(), MapError> {
        use crate::target::Method;
        self.within("backend", id.into(), self.backends.max_entries)?;
        let same_family = |source: std::net::IpAddr| source.is_ipv4() == target.address.is_ipv4();
        let reachable = match target.method {
            Method::Nat | Method::Local => true,
            Method::DirectRouting => target.way.is_some_and(|way| way.ifindex > 0 && way.mtu > 0),
            Method::Tunnel => target
                .way
                .is_some_and(|way| way.ifindex > 0 && way.mtu > 60 && way.source.is_some_and(same_family)),
        };
        if id == 0 || !reachable {
            return Err(MapError::NoWay(id));
        }
        self.backends
            .set(&id.into(), &(*target).into())
            .map_err(refused(format!("setting backend {id}")))
    }

    /// What the program knows of a backend.
    pub fn backend(&self, id: u16) -> Result<Option<Backend>, MapError> {
        let backend = self
            .backends
            .get(&id.into())
            .map_err(refused(format!("reading backend {id}")))?;
        Ok(backend.filter(|backend| backend.method != 0))
    }

    /// Removes a backend. Its connections are scheduled anew; where slots still name it, theirs are refused.
    pub fn remove_backend(&self, id: u16) -> Result<(), MapError> {
        self.within("backend", id.into(), self.backends.max_entries)?;
        self.backends
            .set(&id.into(), &Backend::default())
            .map_err(refused(format!("removing backend {id}")))
    }

    /// What has gone to a backend.
    pub fn backend_stats(&self, id: u16) -> Result<BackendStats, MapError> {
        let parts = self
            .backend_stats
            .get_per_cpu(&id.into())
            .map_err(refused(format!("reading the counters of backend {id}")))?;
        Ok(parts
            .iter()
            .fold(BackendStats::default(), |sum, part| BackendStats {
                packets: sum.packets + part.packets,
                bytes: sum.bytes + part.bytes,
                connections: sum.connections + part.connections,
            }))
    }

    /// Sets a backend's counters to zero, for when its id gets another meaning.
    pub fn clear_backend_stats(&self, id: u16) -> Result<(), MapError> {
        self.backend_stats
            .set_per_cpu(&id.into(), &BackendStats::default())
            .map_err(refused(format!("clearing the counters of backend {id}")))
    }

    /// What a service has done; its connections are the sum of its backends'.
    pub fn service_stats(&self, service: u32) -> Result<ServiceStats, MapError> {
        let parts = self
            .service_stats
            .get_per_cpu(&service)
            .map_err(refused(format!("reading the counters of service {service}")))?;
        let refused = parts.iter().map(|part| part.refused).sum();
        Ok(ServiceStats { refused })
    }

    /// How often each event has happened.
    pub fn events(&self) -> Result<BTreeMap<Event, u64>, MapError> {
        let mut counts = BTreeMap::new();
        for event in Event::ALL {
            let parts = self
                .events
                .get_per_cpu(&(*event as u32))
                .map_err(refused(format!("reading how often {} happened", event.name())))?;
            counts.insert(*event, parts.iter().sum());
        }
        Ok(counts)
    }

    /// Opens the gates of this window again. For tests of limits.
    pub fn reset_gates(&self) -> Result<(), MapError> {
        self.gates
            .set_per_cpu(&0, &Gate::default())
            .map_err(refused("resetting the gates"))
    }

    fn within(&self, what: &'static str, number: u32, size: u32) -> Result<(), MapError> {
        if number < size {
            Ok(())
        } else {
            Err(MapError::Beyond { what, number, size })
        }
    }
}
