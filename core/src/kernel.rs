//! The doors to the kernel, behind traits so that all decisions run in tests without root.
//!
//! Nothing here decides anything: a door applies what it is given and reads what is there.

pub mod announce;
pub mod code;
pub mod conntrack;
mod fou;
mod links;
pub mod memory;
mod netlink;
pub mod nft;
pub mod probe;
pub mod queue;
pub mod real_server;
mod routes;
mod sysctl;
pub mod tc;
pub mod vip;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::plan::{Observed, Plan};
use crate::ruleset::{Family, IdMap, Protocol};
use crate::scheduler::{BackendId, Load};
use crate::tc::Route;

/// Why the kernel refused a plan, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// A step of the plan was refused; nothing of the plan was applied.
    #[error("the kernel refused `{step}`")]
    Refused {
        /// The step, as nft would write it.
        step: String,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// Somebody else changed the ruleset since it was read; nothing of the plan was applied.
    #[error("the ruleset changed while the plan was made")]
    Stale,
    /// The netlink socket failed.
    #[error("netlink: cannot {action}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The kernel's answer does not parse.
    #[error("netlink: {0}")]
    Malformed(String),
}

/// Packets and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Traffic {
    /// Packets (connections, where each connection's first packet counts).
    pub packets: u64,
    /// Bytes of the IP packets.
    pub bytes: u64,
}

/// What the element counters say of one backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct BackendTraffic {
    /// Connections that nftables chose it for.
    pub connections: u64,
    /// Connections that the tc program chose it for and left to nftables.
    pub chosen: u64,
    /// From clients to it.
    pub sent: Traffic,
    /// From it to clients.
    pub received: Traffic,
}

/// A client that the kernel remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// Its address; the first one, where many are one client.
    pub client: IpAddr,
    /// The backend that it was sent to.
    pub backend: BackendId,
    /// Seconds until it is forgotten, unless it comes again.
    pub expires: u32,
}

/// nftables: our tables and nobody else's.
pub trait Nft {
    /// Reads all that is ours.
    fn observe(&mut self) -> Result<Observed, NftError>;
    /// The ruleset's generation now. Cheap: one message.
    fn generation(&mut self) -> Result<u32, NftError>;
    /// Applies a plan that was made against `generation`, as one batch, and says the new generation.
    fn commit(&mut self, plan: &Plan, generation: u32) -> Result<u32, NftError>;
    /// Reads the element counters of a family. The keys of `received` and `sent` are shifted down by `shift`.
    fn traffic(
        &mut self,
        family: Family,
        shift: u32,
    ) -> Result<BTreeMap<BackendId, BackendTraffic>, NftError>;
    /// How many connections the first rule of a chain that counts has seen: where its `numgen` stands.
    fn position(&mut self, family: Family, chain: &str) -> Result<u64, NftError>;
    /// What each chain's rules have seen that count, in their order.
    fn counted(&mut self, family: Family) -> Result<BTreeMap<String, Vec<u64>>, NftError>;
    /// One client that a map remembers, if it does.
    fn client(&mut self, family: Family, map: &IdMap, client: IpAddr)
    -> Result<Option<Remembered>, NftError>;
    /// Clients that a map remembers, by address; none where there is no such map. Where there are more than `most`,
    /// so many and some: for every message of its answer the kernel begins at the first element again, so that
    /// 65,536 take 0.4 s and 262,144 take 6 s.
    fn remembered(&mut self, family: Family, map: &IdMap, most: usize) -> Result<Vec<Remembered>, NftError>;
    /// Deletes our tables and guards, and says whether there were any.
    fn teardown(&mut self) -> Result<bool, NftError>;
}

/// Our bits of the conntrack mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkMask {
    /// The bits, contiguous, at least eight.
    pub mask: u32,
}

impl MarkMask {
    /// A backend's id in place.
    pub fn bits(self, id: BackendId) -> u32 {
        u32::from(id.0) << self.shift()
    }

    /// The id in a mark, if there is one.
    pub fn id(self, mark: u32) -> Option<BackendId> {
        match (mark & self.mask) >> self.shift() {
            0 => None,
            id => u16::try_from(id).ok().map(BackendId),
        }
    }

    /// How far our lowest bit is from the lowest bit.
    pub fn shift(self) -> u32 {
        self.mask.trailing_zeros()
    }

    /// The highest id that fits.
    pub fn highest(self) -> u16 {
        u16::try_from(self.mask >> self.shift()).unwrap_or(u16::MAX)
    }
}

/// One tracked connection of ours.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Flow {
    /// TCP, UDP or SCTP.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// What it asked for.
    pub target: SocketAddr,
    /// Where it was sent: the backend's answers come from here.
    pub server: SocketAddr,
    /// The backend by our bits of the mark.
    pub backend: BackendId,
    /// conntrack's word for the state: `ESTABLISHED`, `TIME_WAIT`, … ; `UNREPLIED` or `ASSURED` for UDP.
    pub state: String,
    /// Seconds until it is forgotten.
    pub expires: u32,
}

