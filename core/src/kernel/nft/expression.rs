//! Statements as kernel expressions, in the shapes that nft itself sends, so that nft prints them back.
//!
//! The expressions of the nftnl crate load into fixed registers and know no `numgen`, `hash` or map lookup;
//! these are built over libnftnl directly.

use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;
use std::ptr::NonNull;

use nftnl_sys as sys;

use super::uapi;
use crate::ruleset::{Direction, Family, MapName, Protocol, Statement};
use crate::scheduler::HashKey;

/// The first 128-bit register.
const REGISTER_1: u32 = libc::NFT_REG32_00 as u32;
/// The second 128-bit register: behind an address of either family.
const REGISTER_2: u32 = libc::NFT_REG32_04 as u32;

/// The value of an expression's attribute.
#[derive(Debug)]
enum Value {
    Byte(u8),
    Number(u32),
    Bytes(Vec<u8>),
    Text(CString),
}

/// One expression: its kernel name and its attributes by libnftnl's number.
#[derive(Debug)]
pub struct Expression {
    name: &'static CStr,
    attributes: Vec<(u32, Value)>,
}

impl Expression {
    fn new(name: &'static CStr) -> Self {
        Expression {
            name,
            attributes: Vec::with_capacity(4),
        }
    }

    fn number(mut self, attribute: u32, value: impl Into<i64>) -> Self {
        // Verdicts are negative and travel as their two's complement.
        self.attributes
            .push((attribute, Value::Number(value.into() as u32)));
        self
    }

    fn byte(mut self, attribute: u32, value: u8) -> Self {
        self.attributes.push((attribute, Value::Byte(value)));
        self
    }

    fn bytes(mut self, attribute: u32, value: impl Into<Vec<u8>>) -> Self {
        self.attributes.push((attribute, Value::Bytes(value.into())));
        self
    }

    fn text(mut self, attribute: u32, value: CString) -> Self {
        self.attributes.push((attribute, Value::Text(value)));
        self
    }

    /// libnftnl's object for it; whoever takes it frees it. An error where this libnftnl does not know it.
    pub fn build(&self) -> io::Result<NonNull<sys::nftnl_expr>> {
        // SAFETY: `name` is NUL-terminated.
        let expression = NonNull::new(unsafe { sys::nftnl_expr_alloc(self.name.as_ptr()) })
            .ok_or_else(|| io::Error::other(format!("libnftnl has no expression {:?}", self.name)))?;
        let raw = expression.as_ptr();
        for (attribute, value) in &self.attributes {
            let attribute = *attribute as u16;
            // SAFETY: `raw` is a live expression of ours; libnftnl copies what it is given, and the pointers
            // outlive the calls. The numbers have the width that libnftnl's header gives the attribute.
            unsafe {
                match value {
                    Value::Byte(byte) => sys::nftnl_expr_set_u8(raw, attribute, *byte),
                    Value::Number(number) => sys::nftnl_expr_set_u32(raw, attribute, *number),
                    Value::Bytes(bytes) => {
                        sys::nftnl_expr_set(raw, attribute, bytes.as_ptr().cast(), bytes.len() as u32);
                    }
                    Value::Text(text) => {
                        sys::nftnl_expr_set_str(raw, attribute, text.as_ptr());
                    }
                }
            }
        }
        Ok(expression)
    }
}

/// A name for the kernel.
pub fn name(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a name has a NUL in it"))
}

/// The bytes of an address, which must be of the table's family.
pub fn address(family: Family, address: IpAddr) -> io::Result<Vec<u8>> {
    match address {
        _ if Family::of(address) != family => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{address} does not belong in the table of {family}"),
        )),
        IpAddr::V4(address) => Ok(address.octets().to_vec()),
        IpAddr::V6(address) => Ok(address.octets().to_vec()),
    }
}

/// `counter`, of a rule or of every element of a set.
pub fn counter() -> Expression {
    Expression::new(c"counter")
}

/// `ct state invalid accept`: the guard's rule.
pub fn guard() -> Vec<Expression> {
    // NF_CT_STATE_INVALID_BIT
    let invalid = 1u32.to_ne_bytes();
    vec![
        load_ct(libc::NFT_CT_STATE),
        bitwise(invalid, [0; 4]),
        compare(libc::NFT_CMP_NEQ, [0; 4]),
        verdict(libc::NF_ACCEPT),
    ]
}

fn verdict(code: i32) -> Expression {
    Expression::new(c"immediate")
        .number(sys::NFTNL_EXPR_IMM_DREG, libc::NFT_REG_VERDICT)
        .number(sys::NFTNL_EXPR_IMM_VERDICT, code)
}

