//! Echo requests, without a `ping` that a machine may lack.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use crate::clients::Client;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

impl Client {
    /// Sends one ICMP echo request and waits for its reply.
    ///
    /// # Errors
    /// `TimedOut` after 2 s without a reply from this address.
    pub fn ping(&self, to: IpAddr) -> io::Result<()> {
        self.namespace().run(|| ping(to))
    }
}

fn ping(to: IpAddr) -> io::Result<()> {
    static SEQUENCE: AtomicU16 = AtomicU16::new(1);
    let (domain, protocol, request, reply) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    // Only the replies of this address.
    socket.connect(&SocketAddr::new(to, 0).into())?;
    let [high, low] = SEQUENCE.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let mut packet = [request, 0, 0, 0, b'w', b'v', high, low];
    // The kernel adds ICMPv6's checksum, which covers addresses, by itself (RFC 3542, 3.1).
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    socket.send(&packet)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let mut buffer = [0; 512];
        let read = match socket.read(&mut buffer) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        // Raw sockets hand out the IP header in IPv4 and keep it in IPv6 (raw(7), ipv6(7)).
        let header = if to.is_ipv4() {
            usize::from(buffer[0] & 0xf) * 4
        } else {
            0
        };
        if read >= header + 8 && buffer[header] == reply && buffer[header + 4..header + 8] == packet[4..8] {
            return Ok(());
        }
    }
}

/// The Internet checksum of a packet whose checksum is 0 (RFC 1071).
fn checksum(packet: &[u8; 8]) -> u16 {
    let words = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(folded).expect("eight bytes carry at most once")
}