/// Why conntrack could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[error("conntrack: cannot {action}")]
pub struct ConntrackError {
    /// What was tried.
    pub action: &'static str,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// conntrack: connections that carry our bits.
pub trait Conntrack {
    /// Counts the connections of every backend, by one walk of the table.
    fn loads(&mut self, mask: MarkMask) -> Result<BTreeMap<BackendId, Load>, ConntrackError>;
    /// One connection by its client's packets, without a walk.
    fn flow(
        &mut self,
        mask: MarkMask,
        protocol: Protocol,
        client: SocketAddr,
        target: SocketAddr,
    ) -> Result<Option<Flow>, ConntrackError>;
    /// Lists connections, at most `limit`, and says how many there are.
    fn flows(&mut self, mask: MarkMask, limit: usize) -> Result<(Vec<Flow>, usize), ConntrackError>;
    /// Forgets all connections of some backends, so that their next packet is answered with a reset, and says
    /// how many there were.
    fn cut(&mut self, mask: MarkMask, backends: &[BackendId]) -> Result<usize, ConntrackError>;
}

/// Why a virtual address cannot be managed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {address} on interface {interface}{hint}")]
pub struct AddressError {
    /// What was tried.
    pub action: &'static str,
    /// The virtual address.
    pub address: IpAddr,
    /// Where.
    pub interface: String,
    /// What to do about it; empty or beginning with `; `.
    pub hint: String,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

/// The routes to hosts, or why there are none.
pub type Routes = BTreeMap<IpAddr, Result<Route, String>>;

/// Virtual addresses on interfaces, and the way to backends.
pub trait Addresses {
    /// Puts an address on an interface (`ip address add ADDRESS/32 dev INTERFACE`) and announces it to the
    /// neighbours. Says whether it was missing.
    fn ensure(&mut self, address: IpAddr, interface: &str) -> Result<bool, AddressError>;
    /// Takes an address off an interface. Says whether it was there.
    fn remove(&mut self, address: IpAddr, interface: &str) -> Result<bool, AddressError>;
    /// Whether the interface exists; else an error that names those that do.
    fn interface(&mut self, address: IpAddr, interface: &str) -> Result<(), AddressError>;
    /// Why no packet can be sent to an address (`ip route get`), if so.
    fn unreachable(&mut self, address: IpAddr) -> Option<String>;
    /// The routes to some hosts (`ip route get`, `ip neigh`), or why there are none.
    fn routes(&mut self, hosts: &BTreeSet<IpAddr>) -> std::io::Result<Routes>;
    /// Has the kernel make sure of a neighbour's hardware address.
    fn make_sure(&mut self, ifindex: u32, neighbour: IpAddr) -> std::io::Result<()>;
    /// The names of all interfaces (`ip link`).
    fn interface_names(&mut self) -> std::io::Result<BTreeSet<String>>;
    /// Which interfaces hold these addresses (`ip address`), but for the loopback.
    fn holders(
        &mut self,
        addresses: &BTreeSet<IpAddr>,
    ) -> std::io::Result<BTreeMap<IpAddr, BTreeSet<String>>>;
    /// Whether the host forwards packets of a family (`net.ipv4.ip_forward`, `net.ipv6.conf.all.forwarding`).
    fn forwards(&mut self, family: Family) -> bool;
}

/// All doors, owned by one thread.
pub struct Doors {
    /// nftables.
    pub nft: Box<dyn Nft>,
    /// conntrack.
    pub conntrack: Box<dyn Conntrack>,
    /// Addresses and routes.
    pub addresses: Box<dyn Addresses>,
    /// The tc program.
    pub tc: Box<dyn tc::Tc>,
    /// Queues of packets.
    pub queues: Box<dyn queue::Queues>,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Doors")
    }
}

/// Why this host cannot be a director: what it lacks, each with its fix.
#[derive(Debug, thiserror::Error)]
#[error("this host cannot be a director{}", lines(.0))]
pub struct HostError(pub Vec<probe::Finding>);

fn lines(findings: &[probe::Finding]) -> String {
    let line = |it: &probe::Finding| {
        let fix = it
            .fix
            .as_ref()
            .map_or_else(String::new, |fix| format!("\n    fix: {fix}"));
        format!("\n  {}: {}{fix}", it.name, it.detail)
    };
    findings.iter().map(line).collect()
}

/// Opens all doors, where the host has what they lead to.
pub fn open_doors() -> Result<Doors, HostError> {
    let missing: Vec<_> = probe::required()
        .into_iter()
        .filter(|finding| !finding.ok)
        .collect();
    if !missing.is_empty() {
        return Err(HostError(missing));
    }
    let closed = |name: &str, detail: String| {
        HostError(vec![probe::Finding {
            name: name.to_owned(),
            ok: false,
            detail,
            fix: None,
        }])
    };
    let nft = nft::NftSocket::open().map_err(|error| closed("nftables", crate::chain(&error)))?;
    let conntrack =
        conntrack::ConntrackSocket::open().map_err(|error| closed("conntrack", crate::chain(&error)))?;
    let addresses = vip::RouteSocket::open().map_err(|error| closed("rtnetlink", error.to_string()))?;
    Ok(Doors {
        nft: Box::new(nft),
        conntrack: Box::new(conntrack),
        addresses: Box::new(addresses),
        tc: Box::new(tc::TcProgram::default()),
        queues: Box::new(queue::KernelQueues),
    })
}
