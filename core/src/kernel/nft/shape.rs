//! The shapes of our maps and sets, down to the user data by which nft prints them, and the bytes of their
//! elements. The same definition makes them and recognises them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::expression::address;
use super::uapi::{datatype, set, typeof_expression};
use crate::kernel::netlink::Attributes;
use crate::ruleset::text::slots_size;
use crate::ruleset::{CHOSEN, Family, IdMap, Key, MOST_CLIENTS, MapName, Protocol};
use crate::scheduler::BackendId;

/// What elements map to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// Nothing: a set.
    None,
    /// A chain to go to.
    Verdict,
    /// A packet priority.
    Priority,
    /// Something that ours never have.
    Foreign,
}

/// All that the kernel and nft know of a map or set but its name and elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// `NFT_SET_*`
    pub flags: u32,
    /// nft's data type.
    pub key_type: u32,
    /// Bytes of a key.
    pub key_length: u32,
    /// What elements map to.
    pub data: Data,
    /// The most elements, 0 without a limit.
    pub size: u32,
    /// The bytes of each field of a concatenation with ranges.
    pub fields: Vec<u8>,
    /// Whether every element counts.
    pub counter: bool,
    /// nft's notes.
    pub userdata: Vec<u8>,
}

/// Numbers in the machine's order, as nft's notes write it.
const HOST_ORDER: u32 = 1;
/// Numbers in network order.
const NETWORK_ORDER: u32 = 2;
/// No order: concatenations, verdicts, single bytes.
const NO_ORDER: u32 = 0;

// Types of nft's notes on a set (`enum nftnl_udata_set_types`).
const NOTE_KEY_ORDER: u8 = 0;
const NOTE_DATA_ORDER: u8 = 1;
const NOTE_KEY_TYPEOF: u8 = 3;
const NOTE_DATA_TYPEOF: u8 = 4;
const NOTE_DATA_INTERVAL: u8 = 6;

/// A note: type, length, value.
fn note(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, value.len() as u8];
    bytes.extend_from_slice(value);
    bytes
}

fn number(kind: u8, value: u32) -> Vec<u8> {
    note(kind, &value.to_ne_bytes())
}

/// The note of an expression that a type comes from: its kind and its own notes.
fn type_of(kind: u8, expression: u32, detail: &[u8]) -> Vec<u8> {
    note(kind, &[number(0, expression), note(1, detail)].concat())
}

impl Shape {
    /// The shape of a map or set by its name.
    pub fn of(family: Family, map: MapName) -> Self {
        let (host, wide) = match family {
            Family::V4 => (datatype::IPV4_ADDRESS, 4),
            Family::V6 => (datatype::IPV6_ADDRESS, 16),
        };
        let join = |types: [u32; 3]| types.iter().fold(0, |all, one| all << datatype::BITS | one);
        let (key_type, key_length, order) = match map {
            MapName::Backends | MapName::Chosen => (datatype::CLASSID, 4, HOST_ORDER),
            // One byte has no order.
            MapName::Attended => (datatype::INET_PROTOCOL, 1, NO_ORDER),
            MapName::Closed => (host, wide, NETWORK_ORDER),
            MapName::AskedMarks | MapName::Marks | MapName::Received | MapName::Sent | MapName::Sources => {
                (datatype::MARK, 4, HOST_ORDER)
            }
            MapName::Asked | MapName::ServiceRanges | MapName::Services => {
                let types = [host, datatype::INET_PROTOCOL, datatype::INET_SERVICE];
                (join(types), wide + 8, NO_ORDER)
            }
        };
        let mut userdata = number(NOTE_KEY_ORDER, order);
        if map.has_verdicts() {
            userdata.extend(number(NOTE_DATA_ORDER, NO_ORDER));
        }
        if matches!(map, MapName::Asked | MapName::ServiceRanges | MapName::Services) {
            userdata.extend(type_of(NOTE_KEY_TYPEOF, typeof_expression::CONCAT, &[]));
        }
        let mut flags = 0;
        if map.has_verdicts() {
            userdata.extend(number(NOTE_DATA_INTERVAL, 0));
            flags |= libc::NFT_SET_MAP as u32;
        }
        if map.is_dynamic() {
            flags |= libc::NFT_SET_TIMEOUT as u32;
        }
        let ranges = map.has_ranges();
        if ranges {
            flags |= libc::NFT_SET_INTERVAL as u32 | set::CONCAT;
        }
        Shape {
            flags,
            key_type,
            key_length,
            data: if map.has_verdicts() {
                Data::Verdict
            } else {
                Data::None
            },
            size: 0,
            fields: if ranges {
                vec![wide as u8, 1, 2]
            } else {
                Vec::new()
            },
            counter: map.has_counters(),
            userdata,
        }
    }

