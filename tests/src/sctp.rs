//! SCTP without the kernel's help: associations are opened by hand through raw sockets.
//!
//! NAT of SCTP can so be tested on kernels without SCTP sockets, and where reply packets come
//! from is seen as it is on the wire.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use crate::clients::Client;
use crate::namespace::Namespace;
use crate::sctp_wire::{PROTOCOL, Packet};

/// How long a client waits for INIT ACK.
const PATIENCE: Duration = Duration::from_secs(2);

/// The answer to an INIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SctpAnswer {
    /// The real server's name, `rs1`.
    pub server: String,
    /// The client, as the real server sees it.
    pub peer: SocketAddr,
    /// Where the answer came from, as the client sees it: the virtual service, if NAT is right.
    pub from: SocketAddr,
}

/// Answers every INIT that reaches a real server, at any port, with INIT ACK.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Lab, LabOptions, SctpResponder};
/// # let lab = Lab::new(LabOptions::default())?;
/// let responder = SctpResponder::start(lab.backend_ns(1), "rs1")?;
/// let answer = lab.client().ask_sctp(lab.vip(38412))?;
/// assert_eq!((answer.server.as_str(), answer.from), ("rs1", lab.vip(38412)));
/// assert_eq!(responder.seen()[0].port(), 38412); // where at the real server
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SctpResponder {
    seen: Arc<Mutex<Vec<SocketAddr>>>,
    /// Closing it ends the thread.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl SctpResponder {
    /// Starts answering in a real server's namespace, IPv4 and IPv6, as `name`.
    ///
    /// # Errors
    /// When raw sockets cannot be had.
    pub fn start(namespace: &Namespace, name: &str) -> Result<Self> {
        let open = || Ok([raw_socket(Domain::IPV4)?, raw_socket(Domain::IPV6)?]);
        let sockets: io::Result<_> = namespace.run(open);
        let sockets = sockets.with_context(|| format!("cannot open raw SCTP sockets for {name}"))?;
        let (stop, stopped) = UnixStream::pair()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (server, theirs) = (name.to_owned(), Arc::clone(&seen));
        let thread = thread::Builder::new()
            .name(format!("{name}-sctp"))
            .spawn(move || respond(&sockets, &stopped, &server, &theirs))?;
        Ok(Self {
            seen,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The clients whose INIT has arrived, each with the *target* port it had here.
    pub fn seen(&self) -> Vec<SocketAddr> {
        self.seen.lock().expect("nothing panics while holding it").clone()
    }
}

impl Drop for SctpResponder {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A failed responder shows as silence in the test; a panic in a drop would hide it.
            let _ = thread.join();
        }
    }
}

impl Client {
    /// Sends an SCTP INIT from a fresh port and waits for the INIT ACK, whichever address that
    /// comes from.
    ///
    /// # Errors
    /// `TimedOut` after 2 s without an answer to this INIT.
    pub fn ask_sctp(&self, to: SocketAddr) -> io::Result<SctpAnswer> {
        let source = self.source();
        self.namespace().run(|| ask(to, source))
    }
}

fn ask(to: SocketAddr, source: Option<IpAddr>) -> io::Result<SctpAnswer> {
    static PORTS: AtomicU16 = AtomicU16::new(0);
    let socket = raw_socket(if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 })?;
    if let Some(source) = source.filter(|source| source.is_ipv4() == to.is_ipv4()) {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    let source_port = 20_000 + PORTS.fetch_add(1, Ordering::Relaxed) % 40_000;
    let tag = 0x7776_0000 | u32::from(source_port);
    let init = Packet {
        source_port,
        target_port: to.port(),
        verification_tag: 0,
        initiate_tag: tag,
        cookie: None,
    };
    // A raw socket's address has no port: some kernels refuse another than 0 in IPv6.
    socket.send_to(&init.encode(), &SocketAddr::new(to.ip(), 0).into())?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let (from, packet) = match receive(&socket) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        // A raw socket sees everybody's packets; the tag says which are ours.
        let Some(packet) = packet.filter(|packet| packet.verification_tag == tag) else {
            continue;
        };
        if packet.target_port == source_port {
            return answer(from, &packet);
        }
    }
}

fn answer(from: IpAddr, packet: &Packet) -> io::Result<SctpAnswer> {
    let cookie = String::from_utf8_lossy(packet.cookie.as_deref().unwrap_or_default());
    let fault =
        || io::Error::new(io::ErrorKind::InvalidData, format!("not a real server's cookie: {cookie:?}"));
    let (server, peer) = cookie.split_once(' ').ok_or_else(fault)?;
    Ok(SctpAnswer {
        server: server.to_owned(),
        peer: peer.parse().map_err(|_| fault())?,
        from: SocketAddr::new(from, packet.source_port),
    })
}

/// Answers until the other end of `stopped` is closed.
fn respond(
    sockets: &[Socket; 2],
    stopped: &UnixStream,
    server: &str,
    seen: &Mutex<Vec<SocketAddr>>,
) -> io::Result<()> {
    let [v4, v6] = sockets;
    let mut ready = [stopped.as_fd(), v4.as_fd(), v6.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    loop {
        poll(&mut ready, PollTimeout::NONE)?;
        if ready[0].any() == Some(true) {
            return Ok(());
        }
        for (socket, ready) in sockets.iter().zip(&ready[1..]) {
            if ready.any() == Some(true) {
                reply(socket, server, seen)?;
            }
        }
    }
}

/// Reads one packet and answers it when it is an INIT.
fn reply(socket: &Socket, server: &str, seen: &Mutex<Vec<SocketAddr>>) -> io::Result<()> {
    let (from, packet) = receive(socket)?;
    let Some(init) = packet.filter(|packet| packet.cookie.is_none()) else {
        return Ok(());
    };
    let arrived = SocketAddr::new(from, init.target_port);
    seen.lock()
        .expect("nothing panics while holding it")
        .push(arrived);
    let peer = SocketAddr::new(from, init.source_port);
    let ack = Packet {
        source_port: init.target_port,
        target_port: init.source_port,
        verification_tag: init.initiate_tag,
        initiate_tag: !init.initiate_tag,
        cookie: Some(format!("{server} {peer}").into_bytes()),
    };
    socket.send_to(&ack.encode(), &SocketAddr::new(from, 0).into())?;
    Ok(())
}

fn raw_socket(domain: Domain) -> io::Result<Socket> {
    Socket::new(domain, Type::RAW, Some(Protocol::from(PROTOCOL)))
}

/// One packet and who sent it; no packet for one that is not a sound INIT or INIT ACK.
fn receive(socket: &Socket) -> io::Result<(IpAddr, Option<Packet>)> {
    let mut buffer = [0; 2048];
    let (read, from) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer)?;
    let bytes = &buffer[..read];
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (Some(v4), _) => {
            // Raw sockets hand out the IP header in IPv4 and keep it in IPv6 (raw(7), ipv6(7)).
            let header = bytes.first().map_or(0, |first| usize::from(first & 0xf) * 4);
            Ok((v4.ip().into(), bytes.get(header..).and_then(Packet::decode)))
        }
        (_, Some(v6)) => Ok((v6.ip().into(), Packet::decode(bytes))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
