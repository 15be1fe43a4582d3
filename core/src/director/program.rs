//! The tc program as the kernel holds it, for auditors: nothing of it is from memory.

use std::collections::BTreeMap;

use wvs_tc_bpf::{Listen, Target};

use super::engine::Engine;
use super::views::ViewError;
use crate::api::{ListenerView, PoolView, Program, Share, TargetView};
use crate::kernel::tc::Inventory;
use crate::scheduler::BackendId;
use crate::tc::{TcService, Words};

impl Engine {
    /// All of the tc program that is in the kernel.
    pub fn program(&mut self) -> Result<Program, ViewError> {
        let Some(found) = self.doors.tc.inventory()? else {
            return Err(ViewError::NoProgram);
        };
        let numbers: Vec<_> = found.holds.services.keys().copied().collect();
        let refused = self.doors.tc.refused(&numbers)?;
        let ids: Vec<_> = found.holds.backends.keys().copied().collect();
        let traffic = self.doors.tc.traffic(&ids)?;
        let services = found.holds.services.iter().map(|(number, service)| {
            let refused = refused.get(number).copied().unwrap_or_default();
            self.pool_view(*number, service, &found, refused)
        });
        let backends = found.holds.backends.iter().map(|(id, target)| {
            let stats = traffic.get(id).copied().unwrap_or_default();
            TargetView {
                connections: stats.connections,
                packets: stats.packets,
                bytes: stats.bytes,
                ..self.target_view(*id, target)
            }
        });
        let settings = self.tc_settings(&self.config);
        Ok(Program {
            pin_dir: settings.pin_dir.display().to_string(),
            services: services.collect(),
            backends: backends.collect(),
            listeners: found.holds.listeners.iter().map(listener_view).collect(),
            programs: found.programs,
            attachments: found.attachments,
            maps: found.maps,
        })
    }

    fn pool_view(&self, number: u32, service: &TcService, found: &Inventory, refused: u64) -> PoolView {
        let pool = self.tc.numbers.pool(number);
        let table = &service.table;
        let mut shares: BTreeMap<BackendId, usize> = BTreeMap::new();
        for id in table.slots.iter().flatten() {
            *shares.entry(*id).or_default() += 1;
        }
        PoolView {
            number,
            service: pool.map(|it| it.service.clone()),
            family: pool.map(|it| it.family),
            settings: in_words(service),
            dispatch: table.dispatch,
            slots: table.slots.len(),
            empty: table.slots.iter().filter(|slot| slot.is_none()).count(),
            position: found.positions.get(&number).copied().unwrap_or_default(),
            refused,
            shares: shares
                .into_iter()
                .map(|(id, slots)| Share { id: id.0, slots })
                .collect(),
        }
    }

    fn target_view(&self, id: BackendId, target: &Target) -> TargetView {
        let whose = self.ids.whose(id);
        TargetView {
            id: id.0,
            service: whose.map(|(service, _)| service.to_owned()),
            backend: whose.map(|(_, backend)| backend),
            generation: target.generation,
            way: self.way(id, target),
            connections: 0,
            packets: 0,
            bytes: 0,
        }
    }
}

/// What is special about a service.
fn in_words(service: &TcService) -> Vec<String> {
    let pins = match service.pins.len() {
        0 => None,
        pins => Some(format!("{pins} pinned prefixes")),
    };
    let settings = Words(&service.settings).to_string();
    let settings = settings
        .split(", ")
        .filter(|it| !it.is_empty())
        .map(str::to_owned);
    settings.chain(pins).collect()
}

fn listener_view((listen, number): (&Listen, &u32)) -> ListenerView {
    ListenerView {
        listener: Words(listen).to_string(),
        number: *number,
    }
}