    /// The shape of a map to backend ids by its name.
    pub fn of_ids(family: Family, map: &IdMap) -> Self {
        let (key_type, key_length, order) = match (map, family) {
            (IdMap::Answers(_) | IdMap::Held(_), _) => (datatype::CLASSID, 4, HOST_ORDER),
            (_, Family::V4) => (datatype::IPV4_ADDRESS, 4, NETWORK_ORDER),
            (_, Family::V6) => (datatype::IPV6_ADDRESS, 16, NETWORK_ORDER),
        };
        let (dynamic, size) = if map.is_dynamic() {
            (libc::NFT_SET_TIMEOUT | libc::NFT_SET_EVAL, MOST_CLIENTS)
        } else {
            (0, 0)
        };
        Shape {
            flags: (libc::NFT_SET_MAP | dynamic) as u32,
            key_type,
            key_length,
            data: Data::Priority,
            size,
            fields: Vec::new(),
            counter: false,
            userdata: [
                number(NOTE_KEY_ORDER, order),
                number(NOTE_DATA_ORDER, HOST_ORDER),
                number(NOTE_DATA_INTERVAL, 0),
            ]
            .concat(),
        }
    }

    /// The shape of a slot map.
    pub fn slots(slots: u32) -> Self {
        // numgen's notes: incremental, its modulus, no offset. meta's: which key.
        let numgen = [number(0, 0), number(1, slots), number(2, 0)].concat();
        let priority = number(0, libc::NFT_META_PRIORITY as u32);
        Shape {
            flags: libc::NFT_SET_MAP as u32,
            key_type: datatype::INTEGER,
            key_length: 4,
            data: Data::Priority,
            size: slots_size(slots),
            fields: Vec::new(),
            counter: false,
            userdata: [
                number(NOTE_KEY_ORDER, HOST_ORDER),
                number(NOTE_DATA_ORDER, HOST_ORDER),
                type_of(NOTE_KEY_TYPEOF, typeof_expression::NUMGEN, &numgen),
                type_of(NOTE_DATA_TYPEOF, typeof_expression::META, &priority),
                number(NOTE_DATA_INTERVAL, 0),
            ]
            .concat(),
        }
    }

    /// The shape of the nameless set behind `meta l4proto { … }`.
    pub fn protocols(count: u32) -> Self {
        let protocol = number(0, libc::NFT_META_L4PROTO as u32);
        Shape {
            flags: (libc::NFT_SET_ANONYMOUS | libc::NFT_SET_CONSTANT) as u32,
            key_type: datatype::INET_PROTOCOL,
            key_length: 1,
            data: Data::None,
            size: count,
            fields: Vec::new(),
            counter: false,
            userdata: [
                number(NOTE_KEY_ORDER, HOST_ORDER),
                type_of(NOTE_KEY_TYPEOF, typeof_expression::META, &protocol),
            ]
            .concat(),
        }
    }

