//! The door to the tc program: its maps, its attachments.

mod flows;
mod look;
mod reports;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wvs_tc_bpf::layout::{BackendStats, Event};
use wvs_tc_bpf::{
    AttachError, Forwarder, Kind, LoadError, LockError, MapError, Maps, NewTable, OpenError, PersistentEntry,
    PinLock, ProgramError, Questions, Reports, RunError, Sizes, Sweep, Timeouts, tick,
};

pub use flows::{Adopted, TcFlow};
pub use look::{Answer, Inventory};
pub use reports::Report;
pub use wvs_tc_bpf::What;

use crate::dispatch::DispatchTable;
use crate::ruleset::build::HASH_SEED;
use crate::scheduler::{BackendId, Dispatch, HashKey};
use crate::tc::{MOST_LISTENERS, MOST_SERVICES, Step, TcService, TcState};

/// New connections that each CPU may remember in a second; those above it go by the hash of the client.
const INSERTS: u32 = 125_000;
/// ICMP messages that each CPU may send in a second to clients whose packets are too big.
const TOO_BIG_MESSAGES: u32 = 1000;
/// An Ethernet header, which the program counts and operators do not.
const ETHERNET: u64 = 14;

/// Where the program's state lies, and how large it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TcSettings {
    /// The directory on a BPF file system.
    pub pin_dir: PathBuf,
    /// Connections of each family.
    pub max_flows: u32,
}

