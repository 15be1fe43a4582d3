//! Telling the neighbours where an address is now: gratuitous ARP and unsolicited neighbour advertisements.
//!
//! The twins of `arping -U` with `arping -A`, and of `ndsend`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

use super::sysctl;

/// An Ethernet interface.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its index.
    pub index: u32,
    /// Its hardware address.
    pub hardware: [u8; 6],
}

const BROADCAST: [u8; 6] = [0xff; 6];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

// `ar_op` of RFC 826.
const ARP_REQUEST: u16 = 1;
const ARP_REPLY: u16 = 2;

/// Tells all neighbours on an interface that an address is here.
pub fn announce(address: IpAddr, port: &Port<'_>) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => announce_v4(address, port),
        IpAddr::V6(address) => announce_v6(address, port),
    }
}

/// RFC 5227 announces by requests; some neighbours take only replies, so they get both.
fn announce_v4(address: Ipv4Addr, port: &Port<'_>) -> io::Result<()> {
    let arp = u16::to_be(libc::ETH_P_ARP as u16);
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(arp))))?;
    let to = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: arp,
        sll_ifindex: port.index as i32,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: {
            let mut to = [0; 8];
            to[..6].copy_from_slice(&BROADCAST);
            to
        },
    };
    for operation in [ARP_REQUEST, ARP_REPLY] {
        let packet = gratuitous_arp(operation, address, port.hardware);
        // SAFETY: the descriptor is open, the packet and the address are initialised memory of the lengths
        // given, and live through the call.
        let sent = unsafe {
            libc::sendto(
                socket.as_raw_fd(),
                packet.as_ptr().cast(),
                packet.len(),
                0,
                std::ptr::from_ref(&to).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if sent < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// An ARP packet whose sender and target are the same address (RFC 5227, 3).
fn gratuitous_arp(operation: u16, address: Ipv4Addr, hardware: [u8; 6]) -> [u8; 28] {
    // The target of a request is yet to be found; Linux takes a reply as gratuitous only if it is the sender.
    let target = if operation == ARP_REQUEST {
        [0; 6]
    } else {
        hardware
    };
    let mut packet = [0; 28];
    // Ethernet, IPv4, and the lengths of their addresses.
    packet[..6].copy_from_slice(&[0, 1, 8, 0, 6, 4]);
    packet[6..8].copy_from_slice(&operation.to_be_bytes());
    packet[8..14].copy_from_slice(&hardware);
    packet[14..18].copy_from_slice(&address.octets());
    packet[18..24].copy_from_slice(&target);
    packet[24..28].copy_from_slice(&address.octets());
    packet
}

fn announce_v6(address: Ipv6Addr, port: &Port<'_>) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6))?;
    socket.set_multicast_if_v6(port.index)?;
    // RFC 4861, 7.1.2: anything that has passed a router is dropped by the receiver.
    socket.set_multicast_hops_v6(255)?;
    socket.set_multicast_loop_v6(false)?;
    socket.bind(&SocketAddrV6::new(address, 0, 0, port.index).into())?;
    // A host that forwards is a router to those who keep it as one (RFC 4861, 4.4: the R flag).
    let is_router = sysctl::number(&format!("net.ipv6.conf.{}.forwarding", port.name.replace('.', "/")));
    let packet = unsolicited_advertisement(address, port.hardware, is_router.is_ok_and(|it| it != 0));
    socket.send_to(&packet, &SocketAddrV6::new(ALL_NODES, 0, 0, port.index).into())?;
    Ok(())
}

/// A neighbour advertisement that nobody asked for (RFC 4861, 7.2.6). The kernel fills in the checksum.
fn unsolicited_advertisement(address: Ipv6Addr, hardware: [u8; 6], is_router: bool) -> [u8; 32] {
    const TYPE: u8 = 136;
    const ROUTER: u8 = 0x80;
    const OVERRIDE: u8 = 0x20;
    const OPTION_TARGET_HARDWARE: [u8; 2] = [2, 1];
    let mut packet = [0; 32];
    packet[0] = TYPE;
    packet[4] = OVERRIDE | if is_router { ROUTER } else { 0 };
    packet[8..24].copy_from_slice(&address.octets());
    packet[24..26].copy_from_slice(&OPTION_TARGET_HARDWARE);
    packet[26..32].copy_from_slice(&hardware);
    packet
}
