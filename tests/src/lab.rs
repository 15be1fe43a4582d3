//! The network of one test: a client, a director and real servers.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::addresses::{self, DIRECTOR, backend_host, client_hosts};
use crate::bpffs::BpfFs;
use crate::clients::Client;
use crate::namespace::Namespace;
use crate::servers::{RealServer, ServerOptions};
use crate::stale;

/// What a lab is made of.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// How many real servers.
    pub backends: usize,
    /// How many addresses of each family the client has; see [`client_sources`](crate::client_sources).
    pub client_addresses: usize,
    /// A word in the namespaces' names, for whoever looks at `ip netns` while a test hangs.
    pub name: &'static str,
}

impl Default for LabOptions {
    /// Three real servers and a client with one address.
    fn default() -> Self {
        Self {
            backends: 3,
            client_addresses: 1,
            name: "",
        }
    }
}

/// The network of one test. Dropping it removes the namespaces, also when the test panics.
///
/// | where | interface | IPv4 | IPv6 |
/// |---|---|---|---|
/// | client | `eth0` | 10.0.0.10, … /24 | fd00:a::10, … /64 |
/// | director, clients' side | `eth0` | 10.0.0.1/24 | fd00:a::1/64 |
/// | director, servers' side | `br-rs` with ports `rs1`, `rs2`, … | 10.1.0.1/24 | fd00:b::1/64 |
/// | real server `n` | `eth0` | 10.1.0.(10+n)/24 | fd00:b::(10+n)/64 |
///
/// Everybody's default route is the director, which forwards. Virtual addresses belong to whoever
/// the test is about: the director under test (`manage_vip`), or [`Lab::add_vip`].
#[derive(Debug)]
pub struct Lab {
    client: Namespace,
    director: Namespace,
    backends: Vec<Namespace>,
    bpf: BpfFs,
}

impl Lab {
    /// Creates the namespaces and connects them. When it returns, packets flow.
    ///
    /// # Errors
    /// When not run as root, or when the kernel or `ip` refuses; nothing is left behind.
    pub fn new(options: LabOptions) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the lab makes network namespaces: run its tests as root"
        );
        stale::sweep_once();
        let prefix = stale::fresh_prefix(options.name);
        let named = |role: &str| Namespace::named(format!("{prefix}{role}"));
        let lab = Self {
            client: named("client"),
            director: named("director"),
            backends: (1..=options.backends).map(|n| named(&format!("rs{n}"))).collect(),
            bpf: BpfFs::mount(&format!("{prefix}bpf"))?,
        };
        stale::create(&lab.names())?;
        lab.set_up(&options)?;
        Ok(lab)
    }

    fn set_up(&self, options: &LabOptions) -> Result<()> {
        thread::scope(|scope| {
            let settings: Vec<_> = self
                .namespaces()
                .map(|namespace| scope.spawn(move || namespace.sysctls(&settings(self, namespace))))
                .collect();
            settings
                .into_iter()
                .try_for_each(|thread| thread.join().expect("does not panic"))
        })?;
        self.director.ip_batch(&self.director_links())?;
        thread::scope(|scope| {
            let client = scope.spawn(|| self.client.ip_batch(&client_links(options.client_addresses)));
            for (n, backend) in (1..).zip(&self.backends) {
                backend.ip_batch(&backend_links(n))?;
            }
            client.join().expect("does not panic")
        })?;
        self.namespaces().try_for_each(Namespace::settle)
    }

    /// The director's side makes all links and sends each far end to its namespace.
    fn director_links(&self) -> String {
        // Far ends get low interface numbers, near ends high ones. Were the two ends of a veth
        // numbered alike, the kernel would take it for a device without a peer and could delay
        // the news that its carrier is up, and with it IPv6, by a second (linkwatch_urgent_event).
        let mut batch = format!(
            "link set lo up\n\
             link add eth0 index 100 type veth peer name eth0 netns {}\n\
             link add br-rs index 101 type bridge\n",
            self.client.name()
        );
        let mut line = |text: String| {
            batch.push_str(&text);
            batch.push('\n');
        };
        for (n, backend) in (1..).zip(&self.backends) {
            line(format!(
                "link add rs{n} index {} type veth peer name eth0 netns {}",
                101 + n,
                backend.name()
            ));
            line(format!("link set rs{n} master br-rs up"));
        }
        line("link set eth0 up".into());
        line("link set br-rs up".into());
        line(format!("addr add {}/24 dev eth0", addresses::client_net(DIRECTOR)));
        line(format!("addr add {}/64 dev eth0 nodad", addresses::client_net6(DIRECTOR)));
        line(format!("addr add {}/24 dev br-rs", addresses::backend_net(DIRECTOR)));
        line(format!("addr add {}/64 dev br-rs nodad", addresses::backend_net6(DIRECTOR)));
        batch
    }

    /// The client.
    pub fn client(&self) -> Client {
        Client::new(self.client.clone())
    }

    /// A client on the director itself.
    pub fn local_client(&self) -> Client {
        Client::new(self.director.clone())
    }

    /// Where the director pins what is to outlive it.
    pub fn pin_dir(&self) -> PathBuf {
        self.bpf.path().join("wvs")
    }

    /// The client's namespace.
    pub fn client_ns(&self) -> &Namespace {
        &self.client
    }

    /// The director's namespace.
    pub fn director_ns(&self) -> &Namespace {
        &self.director
    }

    /// The namespace of real server `n`, counted from 1 like their names.
    ///
    /// # Panics
    /// When the lab has no such real server.
    pub fn backend_ns(&self, n: usize) -> &Namespace {
        let known = self.backends.len();
        n.checked_sub(1)
            .and_then(|index| self.backends.get(index))
            .unwrap_or_else(|| panic!("this lab has real servers 1 to {known}, not {n}"))
    }

    /// How many real servers there are room for.
    pub fn backends(&self) -> usize {
        self.backends.len()
    }

    /// The first virtual address with a port, `10.0.0.100:port`; more are in [`vip`](crate::vip).
    pub fn vip(&self, port: u16) -> SocketAddr {
        SocketAddr::new(addresses::vip(0), port)
    }

    /// The first virtual address with a port, `[fd00:a::100]:port`.
    pub fn vip6(&self, port: u16) -> SocketAddr {
        SocketAddr::new(addresses::vip6(0), port)
    }

    /// Gives the director a virtual address, on the interface its clients see.
    ///
    /// # Errors
    /// When the director has it already.
    pub fn add_vip(&self, vip: IpAddr) -> Result<()> {
        let arguments = match vip {
            IpAddr::V4(_) => format!("addr add {vip}/32 dev eth0"),
            IpAddr::V6(_) => format!("addr add {vip}/128 dev eth0 nodad"),
        };
        self.director.ip(&arguments)?;
        self.director.settle()
    }

    /// Starts real server `n`, named `rs<n>`; it listens when this returns.
    ///
    /// # Errors
    /// When an address or port cannot be had.
    pub fn start_server(&self, n: usize, options: &ServerOptions) -> Result<RealServer> {
        let addresses = [addresses::backend(n), addresses::backend6(n)];
        RealServer::start_in(self.backend_ns(n), &format!("rs{n}"), &addresses, options)
    }

    /// Starts a server on the director itself, named `local`, at the addresses of
    /// [`ServerOptions::also_at`].
    ///
    /// # Errors
    /// When an address or port cannot be had.
    pub fn start_local_server(&self, options: &ServerOptions) -> Result<RealServer> {
        RealServer::start_in(&self.director, "local", &[], options)
    }

    /// Starts all real servers; index 0 is `rs1`.
    ///
    /// # Errors
    /// As [`Lab::start_server`].
    pub fn start_servers(&self, options: &ServerOptions) -> Result<Vec<RealServer>> {
        (1..=self.backends())
            .map(|n| self.start_server(n, options))
            .collect()
    }

    /// Cuts the cable of real server `n`: no refusals, packets vanish.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn unplug(&self, n: usize) -> Result<()> {
        self.cable(n, "down")
    }

    /// Mends what [`Lab::unplug`] cut.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn plug(&self, n: usize) -> Result<()> {
        self.cable(n, "up")
    }

    fn cable(&self, n: usize, state: &str) -> Result<()> {
        self.backend_ns(n);
        // The director's end, so that the real server keeps its addresses and routes.
        self.director.ip(&format!("link set rs{n} {state}")).map(drop)
    }

    /// Everything worth knowing about the director's network, for a failing test's output.
    ///
    /// # Errors
    /// When `nft` or `ip` cannot be run.
    pub fn describe_director(&self) -> Result<String> {
        let mut command = self.director.command("nft");
        command.args(["list", "ruleset"]);
        let ruleset = crate::namespace::feed(command, "").context("nft list ruleset")?;
        let addresses = self.director.ip("-brief addr")?;
        Ok(format!("{addresses}\n{}", String::from_utf8_lossy(&ruleset.stdout)))
    }

    fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        [&self.client, &self.director].into_iter().chain(&self.backends)
    }

    /// The names of all its namespaces.
    pub fn names(&self) -> Vec<&str> {
        self.namespaces().map(Namespace::name).collect()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // Nothing to be done about a failure here; the next test process sweeps what is left.
        let _ = stale::remove(&self.names());
    }
}

