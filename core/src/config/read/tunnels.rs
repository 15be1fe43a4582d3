//! What packets for backends are wrapped in.

use super::section::{Reader, Section, Value};
use super::shapes::TUNNEL;
use super::tables::At;
use crate::config::fault::Fault;
use crate::config::place::{Place, ServiceKey};
use crate::config::{Prefix, Tunnel, TunnelKind};

impl<'i> Reader<'i> {
    /// `tunnel` of a service or a backend.
    pub(super) fn tunnel(&mut self, place: Place, section: &Section<'_, 'i>) -> Option<Tunnel> {
        let value = self.get(section, "tunnel")?;
        self.locate(place, value.span());
        if value.get_ref().is_str() {
            self.parsed(value, "tunnel", "\"gre\"")
        } else {
            self.tunnel_table(value)
        }
    }

    fn tunnel_table(&mut self, value: &Value<'i>) -> Option<Tunnel> {
        let section = self.table(value, "tunnel", &TUNNEL)?;
        let checksum = self
            .get(&section, "checksum")
            .and_then(|value| self.boolean(value, "checksum"));
        let port = self.get(&section, "port");
        let number =
            port.and_then(|value| self.number(value, "port", u16::MAX.into(), ("1 to 65535", "6080")));
        let kind = self.require(&section, "type", "\"gue\"")?;
        let mut kind: TunnelKind = self.parsed(kind, "type", "\"gue\"")?;
        match (&mut kind, port) {
            (TunnelKind::Gue { port }, Some(_)) => *port = number?.try_into().ok()?,
            (_, None) => {}
            (kind, Some(value)) => {
                let fault = Fault::new(value.span(), format!("`{}` has no port", kind.name()))
                    .label("not for this type")
                    .help("leave `port` out, or set type = \"gue\"");
                self.report(fault);
            }
        }
        Some(Tunnel {
            kind,
            checksum: checksum.unwrap_or_default(),
        })
    }

    pub(super) fn tunnel_sources(&mut self, at: At, section: &Section<'_, 'i>) -> Vec<Prefix> {
        let Some(value) = self.get(section, "tunnel_source") else {
            return Vec::new();
        };
        self.locate(at.place(ServiceKey::TunnelSources), value.span());
        let example = "\"10.99.0.0/16\"";
        // One is so common that it needs no brackets.
        let items: Vec<&Value<'i>> = if value.get_ref().is_str() {
            vec![value]
        } else {
            match self.list(value, "tunnel_source", example) {
                Some(items) => items.collect(),
                None => return Vec::new(),
            }
        };
        let mut sources = Vec::new();
        for item in items {
            if let Some(source) = self.parsed(item, "tunnel_source", example) {
                self.locate(at.place(ServiceKey::TunnelSource(sources.len())), item.span());
                sources.push(source);
            }
        }
        sources
    }
}