    /// The shape of a set as the kernel dumps it.
    pub fn read(dump: Attributes<'_>) -> Self {
        let flags = dump.u32(set::FLAGS).unwrap_or_default();
        let foreign = [set::TIMEOUT, set::OBJECT_TYPE, set::EXPRESSIONS];
        let data = match (dump.u32(set::DATA_TYPE), dump.u32(set::DATA_LENGTH)) {
            _ if foreign.iter().any(|it| dump.get(*it).is_some()) => Data::Foreign,
            (None, _) => Data::None,
            (Some(libc::NFT_DATA_VERDICT), _) => Data::Verdict,
            (Some(datatype::CLASSID), Some(4)) => Data::Priority,
            _ => Data::Foreign,
        };
        let description = dump.nested(set::DESCRIPTION);
        let field = |(_, item)| Attributes(item).u32(set::FIELD_LENGTH).map(|it| it as u8);
        let expression = dump
            .nested(set::EXPRESSION)
            .text(super::uapi::rule::EXPRESSION_NAME);
        Shape {
            flags,
            key_type: dump.u32(set::KEY_TYPE).unwrap_or_default(),
            key_length: dump.u32(set::KEY_LENGTH).unwrap_or_default(),
            data,
            size: description.u32(set::DESCRIPTION_SIZE).unwrap_or_default(),
            fields: description
                .nested(set::DESCRIPTION_FIELDS)
                .filter_map(field)
                .collect(),
            counter: expression.as_deref() == Some("counter"),
            userdata: dump.get(set::USERDATA).unwrap_or_default().to_vec(),
        }
    }
}

/// The bytes of a key, and of its end where it is a range. Fields of a concatenation are padded to four.
pub fn key_bytes(family: Family, key: &Key) -> io::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let service = |host: IpAddr, protocol: Protocol, port: u16| {
        let mut bytes = address(family, host)?;
        bytes.extend_from_slice(&[protocol.number(), 0, 0, 0]);
        bytes.extend_from_slice(&port.to_be_bytes());
        bytes.extend_from_slice(&[0, 0]);
        io::Result::Ok(bytes)
    };
    Ok(match *key {
        Key::Service(host, protocol, port) => (service(host, protocol, port)?, None),
        Key::ServiceRange(host, protocol, first, last) => {
            (service(host, protocol, first)?, Some(service(host, protocol, last)?))
        }
        Key::Mark(mark) => (mark.to_ne_bytes().to_vec(), None),
        Key::Backend(id) => (u32::from(id.0).to_ne_bytes().to_vec(), None),
        Key::Chosen(id) => ((CHOSEN | u32::from(id.0)).to_ne_bytes().to_vec(), None),
        Key::Protocol(protocol) => (vec![protocol.number()], None),
        Key::Address(host) => (address(family, host)?, None),
    })
}

/// The key of an element of a map to backend ids, if the bytes are one of ours.
pub fn read_id_key(family: Family, map: &IdMap, key: &[u8]) -> Option<Key> {
    // They are the keys of these.
    let like = match map {
        IdMap::Answers(_) => MapName::Chosen,
        IdMap::Held(_) => MapName::Backends,
        IdMap::Group(_) | IdMap::Persist(_) | IdMap::Pins(..) => MapName::Closed,
    };
    read_key(family, like, key, None)
}

