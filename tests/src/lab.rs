//! The network of one test: a client, a director and real servers.

mod settings;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::thread;

use anyhow::{Context, Result, ensure};
use wvs_tc_bpf::Decapsulator;

use self::settings::{Role, settings};
use crate::addresses;
use crate::bpffs::BpfFs;
use crate::clients::Client;
use crate::namespace::Namespace;
use crate::servers::{RealServer, ServerOptions};
use crate::stale;
use crate::topology::{Topology, bridge, cable};

/// What a lab is made of.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// How many real servers.
    pub backends: usize,
    /// How many addresses of each family the client has; see [`client_sources`](crate::client_sources).
    pub client_addresses: usize,
    /// How they are connected.
    pub topology: Topology,
    /// Whether real servers take tunnels apart, by wvs's decapsulator.
    pub tunnels: bool,
    /// A word in the namespaces' names, for whoever looks at `ip netns` while a test hangs.
    pub name: &'static str,
}

impl Default for LabOptions {
    /// Three real servers and a client with one address.
    fn default() -> Self {
        Self {
            backends: 3,
            client_addresses: 1,
            topology: Topology::TwoArms,
            tunnels: false,
            name: "",
        }
    }
}

impl LabOptions {
    /// Everybody on one switch, for direct routing.
    pub fn one_arm() -> Self {
        Self {
            topology: Topology::OneArm,
            ..Self::default()
        }
    }

    /// Everybody on one switch, and real servers at which tunnels end.
    pub fn tunnels() -> Self {
        Self {
            tunnels: true,
            ..Self::one_arm()
        }
    }

