//! What a network interface does in the kernel's place, switched without an `ethtool` that a machine may lack.

use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};

use crate::namespace::Namespace;

/// Checksums, cutting large packets up and merging small ones, as the kernel names them (`netdev_features_strings`).
const FEATURES: [&str; 9] = [
    "tx-checksum-ip-generic",
    "tx-checksum-sctp",
    "tx-scatter-gather",
    "tx-tcp-segmentation",
    "tx-tcp6-segmentation",
    "tx-tcp-ecn-segmentation",
    "tx-generic-segmentation",
    "tx-udp-segmentation",
    "rx-gro",
];

// linux/netlink.h, linux/genetlink.h, linux/ethtool_netlink.h.
const ERROR: u16 = 2;
const CONTROL: u16 = 0x10;
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const NESTED: u16 = 0x8000;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const FEATURES_SET: u8 = 12;
const HEADER: u16 = 1;
const HEADER_DEV_NAME: u16 = 2;
const WANTED: u16 = 3;
const BITSET_BITS: u16 = 3;
const BIT: u16 = 1;
const BIT_NAME: u16 = 2;
const BIT_VALUE: u16 = 3;

impl Namespace {
    /// Has an interface do, or leave to the kernel: checksums, segmentation (TSO, GSO) and merging (GRO).
    ///
    /// # Errors
    /// When there is no such interface, or the kernel has no netlink for it.
    pub fn offloads(&self, interface: &str, on: bool) -> Result<()> {
        self.run(|| set(interface, on))
            .with_context(|| format!("cannot switch the offloads of {interface} in {}", self.name()))
    }
}

fn set(interface: &str, on: bool) -> Result<()> {
    let none = SockFlag::empty();
    let socket = socket(AddressFamily::Netlink, SockType::Raw, none, SockProtocol::NetlinkGeneric)?;
    let name = attribute(FAMILY_NAME, b"ethtool\0");
    let answer = ask(&socket, CONTROL, GET_FAMILY, 1, &name)?;
    // After the headers of netlink (16 bytes) and of its generic kind (4).
    let family = attributes(answer.get(20..).unwrap_or_default())
        .find_map(|(kind, value)| (kind == FAMILY_ID).then(|| value.try_into().ok()).flatten())
        .map(u16::from_ne_bytes)
        .context("the kernel has no ethtool netlink")?;
    let bits: Vec<u8> = FEATURES.iter().flat_map(|feature| bit(feature, on)).collect();
    let device = attribute(HEADER_DEV_NAME, &[interface.as_bytes(), b"\0"].concat());
    let wanted = attribute(BITSET_BITS | NESTED, &bits);
    let request = [
        attribute(HEADER | NESTED, &device),
        attribute(WANTED | NESTED, &wanted),
    ]
    .concat();
    ask(&socket, family, FEATURES_SET, 1, &request).map(drop)
}

fn bit(feature: &str, on: bool) -> Vec<u8> {
    let mut bit = attribute(BIT_NAME, &[feature.as_bytes(), b"\0"].concat());
    if on {
        bit.extend(attribute(BIT_VALUE, &[]));
    }
    attribute(BIT | NESTED, &bit)
}

/// An attribute, filled up to whole words.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).expect("requests of this lab are short");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, _) = bytes.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([head[2], head[3]]), value))
    })
}

/// Sends a request; gives the message that comes first, which is the answer, or says that it was done.
fn ask(socket: &OwnedFd, family: u16, command: u8, version: u8, body: &[u8]) -> Result<Vec<u8>> {
    let length = u32::try_from(20 + body.len())?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(family.to_ne_bytes());
    message.extend((REQUEST | ACK).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([command, version, 0, 0]);
    message.extend(body);
    let socket = socket.as_raw_fd();
    sendto(socket, &message, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut answer: Option<Vec<u8>> = None;
    loop {
        let mut buffer = vec![0; 16_384];
        let read = recv(socket, &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..read];
        while let Some((head, _)) = rest.split_at_checked(20) {
            let length = usize::try_from(u32::from_ne_bytes(head[..4].try_into()?))?;
            ensure!((20..=rest.len()).contains(&length), "a message of {length} bytes");
            if u16::from_ne_bytes([head[4], head[5]]) != ERROR {
                answer.get_or_insert_with(|| rest[..length].to_vec());
            } else {
                // The end of every answer: an error, or 0.
                return match i32::from_ne_bytes(head[16..].try_into()?) {
                    0 => Ok(answer.unwrap_or_default()),
                    errno => bail!(std::io::Error::from_raw_os_error(-errno)),
                };
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}
