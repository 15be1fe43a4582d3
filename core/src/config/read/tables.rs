//! The tables of a configuration file, one function each.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::section::{Reader, Section, Value};
use super::shapes::{BACKEND, MANAGE_VIP, ROOT, SCHEDULER, SERVICE};
use crate::config::fault::Fault;
use crate::config::place::{BackendKey, Place, ServiceKey};
use crate::config::{
    Backend, Config, Endpoint, Forward, HIGHEST_WEIGHT, Listen, ManageVip, SchedulerSpec, Service,
    SourcePool, default_slots, default_weight,
};

const EXAMPLE_LISTEN: &str = "\"tcp://10.0.0.100:80\"";
pub(super) const EXAMPLE_ADDRESS: &str = "\"10.1.0.11:8080\"";

/// A service that is being read: its index and where its parts go.
#[derive(Clone, Copy)]
pub(super) struct At(usize);

impl At {
    pub(super) fn place(self, key: ServiceKey) -> Place {
        Place::Service(self.0, key)
    }

    pub(super) fn backend(self, number: usize, key: BackendKey) -> Place {
        Place::Service(self.0, ServiceKey::Backend(number, key))
    }
}

impl<'i> Reader<'i> {
    /// Reads the whole file. What cannot be read is left out or gets its default, with a fault.
    pub(super) fn config(&mut self) -> Config {
        let root = std::mem::take(&mut self.root);
        let section = Section {
            table: &root,
            shape: &ROOT,
            header: 0..0,
        };
        self.unknown_keys(&section);
        let director = self
            .get(&section, "director")
            .map(|value| self.director(value))
            .unwrap_or_default();
        let mut services = Vec::new();
        if let Some(value) = self.get(&section, "service") {
            for section in self.tables(value, "service", &SERVICE).into_iter().flatten() {
                let service = self.service(At(services.len()), &section);
                services.push(service);
            }
        }
        Config { director, services }
    }

    fn service(&mut self, at: At, section: &Section<'_, 'i>) -> Service {
        self.locate(at.place(ServiceKey::Whole), section.header.clone());
        let before = self.losses();
        let service = Service {
            name: self.name(at, section),
            listen: self.listens(at, section),
            forward: self
                .forward(at.place(ServiceKey::Forward), section)
                .unwrap_or_default(),
            source: self.sources(at, section),
            scheduler: self.scheduler(at, section),
            slots: self.slots(at, section),
            manage_vip: self.manage_vip(at, section),
            persistence: self.persistence(at, section),
            timeouts: self.timeouts(at, section),
            one_packet: self.one_packet(at, section),
            pins: self.pins(at, section),
            tunnel: self.tunnel(at.place(ServiceKey::Tunnel), section),
            tunnel_source: self.tunnel_sources(at, section),
            backends: self.backends(at, section),
        };
        if self.losses() > before {
            self.leave_incomplete(at.0);
        }
        service
    }

    fn name(&mut self, at: At, section: &Section<'_, 'i>) -> String {
        let value = self.require(section, "name", "\"web\"");
        if let Some(value) = value {
            self.locate(at.place(ServiceKey::Name), value.span());
        }
        match value.and_then(|value| self.string(value, "name", "\"web\"")) {
            Some(name) => name.to_owned(),
            None => {
                self.spoil(at.place(ServiceKey::Name));
                String::new()
            }
        }
    }

    fn listens(&mut self, at: At, section: &Section<'_, 'i>) -> Vec<Listen> {
        let example = format!("[{EXAMPLE_LISTEN}]");
        let Some(value) = self.require(section, "listen", &example) else {
            self.spoil(at.place(ServiceKey::Listens));
            return Vec::new();
        };
        self.locate(at.place(ServiceKey::Listens), value.span());
        let Some(items) = self.list(value, "listen", EXAMPLE_LISTEN) else {
            return Vec::new();
        };
        let mut listens = Vec::new();
        for item in items {
            if let Some(listen) = self.parsed(item, "listen", &example) {
                self.locate(at.place(ServiceKey::Listen(listens.len())), item.span());
                listens.push(listen);
            }
        }
        listens
    }

