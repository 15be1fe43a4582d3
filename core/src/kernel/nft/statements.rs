//! Statements as kernel expressions, in the shapes that nft itself sends, so that nft prints them back.

use std::io;

use nftnl_sys as sys;

use super::expression::{
    ANONYMOUS, Expression, Field, NFT_HASH_JENKINS, REGISTER_1, REGISTER_2, address, bitwise, change, client,
    compare, counter, data_map, immediate, is_protocol, load, load_ct, load_meta, masked, member, name, nat,
    registers, reject, store_meta, verdict, verdict_map,
};
use super::queue::{QueueForm, queue};
use super::uapi;
use crate::ruleset::{Direction, Family, MapName, Protocol, Statement};
use crate::scheduler::HashKey;

/// `ct state invalid accept`: the guard's rule.
pub fn guard() -> Vec<Expression> {
    // NF_CT_STATE_INVALID_BIT
    let invalid = 1u32.to_ne_bytes();
    vec![
        load_ct(libc::NFT_CT_STATE),
        bitwise(&invalid, &[0; 4]),
        compare(libc::NFT_CMP_NEQ, [0; 4]),
        verdict(libc::NF_ACCEPT),
    ]
}

/// The expressions of a statement. `many` is the id of the anonymous set of protocols, if it needs one.
pub fn expressions(
    family: Family,
    statement: &Statement,
    many: u32,
    form: QueueForm,
) -> io::Result<Vec<Expression>> {
    Ok(match statement {
        Statement::Jump(chain) => {
            vec![verdict(libc::NFT_JUMP).text(sys::NFTNL_EXPR_IMM_CHAIN, name(chain)?)]
        }
        Statement::Goto(chain) => {
            vec![verdict(libc::NFT_GOTO).text(sys::NFTNL_EXPR_IMM_CHAIN, name(chain)?)]
        }
        Statement::Return => vec![verdict(libc::NFT_RETURN)],
        Statement::Accept => vec![verdict(libc::NF_ACCEPT)],
        Statement::GotoService(map) => goto_service(family, *map)?,
        Statement::GotoMarked(map) => {
            vec![load_meta(libc::NFT_META_MARK, REGISTER_1), verdict_map(*map)?]
        }
        Statement::Unconfirmed => vec![
            load_ct(libc::NFT_CT_STATUS),
            bitwise(&uapi::CONFIRMED.to_ne_bytes(), &[0; 4]),
            compare(libc::NFT_CMP_EQ, [0; 4]),
        ],
        Statement::Attended => vec![
            load_meta(libc::NFT_META_L4PROTO, REGISTER_1),
            member(name(MapName::Attended.as_str())?),
        ],
        Statement::Queue(number) => vec![queue(*number, form)],
        Statement::ToClosed => {
            vec![
                load(family, Field::Destination, REGISTER_1),
                member(name(MapName::Closed.as_str())?),
            ]
        }
        Statement::Counter => vec![counter()],
        Statement::Cycle { map, size } => {
            let cycle = Expression::new(c"numgen")
                .number(sys::NFTNL_EXPR_NG_DREG, REGISTER_1)
                .number(sys::NFTNL_EXPR_NG_MODULUS, *size)
                .number(sys::NFTNL_EXPR_NG_TYPE, libc::NFT_NG_INCREMENTAL);
            vec![cycle, data_map(map)?, store_meta(libc::NFT_META_PRIORITY)]
        }
        Statement::Hash { map, size, key, seed } => {
            let (mut all, length) = hash_key(family, *key);
            all.push(
                Expression::new(c"hash")
                    .number(sys::NFTNL_EXPR_HASH_SREG, REGISTER_2)
                    .number(sys::NFTNL_EXPR_HASH_DREG, REGISTER_1)
                    .number(sys::NFTNL_EXPR_HASH_LEN, length)
                    .number(sys::NFTNL_EXPR_HASH_MODULUS, *size)
                    .number(sys::NFTNL_EXPR_HASH_SEED, *seed)
                    .number(sys::NFTNL_EXPR_HASH_TYPE, NFT_HASH_JENKINS),
            );
            all.extend([data_map(map)?, store_meta(libc::NFT_META_PRIORITY)]);
            all
        }
        Statement::LookUpClient { map, bits } => {
            let mut all = client(family, *bits)?;
            all.extend([data_map(&map.to_string())?, store_meta(libc::NFT_META_PRIORITY)]);
            all
        }
        Statement::LookUpHeld(map) => vec![
            load_meta(libc::NFT_META_PRIORITY, REGISTER_1),
            data_map(&map.to_string())?,
            store_meta(libc::NFT_META_PRIORITY),
        ],
        Statement::Remember { map, bits, timeout } => {
            let mut all = client(family, *bits)?;
            let [load, change] = change(libc::NFT_DYNSET_OP_UPDATE as u32, map)?;
            let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            all.extend([load, change.long(sys::NFTNL_EXPR_DYNSET_TIMEOUT, milliseconds)]);
            all
        }
        Statement::Forget { map, bits } => {
            let mut all = client(family, *bits)?;
            all.extend(change(uapi::DYNSET_DELETE, map)?);
            all
        }
        Statement::GotoBackend => {
            vec![
                load_meta(libc::NFT_META_PRIORITY, REGISTER_1),
                verdict_map(MapName::Backends)?,
            ]
        }
        Statement::GotoChosen => {
            vec![
                load_meta(libc::NFT_META_PRIORITY, REGISTER_1),
                verdict_map(MapName::Chosen)?,
            ]
        }
        Statement::FromHere => {
            vec![
                load_meta(libc::NFT_META_IIF, REGISTER_1),
                compare(libc::NFT_CMP_EQ, [0; 4]),
            ]
        }
        Statement::ClearPriority => {
            vec![
                immediate(REGISTER_1, vec![0; 4]),
                store_meta(libc::NFT_META_PRIORITY),
            ]
        }
        Statement::SetMark { mask, bits } => vec![
            load_ct(libc::NFT_CT_MARK),
            bitwise(&(!mask).to_ne_bytes(), &bits.to_ne_bytes()),
            Expression::new(c"ct")
                .number(sys::NFTNL_EXPR_CT_SREG, REGISTER_1)
                .number(sys::NFTNL_EXPR_CT_KEY, libc::NFT_CT_MARK),
        ],
        Statement::Protocols(protocols) => match protocols.as_slice() {
            [one] => is_protocol(*one).into(),
            _ => vec![
                load_meta(libc::NFT_META_L4PROTO, REGISTER_1),
                member(ANONYMOUS.into()).number(sys::NFTNL_EXPR_LOOKUP_SET_ID, many),
            ],
        },
        Statement::Dnat { address: to, port } => {
            let nat = nat(family, libc::NFT_NAT_DNAT).number(sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, REGISTER_1);
            let to = immediate(REGISTER_1, address(family, *to)?);
            match port {
                None => vec![to, nat],
                Some(port) => vec![
                    to,
                    immediate(REGISTER_2, port.to_be_bytes().to_vec()),
                    nat.number(sys::NFTNL_EXPR_NAT_REG_PROTO_MIN, REGISTER_2)
                        .number(sys::NFTNL_EXPR_NAT_FLAGS, uapi::NAT_RANGE_PORT),
                ],
            }
        }
        Statement::Snat { first, last } => {
            let nat = nat(family, libc::NFT_NAT_SNAT).number(sys::NFTNL_EXPR_NAT_REG_ADDR_MIN, REGISTER_1);
            let from = immediate(REGISTER_1, address(family, *first)?);
            if first == last {
                vec![from, nat]
            } else {
                let to = immediate(REGISTER_2, address(family, *last)?);
                vec![from, to, nat.number(sys::NFTNL_EXPR_NAT_REG_ADDR_MAX, REGISTER_2)]
            }
        }
        Statement::Masquerade => vec![Expression::new(c"masq")],
        Statement::RejectTcp => {
            let [load, compare] = is_protocol(Protocol::Tcp);
            vec![load, compare, reject(libc::NFT_REJECT_TCP_RST, 0)]
        }
        // Port unreachable: ICMP code 3, ICMPv6 code 4.
        Statement::Reject => {
            let code = if family == Family::V4 { 3 } else { 4 };
            vec![reject(libc::NFT_REJECT_ICMP_UNREACH, code)]
        }
        Statement::Direction(direction) => {
            let number = match direction {
                Direction::Original => 0,
                Direction::Reply => 1,
            };
            vec![
                load_ct(libc::NFT_CT_DIRECTION),
                compare(libc::NFT_CMP_EQ, [number]),
            ]
        }
        Statement::Account { set, mask } => {
            vec![
                load_ct(libc::NFT_CT_MARK),
                masked(*mask),
                member(name(set.as_str())?),
            ]
        }
        Statement::GotoSource { mask } => {
            vec![
                load_ct(libc::NFT_CT_MARK),
                masked(*mask),
                verdict_map(MapName::Sources)?,
            ]
        }
    })
}

fn goto_service(family: Family, map: MapName) -> io::Result<Vec<Expression>> {
    let protocol = REGISTER_1 + registers(family, Field::Destination);
    Ok(vec![
        load(family, Field::Destination, REGISTER_1),
        load_meta(libc::NFT_META_L4PROTO, protocol),
        load(family, Field::DestinationPort, protocol + 1),
        verdict_map(map)?,
    ])
}

/// Loads what is hashed from [`REGISTER_2`] on, and says how many bytes it takes there.
fn hash_key(family: Family, key: HashKey) -> (Vec<Expression>, u32) {
    let fields: &[Field] = match key {
        HashKey::Source => &[Field::Source],
        HashKey::SourceAndPort => &[Field::Source, Field::SourcePort],
        HashKey::Destination => &[Field::Destination],
        HashKey::Both => &[
            Field::Source,
            Field::SourcePort,
            Field::Destination,
            Field::DestinationPort,
        ],
    };
    let mut register = REGISTER_2;
    let mut loads = Vec::with_capacity(fields.len() + 3);
    for &field in fields {
        loads.push(load(family, field, register));
        register += registers(family, field);
    }
    (loads, (register - REGISTER_2) * 4)
}
