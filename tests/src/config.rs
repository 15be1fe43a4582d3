//! Configuration files, written by tests.

use std::fmt::{self, Display};
use std::net::{IpAddr, SocketAddr};

use crate::addresses::{backend, backend6, vip, vip6};

/// The port that real servers listen on for the web.
const WEB: u16 = 8080;

/// Where real server `n` serves the web in IPv4: `10.1.0.11:8080` for 1.
pub fn rs(n: usize) -> SocketAddr {
    SocketAddr::new(backend(n), WEB)
}

/// Where real server `n` serves the web in IPv6: `[fd00:b::11]:8080` for 1.
pub fn rs6(n: usize) -> SocketAddr {
    SocketAddr::new(backend6(n), WEB)
}

/// A configuration file.
///
/// ```
/// use wvs_tests::{Config, Service, Target, rs};
/// let web = Service::web().scheduler("wlc").backend(Target::new(rs(4)).weight(3));
/// let config = Config::of([web]).director("ct_mark_mask", "\"0x00ff0000\"");
/// assert!(config.to_string().contains("[[service.backend]]\naddress = \"10.1.0.14:8080\"\nweight = 3\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Config {
    director: Vec<(String, String)>,
    services: Vec<Service>,
}

impl Config {
    /// A configuration of these services.
    pub fn of(services: impl IntoIterator<Item = Service>) -> Self {
        Self {
            director: Vec::new(),
            services: services.into_iter().collect(),
        }
    }

    /// With a setting of the director; the value is TOML.
    #[must_use]
    pub fn director(mut self, key: &str, value: &str) -> Self {
        self.director.push((key.to_owned(), value.to_owned()));
        self
    }
}

impl From<Service> for Config {
    fn from(service: Service) -> Self {
        Self::of([service])
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.director.is_empty() {
            writeln!(f, "[director]")?;
            settings(f, &self.director)?;
        }
        self.services.iter().try_for_each(|service| service.fmt(f))
    }
}

/// A virtual service. The director manages its addresses unless told otherwise.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    listen: Vec<String>,
    settings: Vec<(String, String)>,
    manage_vip: Option<String>,
    backends: Vec<Target>,
}

