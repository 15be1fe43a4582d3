//! Kernel expressions: what rules are made of.
//!
//! The expressions of the nftnl crate load into fixed registers and know no `numgen`, `hash` or map lookup;
//! these are built over libnftnl directly.

use std::ffi::{CStr, CString};
use std::io;
use std::net::IpAddr;
use std::ptr::NonNull;

use nftnl_sys as sys;

use crate::ruleset::text::mask;
use crate::ruleset::{Family, IdMap, MapName, Protocol};

/// The first 128-bit register.
pub const REGISTER_1: u32 = libc::NFT_REG32_00 as u32;
/// The second 128-bit register: behind an address of either family.
pub const REGISTER_2: u32 = libc::NFT_REG32_04 as u32;

/// The value of an expression's attribute.
#[derive(Debug)]
enum Value {
    Byte(u8),
    Number(u32),
    Long(u64),
    Short(u16),
    Bytes(Vec<u8>),
    /// Bytes that libnftnl keeps instead of a copy.
    Given(Vec<u8>),
    Text(CString),
}

/// One expression: its kernel name and its attributes by libnftnl's number.
#[derive(Debug)]
pub struct Expression {
    name: &'static CStr,
    attributes: Vec<(u32, Value)>,
}

impl Expression {
    pub fn new(name: &'static CStr) -> Self {
        Expression {
            name,
            attributes: Vec::with_capacity(4),
        }
    }

    pub fn number(mut self, attribute: u32, value: impl Into<i64>) -> Self {
        // Verdicts are negative and travel as their two's complement.
        self.attributes
            .push((attribute, Value::Number(value.into() as u32)));
        self
    }

    pub fn short(mut self, attribute: u32, value: u16) -> Self {
        self.attributes.push((attribute, Value::Short(value)));
        self
    }

    pub fn given(mut self, attribute: u32, value: Vec<u8>) -> Self {
        self.attributes.push((attribute, Value::Given(value)));
        self
    }

    pub fn long(mut self, attribute: u32, value: u64) -> Self {
        self.attributes.push((attribute, Value::Long(value)));
        self
    }

    pub fn byte(mut self, attribute: u32, value: u8) -> Self {
        self.attributes.push((attribute, Value::Byte(value)));
        self
    }

    pub fn bytes(mut self, attribute: u32, value: impl Into<Vec<u8>>) -> Self {
        self.attributes.push((attribute, Value::Bytes(value.into())));
        self
    }