/// Why the program or its maps did not do as they should.
#[derive(Debug, thiserror::Error)]
pub enum TcError {
    /// It is not in the kernel.
    #[error("the forwarding program cannot be brought up")]
    Load(#[from] LoadError),
    /// Another director uses the pin directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A map refused.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A map is not where it was pinned.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It is not attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// It did not run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The kernel says nothing of it.
    #[error("the kernel does not describe the program")]
    Program(#[from] ProgramError),
}

/// The tc program: one per director, brought up when the first service needs it.
pub trait Tc {
    /// Whether a director has left something below a directory.
    fn exists(&mut self, settings: &TcSettings) -> bool;
    /// Loads the program, with the maps that are pinned or with new ones, and says what they hold but for tables. Does
    /// nothing where it is loaded with these settings already.
    fn open(&mut self, settings: &TcSettings) -> Result<Option<TcState>, TcError>;
    /// Makes steps one after the other; `installed` follows each that was made.
    fn make(&mut self, steps: &[Step], installed: &mut TcState) -> Result<(), TcError>;
    /// The interfaces that the program is attached to now.
    fn attachments(&mut self) -> Result<Vec<String>, TcError>;
    /// Detaches it from an interface.
    fn detach(&mut self, interface: &str) -> Result<(), TcError>;
    /// Has the program know connections that it has not seen begin.
    fn adopt(&mut self, flows: &[Adopted]) -> Result<(), TcError>;
    /// Removes a backend, with the connections that are left.
    fn forget(&mut self, id: BackendId) -> Result<usize, TcError>;
    /// Lets the clients that a backend keeps be scheduled anew.
    fn forget_clients(&mut self, id: BackendId) -> Result<usize, TcError>;
    /// The clients that keep their backends, and how long ago each began its last connection.
    fn persistent(&mut self) -> Result<Vec<(PersistentEntry, Duration)>, TcError>;
    /// Lets go of the addresses that nobody listens on any more.
    fn renew_filter(&mut self) -> Result<(), TcError>;
    /// Counts and expires connections, by the timeouts of their services.
    fn sweep(&mut self, timeouts: &BTreeMap<u16, Timeouts>) -> Result<Sweep, TcError>;
    /// All connections.
    fn flows(&mut self) -> Result<Vec<TcFlow>, TcError>;
    /// What was sent to backends.
    fn traffic(&mut self, ids: &[BackendId]) -> Result<BTreeMap<BackendId, BackendStats>, TcError>;
    /// How often each event happened.
    fn events(&mut self) -> Result<BTreeMap<Event, u64>, TcError>;
    /// How many connections a service's cycle has handed out.
    fn position(&mut self, service: u32) -> Result<u64, TcError>;
    /// What would become of a packet, by the program itself and without consequences.
    fn explain(&mut self, frame: &[u8], mark: u32) -> Result<Answer, TcError>;
    /// How many packets of services were refused because nobody takes them.
    fn refused(&mut self, services: &[u32]) -> Result<BTreeMap<u32, u64>, TcError>;
    /// Has one in so many packets reported; 0 is none. Without the program there is nothing to report.
    fn sample(&mut self, every: u32) -> Result<(), TcError>;
    /// The packets reported since the last look, at most so many.
    fn reports(&mut self, most: usize) -> Result<Vec<Report>, TcError>;
    /// All that is in the kernel, read back; nothing where the program is not loaded.
    fn inventory(&mut self) -> Result<Option<Inventory>, TcError>;
    /// The connections that the program asks about, from now on; nothing where it is not loaded.
    fn questions(&mut self, patience: Duration) -> Result<Option<Questions>, TcError>;
    /// Detaches everything and removes all pins below a directory. Says whether there were any.
    fn teardown(&mut self, settings: &TcSettings) -> Result<bool, TcError>;
}

/// The program in the kernel.
#[derive(Debug, Default)]
pub struct TcProgram {
    loaded: Option<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    settings: TcSettings,
    forwarder: Forwarder,
    /// Open while packets are sampled.
    reports: Option<Reports>,
    _lock: Arc<PinLock>,
}

impl TcProgram {
    fn forwarder(&mut self) -> Option<&mut Forwarder> {
        self.loaded.as_mut().map(|it| &mut it.forwarder)
    }
}

/// What the maps hold.
fn held(maps: &Maps) -> Result<TcState, MapError> {
    let mut state = TcState {
        listeners: maps.listeners()?,
        ..TcState::default()
    };
    for (id, target) in maps.backends()? {
        state.backends.insert(BackendId(id), target);
    }
    for (number, settings) in maps.services()? {
        let table = maps.table(number)?;
        // One with another seed is none of ours, and is made anew.
        let table = table
            .filter(|it| it.seed == HASH_SEED)
            .map_or_else(DispatchTable::empty, |it| DispatchTable {
                dispatch: dispatch(it.kind),
                slots: it.slots.into_iter().map(|slot| slot.map(BackendId)).collect(),
            });
        let pins = maps.pins(u16::try_from(number).unwrap_or(u16::MAX))?;
        let pins = pins.into_iter().collect();
        let kin = maps.kin(u16::try_from(number).unwrap_or(u16::MAX))?;
        let kin = kin.into_iter().collect();
        state.services.insert(
            number,
            TcService {
                settings,
                table,
                pins,
                kin,
            },
        );
    }
    Ok(state)
}

fn dispatch(kind: Kind) -> Dispatch {
    match kind {
        Kind::Cycle => Dispatch::Cycle,
        Kind::Source => Dispatch::Hash(HashKey::Source),
        Kind::SourceAndPort => Dispatch::Hash(HashKey::SourceAndPort),
        Kind::Destination => Dispatch::Hash(HashKey::Destination),
        Kind::Both => Dispatch::Hash(HashKey::Both),
        Kind::Flow => Dispatch::Flow,
    }
}

/// A dispatch table in the program's words.
fn kind(dispatch: Dispatch) -> Kind {
    match dispatch {
        Dispatch::Cycle => Kind::Cycle,
        Dispatch::Hash(HashKey::Source) => Kind::Source,
        Dispatch::Hash(HashKey::SourceAndPort) => Kind::SourceAndPort,
        Dispatch::Hash(HashKey::Destination) => Kind::Destination,
        Dispatch::Hash(HashKey::Both) => Kind::Both,
        Dispatch::Flow => Kind::Flow,
    }
}

impl Tc for TcProgram {
    fn exists(&mut self, settings: &TcSettings) -> bool {
        wvs_tc_bpf::pin::folder(&settings.pin_dir).exists()
    }

    fn open(&mut self, settings: &TcSettings) -> Result<Option<TcState>, TcError> {
        if self.loaded.as_ref().is_some_and(|it| it.settings == *settings) {
            return Ok(None);
        }
        // What is loaded stays in use where the other cannot be: a refused change leaves all as it was.
        let lock = match &self.loaded {
            Some(loaded) if loaded.settings.pin_dir == settings.pin_dir => Arc::clone(&loaded._lock),
            _ => Arc::new(PinLock::take(&settings.pin_dir)?),
        };
        let sizes = Sizes {
            listeners: MOST_LISTENERS,
            services: MOST_SERVICES,
            backends: u32::from(u16::MAX) + 1,
            flows4: settings.max_flows,
            flows6: settings.max_flows,
            ..Sizes::default()
        };
        let forwarder = Forwarder::load(&settings.pin_dir, &sizes)?;
        forwarder.maps().set_limits(INSERTS, TOO_BIG_MESSAGES)?;
        // A director that was killed may have left it on.
        forwarder.maps().set_sampling(0)?;
        let state = held(forwarder.maps())?;
        self.loaded = Some(Loaded {
            settings: settings.clone(),
            forwarder,
            reports: None,
            _lock: lock,
        });
        Ok(Some(state))
    }

    fn make(&mut self, steps: &[Step], installed: &mut TcState) -> Result<(), TcError> {
        let Some(forwarder) = self.forwarder() else {
            return Ok(());
        };
        let mut rest = steps;
        while let Some(step) = rest.first() {
            let maps = forwarder.maps();
            let mut made = 1;
            match step {
                Step::Backend(id, target) => {
                    if installed
                        .backends
                        .get(id)
                        .is_some_and(|it| it.generation != target.generation)
                    {
                        maps.clear_backend_stats(id.0)?;
                    }
                    maps.set_backend(id.0, target)?;
                }
                Step::Service(number, settings) => maps.set_service(*number, settings)?,
                Step::Table(..) => {
                    let tables: Vec<_> = rest.iter().map_while(Step::table).collect();
                    made = tables.len();
                    set_tables(maps, &tables)?;
                }
                Step::Pins(number, pins) => {
                    let all: Vec<_> = pins.iter().copied().collect();
                    maps.set_pins(u16::try_from(*number).unwrap_or(u16::MAX), &all)?;
                }
                Step::Kin(number, kin) => {
                    let all: Vec<_> = kin.iter().copied().collect();
                    maps.set_kin(u16::try_from(*number).unwrap_or(u16::MAX), &all)?;
                }
                Step::Listen(listen, number) => maps.set_listener(*listen, *number)?,
                Step::Attach(interface) => drop(forwarder.attach(interface)?),
                Step::Unlisten(listen) => drop(maps.remove_listener(*listen)?),
                Step::RemoveService(number) => maps.remove_service(*number)?,
            }
            let (done, left) = rest.split_at(made);
            done.iter().for_each(|step| installed.follow(step));
            rest = left;
        }
        Ok(())
    }

    fn attachments(&mut self) -> Result<Vec<String>, TcError> {
        let Some(Loaded { settings, .. }) = &self.loaded else {
            return Ok(Vec::new());
        };
        let all = Forwarder::attachments(&settings.pin_dir)?;
        let alive = all.into_iter().filter(|it| it.program.is_some());
        Ok(alive.map(|it| it.interface).collect())
    }

    fn detach(&mut self, interface: &str) -> Result<(), TcError> {
        if let Some(Loaded { settings, .. }) = &self.loaded {
            Forwarder::detach(&settings.pin_dir, interface)?;
        }
        Ok(())
    }

    fn forget(&mut self, id: BackendId) -> Result<usize, TcError> {
        let Some(forwarder) = self.forwarder() else {
            return Ok(0);
        };
        forwarder.maps().remove_backend(id.0)?;
        Ok(forwarder.maps().cut(id.0)?)
    }

    fn forget_clients(&mut self, id: BackendId) -> Result<usize, TcError> {
        self.forwarder()
            .map_or(Ok(0), |it| Ok(it.maps().forget_persistent(id.0)?))
    }

    fn persistent(&mut self) -> Result<Vec<(PersistentEntry, Duration)>, TcError> {
        let Some(forwarder) = self.forwarder() else {
            return Ok(Vec::new());
        };
        let (now, tick) = (forwarder.maps().now()?, tick());
        let entries = forwarder.maps().persistent_entries()?;
        let aged = |entry: PersistentEntry| {
            let ticks = now.wrapping_sub(entry.seen) as i32;
            (entry, tick.saturating_mul(ticks.max(0).unsigned_abs()))
        };
        Ok(entries.into_iter().map(aged).collect())
    }

    fn renew_filter(&mut self) -> Result<(), TcError> {
        self.forwarder()
            .map_or(Ok(()), |it| Ok(it.maps().renew_filter()?))
    }

    fn sweep(&mut self, timeouts: &BTreeMap<u16, Timeouts>) -> Result<Sweep, TcError> {
        let Some(forwarder) = self.forwarder() else {
            return Ok(Sweep::default());
        };
        let maps = forwarder.maps();
        let of = |service| timeouts.get(&service).copied().unwrap_or_default();
        Ok(maps.sweep(of, maps.now()?)?)
    }

    fn adopt(&mut self, flows: &[Adopted]) -> Result<(), TcError> {
        self.forwarder()
            .map_or_else(|| Ok(()), |it| Ok(flows::adopt(it.maps(), flows)?))
    }

    fn flows(&mut self) -> Result<Vec<TcFlow>, TcError> {
        self.forwarder()
            .map_or_else(|| Ok(Vec::new()), |it| Ok(flows::list(it.maps())?))
    }

    fn traffic(&mut self, ids: &[BackendId]) -> Result<BTreeMap<BackendId, BackendStats>, TcError> {
        let Some(forwarder) = self.forwarder() else {
            return Ok(BTreeMap::new());
        };
        let maps = forwarder.maps();
        ids.iter()
            .map(|&id| {
                let mut stats = maps.backend_stats(id.0)?;
                stats.bytes = stats.bytes.saturating_sub(ETHERNET * stats.packets);
                Ok((id, stats))
            })
            .collect()
    }

    fn events(&mut self) -> Result<BTreeMap<Event, u64>, TcError> {
        self.forwarder()
            .map_or_else(|| Ok(BTreeMap::new()), |it| Ok(it.maps().events()?))
    }

    fn position(&mut self, service: u32) -> Result<u64, TcError> {
        self.forwarder().map_or(Ok(0), |it| Ok(it.maps().cycle(service)?))
    }

    fn explain(&mut self, frame: &[u8], mark: u32) -> Result<Answer, TcError> {
        self.forwarder()
            .map_or(Ok(Answer::NotOurs), |it| Ok(look::ask(it, frame, mark)?))
    }

    fn refused(&mut self, services: &[u32]) -> Result<BTreeMap<u32, u64>, TcError> {
        let Some(forwarder) = self.forwarder() else {
            return Ok(BTreeMap::new());
        };
        let of = |&service: &u32| Ok((service, forwarder.maps().service_stats(service)?.refused));
        services.iter().map(of).collect()
    }

    fn sample(&mut self, every: u32) -> Result<(), TcError> {
        self.loaded
            .as_mut()
            .map_or(Ok(()), |it| reports::sample(it, every))
    }

    fn reports(&mut self, most: usize) -> Result<Vec<Report>, TcError> {
        let reports = self.loaded.as_mut().and_then(|it| it.reports.as_mut());
        reports.map_or_else(|| Ok(Vec::new()), |it| reports::take(it, most))
    }

    fn inventory(&mut self) -> Result<Option<Inventory>, TcError> {
        let Some(Loaded {
            settings, forwarder, ..
        }) = &self.loaded
        else {
            return Ok(None);
        };
        look::inventory(settings, forwarder).map(Some)
    }

    fn questions(&mut self, patience: Duration) -> Result<Option<Questions>, TcError> {
        let Some(Loaded { settings, .. }) = &self.loaded else {
            return Ok(None);
        };
        Ok(Some(Questions::open(&settings.pin_dir, patience)?))
    }

    fn teardown(&mut self, settings: &TcSettings) -> Result<bool, TcError> {
        self.loaded = None;
        Ok(Forwarder::teardown(&settings.pin_dir)?)
    }
}

fn set_tables(maps: &Maps, tables: &[(u32, &DispatchTable)]) -> Result<(), MapError> {
    let slots: Vec<Vec<Option<u16>>> = tables
        .iter()
        .map(|(_, table)| table.slots.iter().map(|slot| slot.map(|id| id.0)).collect())
        .collect();
    let new: Vec<_> = tables
        .iter()
        .zip(&slots)
        .map(|((service, table), slots)| NewTable {
            service: *service,
            kind: kind(table.dispatch),
            seed: HASH_SEED,
            slots,
        })
        .collect();
    maps.set_tables(&new)
}