impl Service {
    /// A service without backends.
    pub fn new(name: &str, listen: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            listen: listen.iter().map(|&listen| listen.to_owned()).collect(),
            settings: Vec::new(),
            manage_vip: Some("{ interface = \"eth0\" }".to_owned()),
            backends: Vec::new(),
        }
    }

    /// `web`: TCP 80 of the first virtual address, with real servers 1 to 3.
    pub fn web() -> Self {
        let listen = format!("tcp://{}", SocketAddr::new(vip(0), 80));
        Self::new("web", &[&listen]).backends((1..=3).map(rs))
    }

    /// `web` in IPv4 and IPv6, with real servers 1 to 3 of each.
    pub fn web_of_both_families() -> Self {
        Self::web()
            .listen(&format!("tcp://{}", SocketAddr::new(vip6(0), 80)))
            .backends((1..=3).map(rs6))
    }

    /// `web` by direct routing or tunnels: real servers 1 to 3 without a port, which stays as it is.
    pub fn direct(forward: &str) -> Self {
        Self::web().forward(forward).only((1..=3).map(backend))
    }

    /// The same in IPv4 and IPv6.
    pub fn direct_of_both_families(forward: &str) -> Self {
        Self::direct(forward)
            .listen(&format!("tcp://{}", SocketAddr::new(vip6(0), 80)))
            .backends((1..=3).map(backend6))
    }

    /// Listens on this, too.
    #[must_use]
    pub fn listen(mut self, listen: &str) -> Self {
        self.listen.push(listen.to_owned());
        self
    }

    /// With a setting; the value is TOML.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With a scheduler by name.
    #[must_use]
    pub fn scheduler(self, name: &str) -> Self {
        self.set("scheduler", &quoted(name))
    }

    /// With a scheduler by name or path, and parameters for it.
    #[must_use]
    pub fn scheduler_with(self, plugin: impl AsRef<str>, params: &[(&str, &str)]) -> Self {
        let params: Vec<String> = params
            .iter()
            .map(|(key, value)| format!("{key} = {}", quoted(value)))
            .collect();
        let plugin = quoted(plugin.as_ref());
        self.set("scheduler", &format!("{{ plugin = {plugin}, params = {{ {} }} }}", params.join(", ")))
    }

    /// With another forwarding method.
    #[must_use]
    pub fn forward(self, method: &str) -> Self {
        self.set("forward", &quoted(method))
    }

    /// With source addresses for full NAT.
    #[must_use]
    pub fn source(self, pools: &[&str]) -> Self {
        let pools: Vec<String> = pools.iter().map(|pool| quoted(pool)).collect();
        self.set("source", &format!("[{}]", pools.join(", ")))
    }

    /// Its addresses are not the director's business.
    #[must_use]
    pub fn unmanaged(mut self) -> Self {
        self.manage_vip = None;
        self
    }

    /// Its addresses are managed on another interface than `eth0`.
    #[must_use]
    pub fn managed_on(mut self, interface: &str) -> Self {
        self.manage_vip = Some(format!("{{ interface = {} }}", quoted(interface)));
        self
    }

    /// Other ports of its addresses answer with a reject.
    #[must_use]
    pub fn reject_other_ports(mut self) -> Self {
        self.manage_vip = Some("{ interface = \"eth0\", reject_other_ports = true }".to_owned());
        self
    }

    /// With one more backend.
    #[must_use]
    pub fn backend(mut self, backend: impl Into<Target>) -> Self {
        self.backends.push(backend.into());
        self
    }

    /// With more backends.
    #[must_use]
    pub fn backends<T: Into<Target>>(mut self, backends: impl IntoIterator<Item = T>) -> Self {
        self.backends.extend(backends.into_iter().map(Into::into));
        self
    }

    /// With these backends instead of those it has.
    #[must_use]
    pub fn only<T: Into<Target>>(mut self, backends: impl IntoIterator<Item = T>) -> Self {
        self.backends.clear();
        self.backends(backends)
    }

    /// With real servers 1, 2, … of these weights instead of the backends it has.
    #[must_use]
    pub fn weights(self, weights: &[u32]) -> Self {
        self.only(
            (1..)
                .zip(weights)
                .map(|(n, &weight)| Target::new(rs(n)).weight(weight)),
        )
    }
}

impl Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listen: Vec<String> = self.listen.iter().map(|listen| quoted(listen)).collect();
        writeln!(f, "[[service]]\nname = {}\nlisten = [{}]", quoted(&self.name), listen.join(", "))?;
        settings(f, &self.settings)?;
        if let Some(manage_vip) = &self.manage_vip {
            writeln!(f, "manage_vip = {manage_vip}")?;
        }
        for Target {
            address,
            settings: own,
        } in &self.backends
        {
            writeln!(f, "[[service.backend]]\naddress = {}", quoted(address))?;
            settings(f, own)?;
        }
        Ok(())
    }
}

/// A backend of a service.
#[derive(Clone, Debug)]
pub struct Target {
    address: String,
    settings: Vec<(String, String)>,
}

impl Target {
    /// A backend at an address, with or without a port.
    pub fn new(address: impl Display) -> Self {
        Self {
            address: address.to_string(),
            settings: Vec::new(),
        }
    }

    fn set(mut self, key: &str, value: String) -> Self {
        self.settings.push((key.to_owned(), value));
        self
    }

    /// With a weight.
    #[must_use]
    pub fn weight(self, weight: u32) -> Self {
        self.set("weight", weight.to_string())
    }

    /// With another setting; the value is TOML.
    #[must_use]
    pub fn with(self, key: &str, value: &str) -> Self {
        self.set(key, value.to_owned())
    }

    /// Draining.
    #[must_use]
    pub fn drained(self) -> Self {
        self.set("drain", "true".to_owned())
    }

    /// With another forwarding method than its service.
    #[must_use]
    pub fn forward(self, method: &str) -> Self {
        self.set("forward", quoted(method))
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self::new(address)
    }
}

impl From<IpAddr> for Target {
    fn from(address: IpAddr) -> Self {
        Self::new(address)
    }
}

fn settings(f: &mut fmt::Formatter<'_>, settings: &[(String, String)]) -> fmt::Result {
    settings
        .iter()
        .try_for_each(|(key, value)| writeln!(f, "{key} = {value}"))
}

/// A TOML string; tests have no use for characters that it would have to escape.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
