//! What operators are shown.

use std::collections::BTreeMap;

use super::engine::Engine;
use crate::api::{
    BackendState, BackendView, Connection, Connections, SchedulerHealth, SchedulerView, ServiceView, Status,
};
use crate::config::{Backend, Service};
use crate::kernel::tc::TcError;
use crate::kernel::{BackendTraffic, ConntrackError, NftError};
use crate::pool::{PoolKey, family_of};
use crate::ruleset::{Family, text};
use crate::scheduler::{BackendId, Load};
use crate::tc::NoWay;

/// Why something cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// There is no such service.
    #[error("there is no service `{0}`")]
    NoService(String),
    /// The counters cannot be read.
    #[error("cannot read the counters")]
    Counters(#[from] NftError),
    /// The connections cannot be read.
    #[error("cannot read the connections")]
    Connections(#[from] ConntrackError),
    /// The tc program's tables cannot be read.
    #[error("cannot read the program's tables")]
    Tc(#[from] TcError),
    /// The tc program is not there.
    #[error("the tc program is not loaded: no service has `forward = \"dr\"` or `\"tun\"`")]
    NoProgram,
}

impl Engine {
    /// How the director is.
    pub fn status(&mut self) -> Status {
        let mut warnings: Vec<_> = self
            .unreachable
            .iter()
            .map(|(address, why)| format!("backend {address} cannot be reached: {why}"))
            .collect();
        warnings.extend(self.tc_warnings());
        let schedulers: Vec<_> = self.pools.iter().map(|(key, pool)| pool.view(key)).collect();
        warnings.extend(schedulers.iter().filter_map(troubled));
        let by_nft = |scheduler: &&SchedulerView| {
            let key = PoolKey {
                service: scheduler.service.clone(),
                family: scheduler.family,
            };
            self.tc.number(&key).is_none()
        };
        if let Some(why) = self.queued.trouble() {
            let by_nft = schedulers.iter().filter(by_nft);
            warnings.extend(by_nft.filter_map(|it| super::flows::unasked(it, why)));
        }
        warnings.extend(schedulers.iter().filter_map(super::swap::refused));
        warnings.extend(self.host_warnings());
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime: self.started.elapsed().as_secs(),
            config_file: self.config_file.display().to_string(),
            edited: self.edited,
            services: self.config.services.len(),
            backends: self
                .config
                .services
                .iter()
                .map(|service| service.backends.len())
                .sum(),
            generation: self.observed.generation,
            commits: self.commits,
            repairs: self.repairs,
            schedulers,
            refused: self.refused_by_nft(),
            tc: self.tc_view(),
            warnings,
        }
    }

    /// The services with their counters.
    pub fn services(&mut self) -> Result<Vec<ServiceView>, ViewError> {
        self.read_counters()?;
        self.read_tc_counters()?;
        self.read_refused()?;
        Ok(self.service_views())
    }

    /// The services, by the last look at the counters.
    pub(super) fn service_views(&self) -> Vec<ServiceView> {
        let (totals, refused) = (self.service_totals(), self.refused.by_service());
        let unreachable = self.tc_unreachable();
        let services = self.config.services.iter();
        services
            .map(|service| {
                let total = totals.get(&service.name).copied().unwrap_or_default();
                let refused = refused.get(service.name.as_str()).copied().unwrap_or_default();
                self.service_view(service, total, refused, &unreachable)
            })
            .collect()
    }

    /// The backends of one service or of all, with their counters and connections.
    pub fn backends(&mut self, only: Option<&str>) -> Result<Vec<BackendView>, ViewError> {
        self.known(only)?;
        self.read_counters()?;
        self.read_tc_counters()?;
        self.sweep_tc();
        let loads = self.loads()?;
        Ok(self.backend_views(only, &loads))
    }

    /// The backends with so many connections, by the last look at the counters.
    pub(super) fn backend_views(
        &self,
        only: Option<&str>,
        loads: &BTreeMap<BackendId, Load>,
    ) -> Vec<BackendView> {
        let unreachable = self.tc_unreachable();
        let services = self.config.services.iter();
        services
            .filter(|service| only.is_none_or(|name| name == service.name))
            .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)))
            .filter_map(|(service, backend)| self.backend_view(service, backend, loads, &unreachable))
            .collect()
    }

    /// Tracked connections of one service or of all.
    pub fn connections(&mut self, only: Option<&str>, limit: usize) -> Result<Connections, ViewError> {
        self.known(only)?;
        let mark = self.config.director.mark();
        let all = if only.is_some() { usize::MAX } else { limit };
        let (flows, mut total) = self.doors.conntrack.flows(mark, all)?;
        let flows = match self.tc_flows() {
            Ok(more) => {
                total += more.len();
                flows.into_iter().chain(more)
            }
            Err(error) => return Err(error.into()),
        };
        let named = flows.map(|flow| {
            let service = self
                .ids
                .whose(flow.backend)
                .map_or("?", |(service, _)| service)
                .to_owned();
            Connection { service, flow }
        });
        let mut connections: Vec<_> = named
            .filter(|it| only.is_none_or(|name| name == it.service))
            .collect();
        if only.is_some() {
            total = connections.len();
        }
        connections.truncate(limit);
        Ok(Connections { total, connections })
    }

    /// What the host lacks for forwarding.
    fn host_warnings(&mut self) -> Vec<String> {
        let nat = |family: &Family| {
            let mut backends = self
                .config
                .services
                .iter()
                .flat_map(|service| service.backends.iter().map(move |backend| (service, backend)));
            backends.any(|(service, backend)| {
                Family::of(backend.address.address) == *family && !service.forward_of(backend).uses_tc()
            })
        };
        let families: Vec<_> = Family::ALL.into_iter().filter(nat).collect();
        let silent = families
            .into_iter()
            .filter(|&family| !self.doors.addresses.forwards(family));
        let warning = |family| {
            let key = match family {
                Family::V4 => "net.ipv4.ip_forward",
                Family::V6 => "net.ipv6.conf.all.forwarding",
            };
            format!(
                "this host does not forward {family} packets, so NAT cannot work; set it: sysctl -w {key}=1"
            )
        };
        silent.map(warning).collect()
    }

    /// The ruleset as the kernel should hold it, for `nft -f`.
    pub fn ruleset_text(&self) -> String {
        text::ruleset(&self.desired)
    }

    pub(super) fn known(&self, service: Option<&str>) -> Result<(), ViewError> {
        match service {
            Some(name) if self.config.service(name).is_none() => Err(ViewError::NoService(name.to_owned())),
            _ => Ok(()),
        }
    }

    fn service_view(
        &self,
        service: &Service,
        total: BackendTraffic,
        refused: u64,
        unreachable: &BTreeMap<BackendId, NoWay>,
    ) -> ServiceView {
        ServiceView {
            name: service.name.clone(),
            listen: service.listen.iter().map(ToString::to_string).collect(),
            forward: service.forward,
            scheduler: service.scheduler.plugin.clone(),
            available: service
                .backends
                .iter()
                .filter(|it| {
                    let id = self.ids.get(&service.name, it.address);
                    id.is_some_and(|id| self.state(it, id, unreachable) == BackendState::Up)
                })
                .count(),
            backends: service.backends.len(),
            connections: total.connections + total.chosen,
            refused,
            sent: total.sent,
            received: total.received,
        }
    }

    fn backend_view(
        &self,
        service: &Service,
        backend: &Backend,
        loads: &BTreeMap<BackendId, Load>,
        unreachable: &BTreeMap<BackendId, NoWay>,
    ) -> Option<BackendView> {
        let id = self.ids.get(&service.name, backend.address)?;
        let load = loads.get(&id).copied().unwrap_or_default();
        let total = self.total(id);
        Some(BackendView {
            service: service.name.clone(),
            address: backend.address,
            id: id.0,
            forward: service.forward_of(backend),
            weight: backend.weight,
            state: self.state(backend, id, unreachable),
            slots: self.slots_of(service, backend, id),
            active: load.active,
            inactive: load.inactive,
            connections: total.connections + total.chosen,
            sent: total.sent,
            received: total.received,
            way: self.tc.installed.backends.get(&id).map(|it| self.way(id, it)),
        })
    }

    fn slots_of(&self, service: &Service, backend: &Backend, id: BackendId) -> usize {
        let Some(family) = family_of(service, backend) else {
            return 0;
        };
        let pool = self.pools.get(&PoolKey {
            service: service.name.clone(),
            family,
        });
        pool.map_or(0, |pool| {
            pool.table()
                .slots
                .iter()
                .filter(|slot| **slot == Some(id))
                .count()
        })
    }

    pub(super) fn state(
        &self,
        backend: &Backend,
        id: BackendId,
        unreachable: &BTreeMap<BackendId, NoWay>,
    ) -> BackendState {
        match backend {
            Backend { drain: true, .. } => BackendState::Draining,
            Backend { weight: 0, .. } => BackendState::Quiesced,
            _ if unreachable.contains_key(&id) => BackendState::Unreachable,
            _ if self.overloaded.contains(&id) => BackendState::Full,
            _ => BackendState::Up,
        }
    }
}

/// What to say of a scheduler that does not answer.
fn troubled(scheduler: &SchedulerView) -> Option<String> {
    let (how, fallback) = match scheduler.health {
        SchedulerHealth::Running => return None,
        SchedulerHealth::BackingOff { retry_in, fallback } => {
            (format!("is tried again in {retry_in} s"), fallback)
        }
        SchedulerHealth::Refusing { fallback } => {
            ("is asked again when something changes".to_owned(), fallback)
        }
        SchedulerHealth::Quarantined { fallback } => {
            ("is quarantined until its file or the service changes".to_owned(), fallback)
        }
    };
    let meanwhile = if fallback {
        "the built-in round robin stands in"
    } else {
        "its last good table serves"
    };
    let cause = scheduler.last_error.as_deref().unwrap_or("unknown");
    let SchedulerView {
        service,
        family,
        plugin,
        ..
    } = scheduler;
    Some(format!(
        "service {service} ({family}): scheduler `{plugin}` failed ({cause}) and {how}; {meanwhile}"
    ))
}