/// The key of an element of a map, if the bytes are one of ours.
pub fn read_key(family: Family, map: MapName, key: &[u8], end: Option<&[u8]>) -> Option<Key> {
    let number = || key.first_chunk().map(|it| u32::from_ne_bytes(*it));
    let host = |bytes: &[u8]| match family {
        Family::V4 => bytes
            .first_chunk()
            .map(|it: &[u8; 4]| IpAddr::from(Ipv4Addr::from(*it))),
        Family::V6 => bytes
            .first_chunk()
            .map(|it: &[u8; 16]| IpAddr::from(Ipv6Addr::from(*it))),
    };
    let service = |bytes: &[u8]| {
        let rest = bytes.get(if family == Family::V4 { 4 } else { 16 }..)?;
        let port = u16::from_be_bytes([*rest.get(4)?, *rest.get(5)?]);
        Some((host(bytes)?, Protocol::from_number(*rest.first()?)?, port))
    };
    match map {
        MapName::Backends => u16::try_from(number()?)
            .ok()
            .map(|id| Key::Backend(BackendId(id))),
        MapName::Chosen => u16::try_from(number()? ^ CHOSEN)
            .ok()
            .map(|id| Key::Chosen(BackendId(id))),
        MapName::Attended => Protocol::from_number(*key.first()?).map(Key::Protocol),
        MapName::Closed => host(key).map(Key::Address),
        MapName::AskedMarks | MapName::Marks | MapName::Received | MapName::Sent | MapName::Sources => {
            number().map(Key::Mark)
        }
        MapName::Services => service(key).map(|(host, protocol, port)| Key::Service(host, protocol, port)),
        MapName::Asked | MapName::ServiceRanges => {
            let (host, protocol, first) = service(key)?;
            // The kernel leaves the end out where it equals the start.
            let last = service(end.unwrap_or(key))?;
            ((host, protocol) == (last.0, last.1)).then_some(Key::ServiceRange(host, protocol, first, last.2))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_notes_are_those_that_nft_writes() {
        // As `nft -f` of nftables 1.0.6 sends them for the same declarations.
        assert_eq!(
            Shape::slots(8).userdata,
            [
                0, 4, 1, 0, 0, 0, 1, 4, 1, 0, 0, 0, 3, 26, 0, 4, 23, 0, 0, 0, 1, 18, 0, 4, 0, 0, 0, 0, 1, 4,
                8, 0, 0, 0, 2, 4, 0, 0, 0, 0, 4, 14, 0, 4, 9, 0, 0, 0, 1, 6, 0, 4, 2, 0, 0, 0, 6, 4, 0, 0, 0,
                0
            ]
        );
        assert_eq!(Shape::of(Family::V4, MapName::Services).key_type, 0x730d);
        assert_eq!(
            Shape::of(Family::V6, MapName::Services).userdata,
            [
                0, 4, 0, 0, 0, 0, 1, 4, 0, 0, 0, 0, 3, 8, 0, 4, 13, 0, 0, 0, 1, 0, 6, 4, 0, 0, 0, 0
            ]
        );
    }

    fn keys(family: Family) -> impl Strategy<Value = (MapName, Key)> {
        let host = any::<[u8; 16]>().prop_map(move |it| match family {
            Family::V4 => IpAddr::from([it[0], it[1], it[2], it[3]]),
            Family::V6 => IpAddr::from(it),
        });
        let protocol = prop::sample::select(Protocol::ALL.to_vec());
        (prop::sample::select(MapName::ALL.to_vec()), host, protocol, any::<(u16, u16, u32)>()).prop_map(
            |(map, host, protocol, (first, last, mark))| {
                let key = match map {
                    MapName::Backends => Key::Backend(BackendId(first)),
                    MapName::Chosen => Key::Chosen(BackendId(first)),
                    MapName::Attended => Key::Protocol(protocol),
                    MapName::Closed => Key::Address(host),
                    MapName::AskedMarks
                    | MapName::Marks
                    | MapName::Received
                    | MapName::Sent
                    | MapName::Sources => Key::Mark(mark),
                    MapName::Asked | MapName::ServiceRanges => Key::ServiceRange(host, protocol, first, last),
                    MapName::Services => Key::Service(host, protocol, first),
                };
                (map, key)
            },
        )
    }

    proptest! {
        #[test]
        fn keys_read_back(
            (family, (map, key)) in prop::sample::select(Family::ALL.to_vec())
                .prop_flat_map(|family| (Just(family), keys(family)))
        ) {
            let (start, end) = key_bytes(family, &key).unwrap();
            prop_assert_eq!(start.len(), Shape::of(family, map).key_length as usize);
            prop_assert_eq!(read_key(family, map, &start, end.as_deref()), Some(key));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(key: Vec<u8>, end: Option<Vec<u8>>) {
            for family in Family::ALL {
                for map in MapName::ALL {
                    let _ = read_key(family, map, &key, end.as_deref());
                }
            }
            let _ = Shape::read(Attributes(&key));
        }
    }
}
