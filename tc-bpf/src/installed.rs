//! Reading back what is installed, so that a director that comes new to it can plan against it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;

use crate::layout::{SERVICE_PERSISTENT, Service, Settings, TABLE_KIND_SHIFT, TABLE_SLOTS};
use crate::maps::{MapError, Maps, refused};
use crate::service::ServiceSettings;
use crate::sys::{self, Map};
use crate::target::{Kind, Target};

/// A dispatch table as the kernel has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// How it is used.
    pub kind: Kind,
    /// jhash's initval.
    pub seed: u32,
    /// Backend ids.
    pub slots: Vec<Option<u16>>,
}

impl Table {
    /// From the table's elements; `None` where they are not of our making.
    fn of(values: &[u32]) -> Option<Self> {
        let (head, slots) = values.split_at_checked(TABLE_SLOTS as usize)?;
        let kind = Kind::of(head[0] >> TABLE_KIND_SHIFT)?;
        let length = (head[0] & ((1 << TABLE_KIND_SHIFT) - 1)) as usize;
        let slots = slots.get(..length)?;
        Some(Self {
            kind,
            seed: head[1],
            slots: slots
                .iter()
                .map(|id| u16::try_from(*id).ok().filter(|id| *id > 0))
                .collect(),
        })
    }
}

/// How often a table is looked for again that was exchanged while it was being read.
const TRIES: usize = 16;

impl Maps {
    /// All services that were set and not removed.
    pub fn services(&self) -> Result<BTreeMap<u32, ServiceSettings>, MapError> {
        let mut all = BTreeMap::new();
        self.services
            .walk(|numbers, services| {
                let pairs = numbers.iter().zip(services);
                all.extend(
                    pairs.filter_map(|(number, service)| Some((*number, ServiceSettings::of(service)?))),
                );
            })
            .map_err(refused("reading the services"))?;
        Ok(all)
    }

    /// Gives each service whose clients keep their backends to `see`.
    pub(crate) fn persistent_services(&self, mut see: impl FnMut(&Service)) -> Result<(), MapError> {
        let persistent = |service: &&Service| service.flags & SERVICE_PERSISTENT != 0;
        self.services
            .walk(|_, services| services.iter().filter(persistent).for_each(&mut see))
            .map_err(refused("reading the services"))
    }

    /// All backends.
    pub fn backends(&self) -> Result<BTreeMap<u16, Target>, MapError> {
        let mut all = BTreeMap::new();
        self.backends
            .walk(|ids, backends| {
                let pairs = ids.iter().zip(backends);
                all.extend(
                    pairs.filter_map(|(id, backend)| Some((u16::try_from(*id).ok()?, Target::of(backend)?))),
                );
            })
            .map_err(refused("reading the backends"))?;
        Ok(all)
    }

    /// A service's dispatch table: four calls, whatever its size up to 4,096 slots. Needs CAP_SYS_ADMIN, because the
    /// kernel gives a map within a map by number only.
    pub fn table(&self, service: u32) -> Result<Option<Table>, MapError> {
        let reading = || refused(format!("reading the table of service {service}"));
        for _ in 0..TRIES {
            let Some(id) = self.tables.get(&service).map_err(reading())? else {
                return Ok(None);
            };
            let table = match sys::map_by_id(id) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                table => table.map_err(reading())?,
            };
            let info = sys::map_info(table.as_fd()).map_err(reading())?;
            let elements: Map<u32, u32> = Map::of(table, &info).map_err(reading())?;
            let mut values = Vec::with_capacity(info.max_entries as usize);
            elements
                .walk(|_, part| values.extend_from_slice(part))
                .map_err(reading())?;
            return Ok(Table::of(&values));
        }
        Err(reading()(io::Error::other("it is exchanged all the time")))
    }

    /// The filter and the limits.
    pub fn settings(&self) -> Result<Settings, MapError> {
        let settings = self.settings.get(&0).map_err(refused("reading the settings"))?;
        Ok(settings.unwrap_or_default())
    }
}