    /// Real servers at which tunnels end, in a network behind a router.
    pub fn routed() -> Self {
        Self {
            topology: Topology::Routed,
            tunnels: true,
            ..Self::default()
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
///
/// With a switch ([`Topology::OneArm`], [`Topology::Routed`]) the director has one interface, and the addresses are
/// the same: in one network of 10.0.0.0/15 and fd00:a::/31, or with the router at 10.0.0.2 and 10.1.0.1.
#[derive(Debug)]
pub struct Lab {
    client: Namespace,
    director: Namespace,
    switch: Option<Namespace>,
    router: Option<Namespace>,
    backends: Vec<Namespace>,
    topology: Topology,
    bpf: BpfFs,
}

/// The interface number of the director's cable.
const DIRECTORS_CABLE: u32 = 100;

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
        let topology = options.topology;
        let lab = Self {
            client: named("client"),
            director: named("director"),
            switch: topology.has_switch().then(|| named("switch")),
            router: (topology == Topology::Routed).then(|| named("router")),
            backends: (1..=options.backends).map(|n| named(&format!("rs{n}"))).collect(),
            topology,
            bpf: BpfFs::mount(&format!("{prefix}bpf"))?,
        };
        stale::create(&lab.names())?;
        lab.set_up(&options)?;
        Ok(lab)
    }

    fn set_up(&self, options: &LabOptions) -> Result<()> {
        thread::scope(|scope| {
            let settings: Vec<_> = self
                .roles()
                .map(|(role, host)| scope.spawn(move || host.sysctls(&settings(self.topology, role))))
                .collect();
            settings
                .into_iter()
                .try_for_each(|thread| thread.join().expect("does not panic"))
        })?;
        self.lay_cables()?;
        thread::scope(|scope| {
            let client = scope.spawn(|| {
                self.client
                    .ip_batch(&self.topology.client(options.client_addresses))
            });
            self.director.ip_batch(&self.topology.director())?;
            for (n, backend) in (1..).zip(&self.backends) {
                backend.ip_batch(&self.topology.backend(n))?;
                if let Some(rule) = self.topology.rule6(n) {
                    backend.ip(&rule)?;
                }
            }
            client.join().expect("does not panic")
        })?;
        self.namespaces().try_for_each(Namespace::settle)?;
        if options.tunnels {
            (1..=self.backends()).try_for_each(|n| self.end_tunnels(n))?;
        }
        Ok(())
    }

    /// One side makes all links and sends each far end to its namespace.
    fn lay_cables(&self) -> Result<()> {
        let servers = || {
            let names = (1..).map(|n| format!("rs{n}"));
            names.zip(&self.backends)
        };
        let hosts = [
            ("client", Some(&self.client)),
            ("director", Some(&self.director)),
            ("router", self.router.as_ref()),
        ];
        let hosts = hosts
            .into_iter()
            .filter_map(|(name, host)| Some((name.to_owned(), host?)));
        match (&self.switch, &self.router) {
            (None, _) => {
                let client = cable("eth0", DIRECTORS_CABLE, &self.client);
                self.director.ip_batch(&(client + &bridge("br-rs", servers())))
            }
            (Some(switch), None) => switch.ip_batch(&bridge("br0", hosts.chain(servers()))),
            (Some(switch), Some(router)) => {
                switch.ip_batch(&bridge("br0", hosts))?;
                router.ip_batch(&(bridge("br-rs", servers()) + &self.topology.router()))
            }
        }
    }

    /// Where the near ends of the real servers' cables are.
    fn hub(&self) -> &Namespace {
        self.router
            .as_ref()
            .or(self.switch.as_ref())
            .unwrap_or(&self.director)
    }

    /// Has real server `n` take apart what is tunnelled to its addresses.
    fn end_tunnels(&self, n: usize) -> Result<()> {
        let pins = self.bpf.path().join(format!("rs{n}"));
        self.backend_ns(n).run(|| {
            let mut decapsulator = Decapsulator::load(&pins)?;
            for address in [addresses::backend(n), addresses::backend6(n)] {
                decapsulator.add(address)?;
            }
            // It is pinned, and stays without us.
            decapsulator.attach("eth0")?;
            Ok(())
        })
    }

    /// Takes the director's only interface away, as a driver that is unloaded does.
    ///
    /// # Errors
    /// When it is not there.
    pub fn remove_director_interface(&self) -> Result<()> {
        self.director.ip("link del eth0").map(drop)
    }

    /// Gives the director an interface again, with the name and the addresses of the one before.
    ///
    /// # Errors
    /// When it has one, or the lab has no switch.
    pub fn return_director_interface(&self) -> Result<()> {
        let switch = self.switch.as_ref().context("this lab has no switch")?;
        let port = cable("director", DIRECTORS_CABLE, &self.director);
        switch.ip_batch(&(port + "link set director master br0 up\n"))?;
        self.director.ip_batch(&self.topology.director())?;
        self.director.settle()
    }

    /// Gives real server `n` another hardware address, and has it tell the network so, as a virtual machine that moves
    /// or an address that a stand-in takes over does.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn change_hardware_address(&self, n: usize, to: &str) -> Result<()> {
        let server = self.backend_ns(n);
        server.sysctls(&[
            ("net/ipv4/conf/eth0/arp_notify", "1"),
            ("net/ipv6/conf/eth0/ndisc_notify", "1"),
        ])?;
        server.ip(&format!("link set eth0 address {to}")).map(drop)
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

    /// Where real servers listen in this lab: with a switch at virtual addresses too.
    pub fn server_options(&self) -> ServerOptions {
        if self.topology.has_switch() {
            ServerOptions::direct()
        } else {
            ServerOptions::default()
        }
    }

    /// The router's namespace.
    ///
    /// # Panics
    /// When the lab has none.
    pub fn router_ns(&self) -> &Namespace {
        self.router
            .as_ref()
            .expect("a lab of `LabOptions::routed` has a router")
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
        // The near end, so that the real server keeps its addresses and routes.
        self.hub().ip(&format!("link set rs{n} {state}")).map(drop)
    }

    /// The director's network, for a failing test's output.
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

    fn roles(&self) -> impl Iterator<Item = (Role, &Namespace)> {
        let always = [(Role::Client, &self.client), (Role::Director, &self.director)].into_iter();
        let switch = self.switch.iter().map(|host| (Role::Switch, host));
        let router = self.router.iter().map(|host| (Role::Router, host));
        let servers = self.backends.iter().map(|host| (Role::RealServer, host));
        always.chain(switch).chain(router).chain(servers)
    }

    fn namespaces(&self) -> impl Iterator<Item = &Namespace> {
        self.roles().map(|(_, host)| host)
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
