//! `[director]`.

use std::path::PathBuf;

use super::section::{Reader, Section, Value};
use super::shapes::DIRECTOR;
use crate::config::DirectorSettings;
use crate::config::endpoint::parse_socket;
use crate::config::fault::Fault;
use crate::config::place::{DirectorKey, Place};
use crate::config::text::{self, quoted};

impl<'i> Reader<'i> {
    pub(super) fn director(&mut self, value: &Value<'i>) -> DirectorSettings {
        let mut director = DirectorSettings::default();
        let Some(section) = self.table(value, "director", &DIRECTOR) else {
            return director;
        };
        if let Some(path) = self.path(&section, "plugin_dir", DirectorKey::PluginDir) {
            director.plugin_dir = path;
        }
        if let Some(path) = self.path(&section, "state_dir", DirectorKey::StateDir) {
            director.state_dir = path;
        }
        if let Some(value) = self.get(&section, "ct_mark_mask") {
            self.locate(Place::Director(DirectorKey::CtMarkMask), value.span());
            if let Some(mask) = self.mask(value) {
                director.ct_mark_mask = mask;
            }
        }
        director.interfaces = self.interfaces(&section);
        if let Some(path) = self.path(&section, "pin_dir", DirectorKey::PinDir) {
            director.pin_dir = path;
        }
        if let Some(value) = self.get(&section, "max_flows") {
            self.locate(Place::Director(DirectorKey::MaxFlows), value.span());
            let expected = ("a number from 1024 to 16777216", "262144");
            if let Some(flows) = self.number(value, "max_flows", u32::MAX, expected) {
                director.max_flows = flows;
            }
        }
        if let Some(value) = self.get(&section, "queue") {
            self.locate(Place::Director(DirectorKey::Queue), value.span());
            let expected = ("a number from 0 to 65535", "7776");
            let number = self.number(value, "queue", u16::MAX.into(), expected);
            if let Some(number) = number.and_then(|it| u16::try_from(it).ok()) {
                director.queue = number;
            }
        }
        if let Some(value) = self.get(&section, "metrics") {
            self.locate(Place::Director(DirectorKey::Metrics), value.span());
            director.metrics = self.parsed_by(value, "metrics", "\"127.0.0.1:9107\"", parse_socket);
        }
        director
    }

    fn interfaces(&mut self, section: &Section<'_, 'i>) -> Vec<String> {
        let Some(value) = self.get(section, "interfaces") else {
            return Vec::new();
        };
        let Some(items) = self.list(value, "interfaces", "\"eth0\"") else {
            return Vec::new();
        };
        let mut interfaces = Vec::new();
        for item in items {
            if let Some(interface) = self.string(item, "interfaces", "[\"eth0\"]") {
                self.locate(Place::Director(DirectorKey::Interface(interfaces.len())), item.span());
                interfaces.push(interface.to_owned());
            }
        }
        interfaces
    }

    fn path(&mut self, section: &Section<'_, 'i>, key: &str, place: DirectorKey) -> Option<PathBuf> {
        let value = self.get(section, key)?;
        self.locate(Place::Director(place), value.span());
        let default = DirectorSettings::default();
        let example = match place {
            DirectorKey::PluginDir => default.plugin_dir,
            DirectorKey::PinDir => default.pin_dir,
            _ => default.state_dir,
        };
        self.string(value, key, &format!("\"{}\"", example.display()))
            .map(PathBuf::from)
    }

    fn mask(&mut self, value: &Value<'i>) -> Option<u32> {
        if value.get_ref().is_integer() {
            return self.number(value, "ct_mark_mask", u32::MAX, ("32 bits", "0xffff0000"));
        }
        let text = self.string(value, "ct_mark_mask", "\"0xffff0000\"")?;
        let mask = text::number(text);
        if mask.is_none() {
            let fault = Fault::new(value.span(), format!("{} is not a mask of 32 bits", quoted(text)))
                .label("not a mask")
                .help("expected a number such as \"0xffff0000\"");
            self.report(fault);
        }
        mask
    }
}
