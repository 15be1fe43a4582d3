//! Reading what rules and elements have counted and remembered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::ControlFlow;

use super::encode::protocol_family;
use super::uapi::{self, element};
use super::{ATTEMPTS, NftSocket, decode, dump, elements_of, is_missing, kind};
use crate::kernel::netlink::{NESTED, Request, Socket, attribute, nested};
use crate::kernel::{BackendTraffic, NftError, Remembered};
use crate::ruleset::{Family, IdMap, Key, MapName, TABLE};
use crate::scheduler::BackendId;

impl NftSocket {
    /// The element counters of a family.
    pub(super) fn read_traffic(
        &mut self,
        family: Family,
        shift: u32,
    ) -> Result<BTreeMap<BackendId, BackendTraffic>, NftError> {
        let mut traffic: BTreeMap<BackendId, BackendTraffic> = BTreeMap::new();
        for map in [
            MapName::Backends,
            MapName::Chosen,
            MapName::Sent,
            MapName::Received,
        ] {
            self.walk(elements_of(family, map.as_str()), |message| {
                decode::counters(family, map, message.attributes(), |key, counter| {
                    let id = match key {
                        Key::Backend(id) | Key::Chosen(id) => Some(id).filter(|id| id.0 != 0),
                        Key::Mark(mark) => mark
                            .checked_shr(shift)
                            .and_then(|id| u16::try_from(id).ok())
                            .map(BackendId),
                        _ => None,
                    };
                    let Some(of) = id.map(|id| traffic.entry(id).or_default()) else {
                        return;
                    };
                    match map {
                        MapName::Backends => of.connections = counter.packets,
                        MapName::Chosen => of.chosen = counter.packets,
                        MapName::Sent => of.sent = counter,
                        _ => of.received = counter,
                    }
                });
            })?;
        }
        Ok(traffic)
    }

    /// What the first rule of a chain that counts has seen.
    pub(super) fn read_position(&mut self, family: Family, chain: &str) -> Result<u64, NftError> {
        let mut first = None;
        let request = dump(libc::NFT_MSG_GETRULE, family)
            .text(uapi::rule::TABLE, TABLE)
            .text(uapi::rule::CHAIN, chain);
        self.walk(request, |message| {
            first = first.or_else(|| decode::rule_counter(message.attributes()));
        })?;
        Ok(first.map_or(0, |counter| counter.packets))
    }

    /// What each chain's rules have seen that count.
    pub(super) fn read_counted(&mut self, family: Family) -> Result<BTreeMap<String, Vec<u64>>, NftError> {
        for _ in 0..ATTEMPTS {
            let mut counting: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            let request = dump(libc::NFT_MSG_GETRULE, family).text(uapi::rule::TABLE, TABLE);
            let steady = self.walk(request, |message| {
                let chain = message.attributes().text(uapi::rule::CHAIN);
                let counter = decode::rule_counter(message.attributes());
                if let (Some(chain), Some(counter)) = (chain, counter) {
                    counting.entry(chain).or_default().push(counter.packets);
                }
            })?;
            // Without the table there is nothing that could change.
            if steady || counting.is_empty() {
                return Ok(counting);
            }
        }
        Err(NftError::Stale)
    }

    /// One client that a map remembers, without a walk through the map.
    pub(super) fn read_client(
        &mut self,
        family: Family,
        map: &IdMap,
        client: IpAddr,
    ) -> Result<Option<Remembered>, NftError> {
        let octets = match client {
            IpAddr::V4(client) => client.octets().to_vec(),
            IpAddr::V6(client) => client.octets().to_vec(),
        };
        let key = nested(element::KEY, &attribute(element::DATA_VALUE, &octets));
        let item = nested(uapi::LIST_ITEM, &key);
        let get = kind(libc::NFT_MSG_GETSETELEM);
        let request = Request::netfilter(get, libc::NLM_F_ACK, protocol_family(family) as u8, 0)
            .text(element::TABLE, TABLE)
            .text(element::SET, &map.to_string())
            .attribute(NESTED | element::LIST, &item);
        let mut found = None;
        let asked = self.socket.ask(request, |message| {
            decode::remembered(family, map, message.attributes(), |it| found = Some(it));
            Ok(())
        });
        match asked {
            Err(error) if !is_missing(&error) => Err(error.into()),
            _ => Ok(found.filter(|it| it.client == client)),
        }
    }

    /// The clients that a map remembers, at most about so many.
    pub(super) fn read_clients(
        &mut self,
        family: Family,
        map: &IdMap,
        most: usize,
    ) -> Result<Vec<Remembered>, NftError> {
        let mut all = BTreeMap::new();
        // Whoever comes or goes while it is read may be in it or not. A socket of its own, to be left when there is
        // enough.
        let asked = Socket::open()?.ask_until(elements_of(family, &map.to_string()), |message| {
            decode::remembered(family, map, message.attributes(), |it| {
                all.insert(it.client, it);
            });
            Ok(if all.len() > most {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            })
        });
        match asked {
            Err(error) if !is_missing(&error) => Err(error.into()),
            _ => Ok(all.into_values().collect()),
        }
    }
}