/// The expressions of a statement. `many` is the id of the anonymous set of protocols, if it needs one.
pub fn expressions(family: Family, statement: &Statement, many: u32) -> io::Result<Vec<Expression>> {
    Ok(match statement {
        Statement::Jump(chain) => {
            vec![verdict(libc::NFT_JUMP).text(sys::NFTNL_EXPR_IMM_CHAIN, name(chain)?)]
        }
        Statement::Return => vec![verdict(libc::NFT_RETURN)],
        Statement::Accept => vec![verdict(libc::NF_ACCEPT)],
        Statement::GotoService(map) => goto_service(family, *map)?,
        Statement::GotoMarked => {
            vec![
                load_meta(libc::NFT_META_MARK, REGISTER_1),
                verdict_map(MapName::Marks)?,
            ]
        }
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
        Statement::GotoBackend => {
            vec![
                load_meta(libc::NFT_META_PRIORITY, REGISTER_1),
                verdict_map(MapName::Backends)?,
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
            bitwise((!mask).to_ne_bytes(), bits.to_ne_bytes()),
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

/// The name that tells the kernel to find one for an anonymous set.
pub const ANONYMOUS: &CStr = c"__set%d";
/// `NFT_HASH_JENKINS`
const NFT_HASH_JENKINS: u32 = 0;

#[derive(Clone, Copy)]
enum Field {
    Source,
    SourcePort,
    Destination,
    DestinationPort,
}

impl Field {
    /// (base, offset, length)
    fn place(self, family: Family) -> (i32, u32, u32) {
        let (network, transport) = (libc::NFT_PAYLOAD_NETWORK_HEADER, libc::NFT_PAYLOAD_TRANSPORT_HEADER);
        match (self, family) {
            (Field::Source, Family::V4) => (network, 12, 4),
            (Field::Source, Family::V6) => (network, 8, 16),
            (Field::Destination, Family::V4) => (network, 16, 4),
            (Field::Destination, Family::V6) => (network, 24, 16),
            (Field::SourcePort, _) => (transport, 0, 2),
            (Field::DestinationPort, _) => (transport, 2, 2),
        }
    }
}

fn load(family: Family, field: Field, register: u32) -> Expression {
    let (base, offset, length) = field.place(family);
    Expression::new(c"payload")
        .number(sys::NFTNL_EXPR_PAYLOAD_DREG, register)
        .number(sys::NFTNL_EXPR_PAYLOAD_BASE, base)
        .number(sys::NFTNL_EXPR_PAYLOAD_OFFSET, offset)
        .number(sys::NFTNL_EXPR_PAYLOAD_LEN, length)
}

/// The registers that a field takes: whole ones, a port's is padded.
fn registers(family: Family, field: Field) -> u32 {
    field.place(family).2.div_ceil(4)
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

fn load_meta(key: i32, register: u32) -> Expression {
    Expression::new(c"meta")
        .number(sys::NFTNL_EXPR_META_KEY, key)
        .number(sys::NFTNL_EXPR_META_DREG, register)
}

fn store_meta(key: i32) -> Expression {
    Expression::new(c"meta")
        .number(sys::NFTNL_EXPR_META_KEY, key)
        .number(sys::NFTNL_EXPR_META_SREG, REGISTER_1)
}

fn load_ct(key: i32) -> Expression {
    Expression::new(c"ct")
        .number(sys::NFTNL_EXPR_CT_KEY, key)
        .number(sys::NFTNL_EXPR_CT_DREG, REGISTER_1)
}

fn masked(mask: u32) -> Expression {
    bitwise(mask.to_ne_bytes(), [0; 4])
}

fn bitwise(mask: [u8; 4], xor: [u8; 4]) -> Expression {
    Expression::new(c"bitwise")
        .number(sys::NFTNL_EXPR_BITWISE_SREG, REGISTER_1)
        .number(sys::NFTNL_EXPR_BITWISE_DREG, REGISTER_1)
        .number(sys::NFTNL_EXPR_BITWISE_LEN, 4)
        .bytes(sys::NFTNL_EXPR_BITWISE_MASK, mask)
        .bytes(sys::NFTNL_EXPR_BITWISE_XOR, xor)
}

fn compare(operation: i32, data: impl Into<Vec<u8>>) -> Expression {
    Expression::new(c"cmp")
        .number(sys::NFTNL_EXPR_CMP_SREG, REGISTER_1)
        .number(sys::NFTNL_EXPR_CMP_OP, operation)
        .bytes(sys::NFTNL_EXPR_CMP_DATA, data)
}

fn is_protocol(protocol: Protocol) -> [Expression; 2] {
    [
        load_meta(libc::NFT_META_L4PROTO, REGISTER_1),
        compare(libc::NFT_CMP_EQ, [protocol.number()]),
    ]
}

fn member(set: CString) -> Expression {
    Expression::new(c"lookup")
        .number(sys::NFTNL_EXPR_LOOKUP_SREG, REGISTER_1)
        .text(sys::NFTNL_EXPR_LOOKUP_SET, set)
}

fn verdict_map(map: MapName) -> io::Result<Expression> {
    Ok(member(name(map.as_str())?).number(sys::NFTNL_EXPR_LOOKUP_DREG, libc::NFT_REG_VERDICT))
}

fn data_map(map: &str) -> io::Result<Expression> {
    Ok(member(name(map)?).number(sys::NFTNL_EXPR_LOOKUP_DREG, REGISTER_1))
}

fn immediate(register: u32, data: Vec<u8>) -> Expression {
    Expression::new(c"immediate")
        .number(sys::NFTNL_EXPR_IMM_DREG, register)
        .bytes(sys::NFTNL_EXPR_IMM_DATA, data)
}

fn nat(family: Family, kind: i32) -> Expression {
    let family = match family {
        Family::V4 => libc::NFPROTO_IPV4,
        Family::V6 => libc::NFPROTO_IPV6,
    };
    Expression::new(c"nat")
        .number(sys::NFTNL_EXPR_NAT_TYPE, kind)
        .number(sys::NFTNL_EXPR_NAT_FAMILY, family)
}

fn reject(kind: i32, code: u8) -> Expression {
    Expression::new(c"reject")
        .number(sys::NFTNL_EXPR_REJECT_TYPE, kind)
        .byte(sys::NFTNL_EXPR_REJECT_CODE, code)
}