    fn forward(&mut self, place: Place, section: &Section<'_, 'i>) -> Option<Forward> {
        let value = self.get(section, "forward")?;
        self.locate(place, value.span());
        self.parsed(value, "forward", "\"nat\"")
    }

    fn sources(&mut self, at: At, section: &Section<'_, 'i>) -> Vec<SourcePool> {
        let Some(value) = self.get(section, "source") else {
            return Vec::new();
        };
        self.locate(at.place(ServiceKey::Sources), value.span());
        let Some(items) = self.list(value, "source", "\"10.0.0.1\"") else {
            return Vec::new();
        };
        let mut sources = Vec::new();
        for item in items {
            if let Some(pool) = self.parsed(item, "source", "[\"10.0.0.1\"]") {
                self.locate(at.place(ServiceKey::Source(sources.len())), item.span());
                sources.push(pool);
            }
        }
        sources
    }

    fn scheduler(&mut self, at: At, section: &Section<'_, 'i>) -> SchedulerSpec {
        let Some(value) = self.get(section, "scheduler") else {
            return SchedulerSpec::default();
        };
        self.locate(at.place(ServiceKey::Scheduler), value.span());
        let spec = match value.get_ref() {
            DeValue::String(plugin) => Some(SchedulerSpec {
                plugin: plugin.clone().into_owned(),
                params: BTreeMap::new(),
            }),
            _ => self.scheduler_table(at, value),
        };
        spec.unwrap_or_else(|| {
            self.spoil(at.place(ServiceKey::Scheduler));
            SchedulerSpec::default()
        })
    }

    fn scheduler_table(&mut self, at: At, value: &Value<'i>) -> Option<SchedulerSpec> {
        let section = self.table(value, "scheduler", &SCHEDULER)?;
        let plugin = self.require(&section, "plugin", "\"rr\"");
        let plugin = plugin
            .and_then(|value| self.string(value, "plugin", "\"rr\""))
            .map(str::to_owned);
        let mut params = BTreeMap::new();
        if let Some(value) = self.get(&section, "params") {
            let Some(table) = value.get_ref().as_table() else {
                let fault = Fault::new(value.span(), "`params` must be a table of strings")
                    .label("expected a table")
                    .help("write params = { key = \"value\" }");
                self.report(fault);
                return None;
            };
            for (key, value) in table {
                let name: &str = key.get_ref();
                self.locate(at.place(ServiceKey::Param(name.to_owned())), value.span());
                let example =
                    format!("\"{}\": parameters are strings", self.written(value).unwrap_or("value"));
                if let Some(text) = self.string(value, name, &example) {
                    params.insert(name.to_owned(), text.to_owned());
                }
            }
        }
        Some(SchedulerSpec {
            plugin: plugin?,
            params,
        })
    }

    fn slots(&mut self, at: At, section: &Section<'_, 'i>) -> u32 {
        let slots = self.get(section, "slots").and_then(|value| {
            self.locate(at.place(ServiceKey::Slots), value.span());
            self.number(value, "slots", u32::MAX, ("a power of two from 16 to 4096", "256"))
        });
        slots.unwrap_or_else(default_slots)
    }

    fn manage_vip(&mut self, at: At, section: &Section<'_, 'i>) -> Option<ManageVip> {
        let value = self.get(section, "manage_vip")?;
        self.locate(at.place(ServiceKey::ManageVip), value.span());
        let section = self.table(value, "manage_vip", &MANAGE_VIP)?;
        let reject_other_ports = self
            .get(&section, "reject_other_ports")
            .and_then(|value| self.boolean(value, "reject_other_ports"));
        let value = self.require(&section, "interface", "\"eth0\"")?;
        self.locate(at.place(ServiceKey::Interface), value.span());
        let interface = self.string(value, "interface", "\"eth0\"")?.to_owned();
        Some(ManageVip {
            interface,
            reject_other_ports: reject_other_ports.unwrap_or_default(),
        })
    }

