//! What a service remembers of clients and connections, and clients whose backend is given.

use std::time::Duration;

use super::section::{Reader, Section};
use super::shapes::{PERSISTENCE, PIN, TIMEOUTS};
use super::tables::{At, EXAMPLE_ADDRESS};
use crate::config::persistence::{whole_v4, whole_v6};
use crate::config::place::{PersistenceKey, PinKey, Place, ServiceKey, TimeoutKey};
use crate::config::text::parse_duration;
use crate::config::{ClientPin, Persistence, Timeouts};

impl<'i> Reader<'i> {
    pub(super) fn persistence(&mut self, at: At, section: &Section<'_, 'i>) -> Option<Persistence> {
        let place = |key| at.place(ServiceKey::Persistence(key));
        let value = self.get(section, "persistence")?;
        self.locate(place(PersistenceKey::Whole), value.span());
        let section = self.table(value, "persistence", &PERSISTENCE)?;
        let mask = self.bits(place(PersistenceKey::Mask), "mask", whole_v4(), &section);
        let mask6 = self.bits(place(PersistenceKey::Mask6), "mask6", whole_v6(), &section);
        let group = self.get(&section, "group").and_then(|value| {
            self.locate(place(PersistenceKey::Group), value.span());
            self.string(value, "group", "\"shop\"").map(str::to_owned)
        });
        let when_quiesced = self
            .get(&section, "when_quiesced")
            .and_then(|value| self.parsed(value, "when_quiesced", "\"keep\""));
        self.require(&section, "timeout", "\"6m\"")?;
        Some(Persistence {
            timeout: self.duration(place(PersistenceKey::Timeout), "timeout", "\"6m\"", &section)?,
            mask,
            mask6,
            group,
            when_quiesced: when_quiesced.unwrap_or_default(),
        })
    }

    /// How many bits of an address count; all of them if the key is not there.
    fn bits(&mut self, place: Place, key: &str, all: u8, section: &Section<'_, 'i>) -> u8 {
        let bits = self.get(section, key).and_then(|value| {
            self.locate(place, value.span());
            let (expected, example) = match all {
                32 => ("a number of bits from 1 to 32", "24"),
                _ => ("a number of bits from 1 to 128", "64"),
            };
            self.number(value, key, all.into(), (expected, example))
        });
        bits.and_then(|bits| u8::try_from(bits).ok()).unwrap_or(all)
    }

    fn duration(
        &mut self,
        place: Place,
        key: &str,
        example: &str,
        section: &Section<'_, 'i>,
    ) -> Option<Duration> {
        let value = self.get(section, key)?;
        self.locate(place, value.span());
        self.parsed_by(value, key, example, parse_duration)
    }

    pub(super) fn timeouts(&mut self, at: At, section: &Section<'_, 'i>) -> Timeouts {
        let mut timeouts = Timeouts::default();
        let Some(value) = self.get(section, "timeouts") else {
            return timeouts;
        };
        self.locate(at.place(ServiceKey::Timeouts(TimeoutKey::Whole)), value.span());
        let Some(section) = self.table(value, "timeouts", &TIMEOUTS) else {
            return timeouts;
        };
        for (key, example, timeout) in [
            (TimeoutKey::Established, "\"15m\"", &mut timeouts.established),
            (TimeoutKey::Fin, "\"2m\"", &mut timeouts.fin),
            (TimeoutKey::Udp, "\"5m\"", &mut timeouts.udp),
        ] {
            let place = at.place(ServiceKey::Timeouts(key));
            if let Some(given) = self.duration(place, key.name(), example, &section) {
                *timeout = given;
            }
        }
        timeouts
    }

    pub(super) fn one_packet(&mut self, at: At, section: &Section<'_, 'i>) -> bool {
        let one_packet = self.get(section, "one_packet").and_then(|value| {
            self.locate(at.place(ServiceKey::OnePacket), value.span());
            self.boolean(value, "one_packet")
        });
        one_packet.unwrap_or_default()
    }

    pub(super) fn pins(&mut self, at: At, section: &Section<'_, 'i>) -> Vec<ClientPin> {
        let Some(value) = self.get(section, "pins") else {
            return Vec::new();
        };
        let mut pins = Vec::new();
        for section in self.tables(value, "pins", &PIN).into_iter().flatten() {
            let number = pins.len();
            pins.extend(self.pin(at, number, &section));
        }
        pins
    }

    fn pin(&mut self, at: At, number: usize, section: &Section<'_, 'i>) -> Option<ClientPin> {
        let place = |key| at.place(ServiceKey::Pin(number, key));
        self.locate(place(PinKey::Whole), section.header.clone());
        let client = self
            .require(section, "client", "\"10.9.0.0/16\"")
            .and_then(|value| {
                self.locate(place(PinKey::Client), value.span());
                self.parsed(value, "client", "\"10.9.0.0/16\"")
            });
        let backend = self
            .require(section, "backend", EXAMPLE_ADDRESS)
            .and_then(|value| {
                self.locate(place(PinKey::Backend), value.span());
                self.parsed(value, "backend", EXAMPLE_ADDRESS)
            });
        Some(ClientPin {
            client: client?,
            backend: backend?,
        })
    }
}
