//! A lab with running servers and a running director: what most tests begin with.

use std::net::SocketAddr;

use anyhow::Result;

use crate::clients::Client;
use crate::config::Config;
use crate::director::Director;
use crate::lab::{Lab, LabOptions};
use crate::namespace::Namespace;
use crate::servers::RealServer;

/// A director at work between a client and running real servers.
///
/// ```no_run
/// # fn main() -> anyhow::Result<()> {
/// # use wvs_tests::{Distribution, Service, Stage};
/// let stage = Stage::up(Service::web())?;
/// let seen = stage.client().ask_many(stage.web(), 30);
/// assert_eq!(seen, Distribution::of(&[("rs1", 10), ("rs2", 10), ("rs3", 10)]));
/// # Ok(())
/// # }
/// ```
// Fields are dropped in this order: the namespaces go last.
#[derive(Debug)]
pub struct Stage {
    /// The director.
    pub director: Director,
    /// The real servers; index 0 is `rs1`.
    pub servers: Vec<RealServer>,
    /// The network.
    pub lab: Lab,
}

impl Stage {
    /// Three real servers and a client with one address.
    ///
    /// # Errors
    /// When the lab cannot be built or the director does not start.
    pub fn up(config: impl Into<Config>) -> Result<Self> {
        Self::with(LabOptions::default(), config)
    }

    /// With so many real servers.
    ///
    /// # Errors
    /// As [`Stage::up`].
    pub fn with_servers(backends: usize, config: impl Into<Config>) -> Result<Self> {
        Self::with(
            LabOptions {
                backends,
                ..LabOptions::default()
            },
            config,
        )
    }

    /// With another lab.
    ///
    /// # Errors
    /// As [`Stage::up`].
    pub fn with(options: LabOptions, config: impl Into<Config>) -> Result<Self> {
        Self::prepared(options, config, |_| Ok(()))
    }

    /// With something done to the lab before the director starts.
    ///
    /// # Errors
    /// As [`Stage::up`], and when `prepare` fails.
    pub fn prepared(
        options: LabOptions,
        config: impl Into<Config>,
        prepare: impl FnOnce(&Lab) -> Result<()>,
    ) -> Result<Self> {
        let lab = Lab::new(options)?;
        let servers = lab.start_servers(&lab.server_options())?;
        prepare(&lab)?;
        let director = Director::start(&lab, &config.into().to_string())?;
        Ok(Self {
            director,
            servers,
            lab,
        })
    }

    /// The client.
    pub fn client(&self) -> Client {
        self.lab.client()
    }

    /// Where the web is served, in IPv4.
    pub fn web(&self) -> SocketAddr {
        self.lab.vip(80)
    }

    /// Where the web is served, in IPv6.
    pub fn web6(&self) -> SocketAddr {
        self.lab.vip6(80)
    }

    /// The director's namespace.
    pub fn ns(&self) -> &Namespace {
        self.lab.director_ns()
    }

    /// That a configuration is refused for these reasons, by `apply` and in the file, and that nothing comes of it.
    ///
    /// # Errors
    /// When the director cannot be asked.
    ///
    /// # Panics
    /// When it is not refused, or changes something.
    pub fn assert_refused(&self, config: &Config, reasons: &[&str]) -> Result<()> {
        let running = || -> Result<_> {
            let config = self.director.ok(&["export", "config"])?;
            Ok((config, self.director.number("commits")?, self.ns().tables()?))
        };
        let before = running()?;
        self.director.apply(config)?.assert_failed(reasons);
        self.director.write_config(&config.to_string())?;
        self.director.says(&["reload"])?.assert_failed(reasons);
        assert_eq!(running()?, before, "a refused configuration changed something");
        assert_eq!(self.client().ask_many(self.web(), 3).answered(), 3);
        Ok(())
    }
}