    fn backends(&mut self, at: At, section: &Section<'_, 'i>) -> Vec<Backend> {
        let Some(value) = self.get(section, "backend") else {
            return Vec::new();
        };
        let mut backends = Vec::new();
        for section in self.tables(value, "backend", &BACKEND).into_iter().flatten() {
            let number = backends.len();
            backends.extend(self.backend(at, number, &section));
        }
        backends
    }

    fn backend(&mut self, at: At, number: usize, section: &Section<'_, 'i>) -> Option<Backend> {
        self.locate(at.backend(number, BackendKey::Whole), section.header.clone());
        let weight = self.get(section, "weight").and_then(|value| {
            self.locate(at.backend(number, BackendKey::Weight), value.span());
            self.number(value, "weight", HIGHEST_WEIGHT, ("a whole number from 0 to 2147483647", "3"))
        });
        let drain = self
            .get(section, "drain")
            .and_then(|value| self.boolean(value, "drain"));
        let forward = self.forward(at.backend(number, BackendKey::Forward), section);
        let max_connections =
            self.threshold(at.backend(number, BackendKey::MaxConnections), "max_connections", section);
        let min_connections =
            self.threshold(at.backend(number, BackendKey::MinConnections), "min_connections", section);
        let tunnel = self.tunnel(at.backend(number, BackendKey::Tunnel), section);
        let value = self.require(section, "address", EXAMPLE_ADDRESS)?;
        self.locate(at.backend(number, BackendKey::Address), value.span());
        let address: Endpoint = self.parsed(value, "address", EXAMPLE_ADDRESS)?;
        Some(Backend {
            address,
            weight: weight.unwrap_or_else(default_weight),
            drain: drain.unwrap_or_default(),
            forward,
            max_connections,
            min_connections,
            tunnel,
        })
    }

    fn threshold(&mut self, place: Place, key: &str, section: &Section<'_, 'i>) -> Option<u32> {
        let value = self.get(section, key)?;
        self.locate(place, value.span());
        self.number(value, key, u32::MAX, ("a number of connections", "1000"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::shapes::SHAPES;

    fn keys(value: &serde_json::Value) -> BTreeSet<&str> {
        value
            .as_object()
            .expect("a table")
            .keys()
            .map(String::as_str)
            .collect()
    }

    /// The reader and serde read the same files only if they know the same keys.
    #[test]
    fn shapes_have_the_keys_of_the_types() {
        let text = r#"
            [[service]]
            name = "web"
            listen = ["udp://10.0.0.100:80"]
            forward = "full-nat"
            source = ["10.0.0.1"]
            scheduler = { plugin = "rr", params = { key = "value" } }
            manage_vip = { interface = "eth0" }
            persistence = { timeout = "6m", group = "shop" }
            timeouts = { fin = "1m" }
            one_packet = true
            pins = [{ client = "10.9.0.0/16", backend = "10.1.0.12" }]
            tunnel = { type = "gue", checksum = true }
            tunnel_source = ["10.99.0.0/16"]
            [[service.backend]]
            address = "10.1.0.11"
            forward = "dr"
            [[service.backend]]
            address = "10.1.0.12"
            drain = true
            forward = "tun"
            max_connections = 10
            min_connections = 5
            tunnel = "gre"
        "#;
        let config = super::super::read(text).expect("a right file");
        let root = serde_json::to_value(config).expect("a configuration");
        let service = &root["service"][0];
        let tables = [
            &root,
            &root["director"],
            service,
            &service["backend"][1],
            &service["manage_vip"],
            &service["scheduler"],
            &service["persistence"],
            &service["timeouts"],
            &service["pins"][0],
            &service["tunnel"],
        ];
        assert_eq!(tables.len(), SHAPES.len());
        for (shape, table) in SHAPES.iter().zip(tables) {
            let known: BTreeSet<&str> = shape.keys.iter().copied().collect();
            assert_eq!(known, keys(table), "{}", shape.name);
        }
    }
}