fn client_links(count: usize) -> String {
    let mut batch = String::from("link set lo up\nlink set eth0 up\n");
    for host in client_hosts(count) {
        let (v4, v6) = (addresses::client_net(host), addresses::client_net6(host));
        let _ = write!(batch, "addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n");
    }
    batch + &default_routes(addresses::client_net(DIRECTOR).into(), addresses::client_net6(DIRECTOR).into())
}

fn backend_links(n: usize) -> String {
    let host = backend_host(n);
    let (v4, v6) = (addresses::backend_net(host), addresses::backend_net6(host));
    format!(
        "link set lo up\nlink set eth0 up\n\
         addr add {v4}/24 dev eth0\naddr add {v6}/64 dev eth0 nodad\n"
    ) + &default_routes(addresses::backend_net(DIRECTOR).into(), addresses::backend_net6(DIRECTOR).into())
}

fn default_routes(v4: IpAddr, v6: IpAddr) -> String {
    format!("route add default via {v4}\nroute add ::/0 via {v6}\n")
}

/// What differs from the kernel's defaults, and why.
fn settings(lab: &Lab, namespace: &Namespace) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        // An address is usable at once: nobody else can have it.
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/router_solicitations", "0"),
        // IPv4 settings of a new namespace are copies of the host's (devconf_inherit_init_net).
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        // By default a host sends six ICMP errors and then one a second, which would turn
        // refused datagrams into time-outs.
        ("net/ipv4/icmp_ratelimit", "0"),
        ("net/ipv6/icmp/ratelimit", "0"),
    ];
    if namespace.name() == lab.director.name() {
        settings.extend([
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
        ]);
        // Frames between real servers are not the director's business; without br_netfilter in
        // the kernel they never were.
        if std::path::Path::new("/proc/sys/net/bridge").exists() {
            settings.extend([
                ("net/bridge/bridge-nf-call-iptables", "0"),
                ("net/bridge/bridge-nf-call-ip6tables", "0"),
            ]);
        }
    } else if namespace.name() == lab.client.name() {
        settings.push(("net/ipv4/ip_local_port_range", "10000 65000"));
    }
    settings
}
