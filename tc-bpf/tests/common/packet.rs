//! Packets, byte by byte, and independent of the model: what a test wants to send, and what it wants to see.

use std::net::IpAddr;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const SYN: u8 = 2;
pub const ACK: u8 = 16;
pub const FIN: u8 = 1;
pub const RST: u8 = 4;

pub fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    }
    while sum >> 16 > 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An Ethernet header from and to the loopback interface, where made-up packets arrive.
pub fn ethernet(payload: &[u8]) -> Vec<u8> {
    framed([0; 6], [0; 6], &[], payload)
}

/// With VLAN tags: (protocol, tag).
pub fn framed(to: [u8; 6], from: [u8; 6], tags: &[(u16, u16)], payload: &[u8]) -> Vec<u8> {
    let mut frame = [to, from].concat();
    for (protocol, tag) in tags {
        frame.extend(protocol.to_be_bytes());
        frame.extend(tag.to_be_bytes());
    }
    frame.extend(if payload[0] >> 4 == 4 {
        [0x08, 0x00]
    } else {
        [0x86, 0xdd]
    });
    frame.extend(payload);
    frame
}

#[derive(Clone, Debug)]
pub struct Ip {
    pub from: IpAddr,
    pub to: IpAddr,
    pub proto: u8,
    pub ttl: u8,
    pub tos: u8,
    pub df: bool,
    pub id: u16,
    /// More fragments, and the offset in units of 8 bytes.
    pub fragment: (bool, u16),
    pub options: Vec<u8>,
    /// IPv6 extension headers: number and content, whose first byte will be the next number.
    pub extensions: Vec<(u8, Vec<u8>)>,
}

impl Ip {
    pub fn new(from: IpAddr, to: IpAddr, proto: u8) -> Self {
        Self {
            from,
            to,
            proto,
            ttl: 64,
            tos: 0,
            df: true,
            id: 0x1234,
            fragment: (false, 0),
            options: Vec::new(),
            extensions: Vec::new(),
        }
    }

    pub fn with(&self, payload: &[u8]) -> Vec<u8> {
        if self.from.is_ipv6() {
            return self.with6(payload);
        }
        let header = 20 + self.options.len();
        let (more, offset) = self.fragment;
        let fragment = u16::from(self.df) << 14 | u16::from(more) << 13 | offset;
        let mut ip = vec![0x40 | (header / 4) as u8, self.tos];
        ip.extend(((header + payload.len()) as u16).to_be_bytes());
        ip.extend(self.id.to_be_bytes());
        ip.extend(fragment.to_be_bytes());
        ip.extend([self.ttl, self.proto, 0, 0]);
        ip.extend(octets(self.from));
        ip.extend(octets(self.to));
        ip.extend(&self.options);
        let check = !sum(&ip);
        ip[10..12].copy_from_slice(&check.to_be_bytes());
        ip.extend(payload);
        ip
    }

    fn with6(&self, payload: &[u8]) -> Vec<u8> {
        let mut rest = Vec::new();
        let mut numbers: Vec<u8> = self.extensions.iter().map(|(number, _)| *number).collect();
        numbers.push(self.proto);
        for ((_, content), next) in self.extensions.iter().zip(&numbers[1..]) {
            rest.push(*next);
            rest.extend(&content[1..]);
        }
        rest.extend(payload);
        let mut ip = vec![0x60 | self.tos >> 4, self.tos << 4, 0, 0];
        ip.extend((rest.len() as u16).to_be_bytes());
        ip.extend([numbers[0], self.ttl]);
        ip.extend(octets(self.from));
        ip.extend(octets(self.to));
        ip.extend(rest);
        ip
    }
}

pub fn tcp(sport: u16, dport: u16, flags: u8, data: &[u8]) -> Vec<u8> {
    let mut tcp = sport.to_be_bytes().to_vec();
    tcp.extend(dport.to_be_bytes());
    tcp.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 1, 0, 0xab, 0xcd, 0, 0]);
    tcp.extend(data);
    tcp
}

pub fn udp(sport: u16, dport: u16, data: &[u8]) -> Vec<u8> {
    let mut udp = sport.to_be_bytes().to_vec();
    udp.extend(dport.to_be_bytes());
    udp.extend(((8 + data.len()) as u16).to_be_bytes());
    udp.extend([0xab, 0xcd]);
    udp.extend(data);
    udp
}

/// The transport's part with the checksum that it should have; without, where it is UDP's and zero, or there is none.
pub fn checked(ip: &Ip, l4: &[u8]) -> Vec<u8> {
    let at = match ip.proto {
        TCP => 16,
        UDP if l4[6..8] != [0, 0] => 6,
        1 | 58 => 2,
        _ => return l4.to_vec(),
    };
    let mut l4 = l4.to_vec();
    l4[at..at + 2].fill(0);
    let pseudo = if ip.proto == 1 {
        Vec::new()
    } else {
        pseudo(ip, l4.len())
    };
    let check = match !sum(&[&pseudo[..], &l4].concat()) {
        0 => 0xffff,
        check => check,
    };
    l4[at..at + 2].copy_from_slice(&check.to_be_bytes());
    l4
}

/// What checksums of a transport cover besides its part.
pub fn pseudo(ip: &Ip, length: usize) -> Vec<u8> {
    let length = (length as u16).to_be_bytes();
    [&octets(ip.from)[..], &octets(ip.to), &[0, ip.proto], &length].concat()
}
