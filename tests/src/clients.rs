//! The client's short requests: one connection or one datagram each.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;

use crate::connection::{Answer, PATIENCE, open, within};
use crate::distribution::Distribution;
use crate::namespace::Namespace;

/// Where datagrams come from.
const UDP_PORTS: Range<u16> = 10_000..65_000;

/// A client: asks from its namespace, from one of its addresses.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Lab, LabOptions, client_sources};
/// let lab = Lab::new(LabOptions { client_addresses: 20, ..LabOptions::default() })?;
/// let answer = lab.client().ask(lab.vip(80))?;
/// println!("{} was reached at {}", answer.server, answer.local);
/// // One question from each of twenty addresses.
/// let servers = lab.client().ask_from_each(&client_sources(20), lab.vip(80));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    namespace: Namespace,
    source: Option<IpAddr>,
}

/// What a real server says to a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UdpAnswer {
    /// The real server's name, `rs1`.
    pub server: String,
    /// The client, as the real server sees it.
    pub peer: SocketAddr,
    /// What the client sent.
    pub payload: String,
}

impl Client {
    pub(crate) fn new(namespace: Namespace) -> Self {
        Self {
            namespace,
            source: None,
        }
    }

    /// The same client, asking from this address from now on. Targets of the other family are
    /// asked from the kernel's choice.
    #[must_use]
    pub fn from(&self, source: IpAddr) -> Self {
        Self {
            source: Some(source),
            ..self.clone()
        }
    }

    pub(crate) fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub(crate) fn source(&self) -> Option<IpAddr> {
        self.source
    }

    /// Opens one connection, reads who answers, and closes it.
    ///
    /// # Errors
    /// `ConnectionRefused`, `ConnectionReset`, `TimedOut` (2 s for the connection, 2 s for the
    /// name), `UnexpectedEof`, `HostUnreachable` …: the kind tells.
    pub fn ask(&self, to: SocketAddr) -> io::Result<Answer> {
        let source = self.source;
        self.namespace
            .block_on(move || async move { Ok(open(to, source).await?.1) })
    }

    /// Asks `n` times, one after the other.
    pub fn ask_many(&self, to: SocketAddr, n: usize) -> Distribution {
        let source = self.source;
        self.namespace.block_on(move || async move {
            let mut seen = Distribution::default();
            for _ in 0..n {
                let asked = open(to, source).await;
                seen.count(
                    asked
                        .as_ref()
                        .map(|(_, answer)| &*answer.server)
                        .map_err(io::Error::kind),
                );
            }
            seen
        })
    }

    /// Asks once from each of these addresses, and tells who answered each.
    pub fn ask_from_each(
        &self,
        sources: &[IpAddr],
        to: SocketAddr,
    ) -> BTreeMap<IpAddr, Result<String, io::ErrorKind>> {
        self.namespace.block_on(|| async move {
            let mut seen = BTreeMap::new();
            for &source in sources {
                let asked = open(to, Some(source)).await;
                seen.insert(source, asked.map(|(_, answer)| answer.server).map_err(|e| e.kind()));
            }
            seen
        })
    }

    /// Sends one datagram from a fresh source port and waits for the answer.
    ///
    /// # Errors
    /// `ConnectionRefused` when an ICMP error came back, `TimedOut` after 2 s of silence.
    pub fn ask_udp(&self, to: SocketAddr, payload: &str) -> io::Result<UdpAnswer> {
        let source = self.source;
        self.namespace.block_on(move || ask_udp(to, source, payload))
    }

    /// Sends `n` datagrams, one after the other, each from a fresh source port.
    pub fn ask_udp_many(&self, to: SocketAddr, n: usize) -> Distribution {
        let source = self.source;
        self.namespace.block_on(move || async move {
            let mut seen = Distribution::default();
            for _ in 0..n {
                let asked = ask_udp(to, source, "ping").await;
                seen.count(
                    asked
                        .as_ref()
                        .map(|answer| &*answer.server)
                        .map_err(io::Error::kind),
                );
            }
            seen
        })
    }

    /// Sends `n` datagrams, one after the other, all from one source port.
    pub fn ask_udp_from_one_port(&self, to: SocketAddr, n: usize) -> Distribution {
        let source = self.source;
        self.namespace.block_on(move || async move {
            let mut seen = Distribution::default();
            let socket = async {
                let socket = fresh_udp_socket(to, source).await?;
                socket.connect(to).await?;
                io::Result::Ok(socket)
            };
            match socket.await {
                Err(error) => seen.count(Err(error.kind())),
                Ok(socket) => {
                    for _ in 0..n {
                        let asked = exchange_udp(&socket, "ping").await;
                        seen.count(asked.as_ref().map(|it| &*it.server).map_err(io::Error::kind));
                    }
                }
            }
            seen
        })
    }
}

async fn ask_udp(to: SocketAddr, source: Option<IpAddr>, payload: &str) -> io::Result<UdpAnswer> {
    let socket = fresh_udp_socket(to, source).await?;
    // Connected, so that ICMP errors arrive and answers from another address than asked do not.
    socket.connect(to).await?;
    exchange_udp(&socket, payload).await
}

async fn exchange_udp(socket: &UdpSocket, payload: &str) -> io::Result<UdpAnswer> {
    socket.send(payload.as_bytes()).await?;
    let mut buffer = vec![0; 65_536];
    let read = within(PATIENCE, socket.recv(&mut buffer)).await?;
    parse_udp(&String::from_utf8_lossy(&buffer[..read]))
}

/// A socket at a port that no datagram of this process has used before.
///
/// The kernel draws ports by chance, and conntrack remembers each for half a minute: a port drawn
/// again would belong to an old flow, and be answered by its server instead of the next one.
async fn fresh_udp_socket(to: SocketAddr, source: Option<IpAddr>) -> io::Result<UdpSocket> {
    static USED: AtomicUsize = AtomicUsize::new(0);
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = source
        .filter(|source| source.is_ipv4() == to.is_ipv4())
        .unwrap_or(any);
    let ports = usize::from(UDP_PORTS.end - UDP_PORTS.start);
    for _ in 0..ports {
        let offset = USED.fetch_add(1, Ordering::Relaxed) % ports;
        let port = UDP_PORTS.start + u16::try_from(offset).expect("less than there are ports");
        match UdpSocket::bind(SocketAddr::new(source, port)).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn parse_udp(text: &str) -> io::Result<UdpAnswer> {
    let mut words = text.splitn(3, ' ');
    let parsed = (|| {
        let server = words.next()?.to_owned();
        let peer = words.next()?.parse().ok()?;
        Some(UdpAnswer {
            server,
            peer,
            payload: words.next()?.to_owned(),
        })
    })();
    parsed.ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("not a real server's answer: {text:?}"))
    })
}