    pub fn text(mut self, attribute: u32, value: CString) -> Self {
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
                    Value::Long(number) => sys::nftnl_expr_set_u64(raw, attribute, *number),
                    Value::Short(number) => sys::nftnl_expr_set_u16(raw, attribute, *number),
                    Value::Bytes(bytes) => {
                        sys::nftnl_expr_set(raw, attribute, bytes.as_ptr().cast(), bytes.len() as u32);
                    }
                    // It is freed with the expression, by C's `free`.
                    Value::Given(bytes) => {
                        let memory = libc::malloc(bytes.len()).cast::<u8>();
                        if memory.is_null() {
                            sys::nftnl_expr_free(raw);
                            return Err(io::ErrorKind::OutOfMemory.into());
                        }
                        memory.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                        sys::nftnl_expr_set(raw, attribute, memory.cast(), bytes.len() as u32);
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

/// A verdict; those that need a chain get its name as well.
pub fn verdict(code: i32) -> Expression {
    Expression::new(c"immediate")
        .number(sys::NFTNL_EXPR_IMM_DREG, libc::NFT_REG_VERDICT)
        .number(sys::NFTNL_EXPR_IMM_VERDICT, code)
}

/// The name that tells the kernel to find one for an anonymous set.
pub const ANONYMOUS: &CStr = c"__set%d";
/// `NFT_HASH_JENKINS`
pub const NFT_HASH_JENKINS: u32 = 0;

/// A field of a packet.
#[derive(Clone, Copy)]
pub enum Field {
    /// The source address.
    Source,
    /// The source port.
    SourcePort,
    /// The destination address.
    Destination,
    /// The destination port.
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

/// Loads a field.
pub fn load(family: Family, field: Field, register: u32) -> Expression {
    let (base, offset, length) = field.place(family);
    Expression::new(c"payload")
        .number(sys::NFTNL_EXPR_PAYLOAD_DREG, register)
        .number(sys::NFTNL_EXPR_PAYLOAD_BASE, base)
        .number(sys::NFTNL_EXPR_PAYLOAD_OFFSET, offset)
        .number(sys::NFTNL_EXPR_PAYLOAD_LEN, length)
}

/// The registers that a field takes: whole ones, a port's is padded.
pub fn registers(family: Family, field: Field) -> u32 {
    field.place(family).2.div_ceil(4)
}

/// Loads what the kernel knows of a packet.
pub fn load_meta(key: i32, register: u32) -> Expression {
    Expression::new(c"meta")
        .number(sys::NFTNL_EXPR_META_KEY, key)
        .number(sys::NFTNL_EXPR_META_DREG, register)
}

/// Writes the first register to what the kernel knows of a packet.
pub fn store_meta(key: i32) -> Expression {
    Expression::new(c"meta")
        .number(sys::NFTNL_EXPR_META_KEY, key)
        .number(sys::NFTNL_EXPR_META_SREG, REGISTER_1)
}

/// Loads what conntrack knows of a packet's connection.
pub fn load_ct(key: i32) -> Expression {
    Expression::new(c"ct")
        .number(sys::NFTNL_EXPR_CT_KEY, key)
        .number(sys::NFTNL_EXPR_CT_DREG, REGISTER_1)
}

/// Some bits of the first register.
pub fn masked(mask: u32) -> Expression {
    bitwise(&mask.to_ne_bytes(), &[0; 4])
}

/// The first register with some bits kept and some turned.
pub fn bitwise(mask: &[u8], xor: &[u8]) -> Expression {
    Expression::new(c"bitwise")
        .number(sys::NFTNL_EXPR_BITWISE_SREG, REGISTER_1)
        .number(sys::NFTNL_EXPR_BITWISE_DREG, REGISTER_1)
        .number(sys::NFTNL_EXPR_BITWISE_LEN, mask.len() as u32)
        .bytes(sys::NFTNL_EXPR_BITWISE_MASK, mask)
        .bytes(sys::NFTNL_EXPR_BITWISE_XOR, xor)
}

/// So many bits of the client's address, in the first register.
pub fn client(family: Family, bits: u8) -> io::Result<Vec<Expression>> {
    let mut all = vec![load(family, Field::Source, REGISTER_1)];
    if bits < family.bits() {
        let mask = address(family, mask(family, bits))?;
        all.push(bitwise(&mask, &vec![0; mask.len()]));
    }
    Ok(all)
}

/// Changes what a map has for the first register: adds it with the packet's priority, or deletes it.
pub fn change(operation: u32, map: &IdMap) -> io::Result<[Expression; 2]> {
    let change = Expression::new(c"dynset")
        .number(sys::NFTNL_EXPR_DYNSET_SREG_KEY, REGISTER_1)
        .number(sys::NFTNL_EXPR_DYNSET_SREG_DATA, REGISTER_2)
        .number(sys::NFTNL_EXPR_DYNSET_OP, operation)
        .text(sys::NFTNL_EXPR_DYNSET_SET_NAME, name(&map.to_string())?);
    Ok([load_meta(libc::NFT_META_PRIORITY, REGISTER_2), change])
}

/// Goes on where the first register compares so.
pub fn compare(operation: i32, data: impl Into<Vec<u8>>) -> Expression {
    Expression::new(c"cmp")
        .number(sys::NFTNL_EXPR_CMP_SREG, REGISTER_1)
        .number(sys::NFTNL_EXPR_CMP_OP, operation)
        .bytes(sys::NFTNL_EXPR_CMP_DATA, data)
}

/// Goes on where the packet is of a protocol.
pub fn is_protocol(protocol: Protocol) -> [Expression; 2] {
    [
        load_meta(libc::NFT_META_L4PROTO, REGISTER_1),
        compare(libc::NFT_CMP_EQ, [protocol.number()]),
    ]
}

/// Goes on where a set has the first register.
pub fn member(set: CString) -> Expression {
    Expression::new(c"lookup")
        .number(sys::NFTNL_EXPR_LOOKUP_SREG, REGISTER_1)
        .text(sys::NFTNL_EXPR_LOOKUP_SET, set)
}

/// Does what a map says of the first register.
pub fn verdict_map(map: MapName) -> io::Result<Expression> {
    Ok(member(name(map.as_str())?).number(sys::NFTNL_EXPR_LOOKUP_DREG, libc::NFT_REG_VERDICT))
}

/// Loads what a map says of the first register.
pub fn data_map(map: &str) -> io::Result<Expression> {
    Ok(member(name(map)?).number(sys::NFTNL_EXPR_LOOKUP_DREG, REGISTER_1))
}

/// Loads a constant.
pub fn immediate(register: u32, data: Vec<u8>) -> Expression {
    Expression::new(c"immediate")
        .number(sys::NFTNL_EXPR_IMM_DREG, register)
        .bytes(sys::NFTNL_EXPR_IMM_DATA, data)
}

/// An address translation.
pub fn nat(family: Family, kind: i32) -> Expression {
    let family = match family {
        Family::V4 => libc::NFPROTO_IPV4,
        Family::V6 => libc::NFPROTO_IPV6,
    };
    Expression::new(c"nat")
        .number(sys::NFTNL_EXPR_NAT_TYPE, kind)
        .number(sys::NFTNL_EXPR_NAT_FAMILY, family)
}

/// Refuses the packet and says so.
pub fn reject(kind: i32, code: u8) -> Expression {
    Expression::new(c"reject")
        .number(sys::NFTNL_EXPR_REJECT_TYPE, kind)
        .byte(sys::NFTNL_EXPR_REJECT_CODE, code)
}
