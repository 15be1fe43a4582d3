//! Numbers of `linux/netfilter/nf_tables.h` that libc lacks, and of nft's own user data.

/// Attributes of tables.
pub mod table {
    pub const NAME: u16 = 1;
    pub const FLAGS: u16 = 2;
}

/// Attributes of chains.
pub mod chain {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 3;
    pub const HOOK: u16 = 4;
    pub const POLICY: u16 = 5;
    pub const TYPE: u16 = 7;
    pub const FLAGS: u16 = 10;
    pub const HOOK_NUMBER: u16 = 1;
    pub const HOOK_PRIORITY: u16 = 2;
    /// `NFT_CHAIN_HW_OFFLOAD | NFT_CHAIN_BINDING`: what ours never have.
    pub const FOREIGN_FLAGS: u32 = 2 | 4;
}

/// Attributes of rules and their expressions.
pub mod rule {
    pub const TABLE: u16 = 1;
    pub const CHAIN: u16 = 2;
    pub const EXPRESSIONS: u16 = 4;
    pub const USERDATA: u16 = 7;
    pub const EXPRESSION_NAME: u16 = 1;
    pub const EXPRESSION_DATA: u16 = 2;
    pub const COUNTER_BYTES: u16 = 1;
    pub const COUNTER_PACKETS: u16 = 2;
}

/// Attributes of sets.
pub mod set {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 2;
    pub const FLAGS: u16 = 3;
    pub const KEY_TYPE: u16 = 4;
    pub const KEY_LENGTH: u16 = 5;
    pub const DATA_TYPE: u16 = 6;
    pub const DATA_LENGTH: u16 = 7;
    pub const DESCRIPTION: u16 = 9;
    pub const TIMEOUT: u16 = 11;
    pub const USERDATA: u16 = 13;
    pub const OBJECT_TYPE: u16 = 15;
    pub const EXPRESSION: u16 = 17;
    pub const EXPRESSIONS: u16 = 18;
    pub const DESCRIPTION_SIZE: u16 = 1;
    pub const DESCRIPTION_FIELDS: u16 = 2;
    pub const FIELD_LENGTH: u16 = 1;
    /// `NFT_SET_CONCAT`
    pub const CONCAT: u32 = 0x80;
}

/// Attributes of elements.
pub mod element {
    pub const TABLE: u16 = 1;
    pub const SET: u16 = 2;
    pub const LIST: u16 = 3;
    pub const KEY: u16 = 1;
    pub const DATA: u16 = 2;
    pub const EXPIRATION: u16 = 5;
    pub const EXPRESSION: u16 = 7;
    pub const KEY_END: u16 = 10;
    pub const DATA_VALUE: u16 = 1;
    pub const DATA_VERDICT: u16 = 2;
    pub const VERDICT_CODE: u16 = 1;
    pub const VERDICT_CHAIN: u16 = 2;
}

/// The first attributes of named objects and flowtables: table and name.
pub mod object {
    pub const TABLE: u16 = 1;
    pub const NAME: u16 = 2;
}

/// The item of any list.
pub const LIST_ITEM: u16 = 1;
/// `NFTA_GEN_ID`
pub const GENERATION_ID: u16 = 1;
/// `IPS_CONFIRMED`
pub const CONFIRMED: u32 = 8;
/// `NFT_QUEUE_FLAG_BYPASS`, and `NFQ_FLAG_BYPASS` of the target.
pub const QUEUE_BYPASS: u16 = 1;
/// `NFT_DYNSET_OP_DELETE`
pub const DYNSET_DELETE: u32 = 2;
/// `NFT_MSG_GETFLOWTABLE`
pub const GET_FLOWTABLE: i32 = 23;
/// `NF_NAT_RANGE_PROTO_SPECIFIED`
pub const NAT_RANGE_PORT: u32 = 2;

/// nft's data types (`enum datatypes`), which it keeps in sets so that it can print them.
pub mod datatype {
    pub const INTEGER: u32 = 4;
    pub const IPV4_ADDRESS: u32 = 7;
    pub const IPV6_ADDRESS: u32 = 8;
    pub const INET_PROTOCOL: u32 = 12;
    pub const INET_SERVICE: u32 = 13;
    pub const MARK: u32 = 19;
    pub const CLASSID: u32 = 23;
    /// Types of a concatenation take six bits each, the last lowest.
    pub const BITS: u32 = 6;
}

/// nft's expression kinds (`enum expr_types`) as they stand in the user data of sets.
pub mod typeof_expression {
    pub const META: u32 = 9;
    pub const CONCAT: u32 = 13;
    pub const NUMGEN: u32 = 23;
}
