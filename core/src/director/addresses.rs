//! The virtual addresses that the director brings up, and whether its backends can be reached.

use std::collections::BTreeSet;

use super::engine::Engine;
use super::error::ApplyError;
use super::store::ManagedAddresses;
use crate::config::{Config, Listen};

impl Engine {
    /// The virtual addresses that a configuration has the director manage.
    fn wanted_addresses(config: &Config) -> ManagedAddresses {
        let mut wanted = ManagedAddresses::new();
        for service in &config.services {
            let Some(vip) = &service.manage_vip else { continue };
            for listen in &service.listen {
                if let Listen::Socket { address, .. } = listen {
                    wanted.insert(*address, vip.interface.clone());
                }
            }
        }
        wanted
    }

    /// Fails before anything is changed where a managed address could not be brought up after it. One that has been
    /// brought up before is no reason to: see [`Engine::due_addresses`].
    pub(super) fn preflight(&mut self, config: &Config) -> Result<(), ApplyError> {
        for (address, interface) in Self::wanted_addresses(config) {
            if self.managed.get(&address) != Some(&interface) {
                self.doors.addresses.interface(address, &interface)?;
            }
        }
        Ok(())
    }

    /// The virtual addresses that should be up now. Those that went with their interface hinder nothing until it
    /// returns: other changes are made, and the director starts.
    fn due_addresses(&mut self, config: &Config) -> Result<ManagedAddresses, ApplyError> {
        let mut due = Self::wanted_addresses(config);
        if !due.is_empty() {
            let present = self
                .doors
                .addresses
                .interface_names()
                .map_err(ApplyError::Facts)?;
            due.retain(|address, interface| {
                present.contains(interface) || self.managed.get(address) != Some(interface)
            });
        }
        Ok(due)
    }

    pub(super) fn address_changes(&self, config: &Config) -> Vec<String> {
        let wanted = Self::wanted_addresses(config);
        let lost = self
            .managed
            .iter()
            .filter(|(address, interface)| wanted.get(address) != Some(interface));
        let new = wanted
            .iter()
            .filter(|(address, interface)| self.managed.get(address) != Some(interface));
        lost.map(|(address, interface)| format!("- {address} on {interface}"))
            .chain(new.map(|(address, interface)| format!("+ {address} on {interface}")))
            .collect()
    }

    /// Brings up and takes down virtual addresses. An address is written down as soon as it is up: only
    /// those that the director made itself are ever removed.
    pub(super) fn manage_addresses(&mut self, config: &Config) -> Result<Vec<String>, ApplyError> {
        let wanted = Self::wanted_addresses(config);
        let mut changes = Vec::new();
        let lost: Vec<_> = self
            .managed
            .iter()
            .filter(|(address, interface)| wanted.get(*address) != Some(interface))
            .map(|(address, interface)| (*address, interface.clone()))
            .collect();
        for (address, interface) in &self.due_addresses(config)? {
            if self.doors.addresses.ensure(*address, interface)? {
                self.managed.insert(*address, interface.clone());
                self.store.keep_addresses(&self.managed)?;
                changes.push(format!("+ {address} on {interface}"));
            }
        }
        for (address, interface) in lost {
            if self.doors.addresses.remove(address, &interface)? {
                changes.push(format!("- {address} on {interface}"));
            }
            // An address that has moved is managed where it is now.
            if self.managed.get(&address) == Some(&interface) {
                self.managed.remove(&address);
            }
            self.store.keep_addresses(&self.managed)?;
        }
        Ok(changes)
    }

    /// Which backends no packet can be sent to.
    pub(super) fn look_for_backends(&mut self) -> Vec<String> {
        let backends = self.config.services.iter().flat_map(|service| &service.backends);
        let addresses: BTreeSet<_> = backends.map(|backend| backend.address.address).collect();
        self.unreachable = addresses
            .into_iter()
            .filter_map(|address| Some((address, self.doors.addresses.unreachable(address)?)))
            .collect();
        self.unreachable
            .iter()
            .map(|(address, why)| format!("backend {address} cannot be reached: {why}"))
            .collect()
    }
}
