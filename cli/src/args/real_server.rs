//! `wvs real-server`: on the backends' hosts.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use wvs_core::config::Tunnel;
use wvs_core::real_server;
use wvs_core::ruleset::Family;

/// `wvs real-server`
#[derive(Debug, Subcommand)]
pub enum RealServerCommand {
    /// Let this host take in packets for virtual addresses
    Setup(SetupArgs),
    /// Take back what setup has changed
    Undo(UndoArgs),
    /// What this host needs as a real server, and how it is
    Status(StatusArgs),
}

/// How packets come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Direct routing: as they are, from the same network (`ipvsadm -g`).
    Dr,
    /// In a tunnel (`ipvsadm -i`).
    Tun,
}

impl From<Mode> for real_server::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Dr => real_server::Mode::Dr,
            Mode::Tun => real_server::Mode::Tun,
        }
    }
}

/// The family of outer headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Outer {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl From<Outer> for Family {
    fn from(outer: Outer) -> Self {
        match outer {
            Outer::Ipv4 => Family::V4,
            Outer::Ipv6 => Family::V6,
        }
    }
}

/// Where what was changed is written down.
#[derive(Args, Debug)]
pub struct Places {
    /// Where it is written down what was changed
    #[arg(long, value_name = "DIR", default_value = "/var/lib/wvs")]
    pub state_dir: PathBuf,
    /// The BPF file system's folder that the decapsulator is pinned in
    #[arg(long, value_name = "DIR", default_value = "/sys/fs/bpf/wvs")]
    pub pin_dir: PathBuf,
    /// The root of the file system that systemd's unit is in
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    pub root: PathBuf,
}

/// `wvs real-server setup`
#[derive(Args, Debug)]
#[command(after_help = "\
Run it on a real server; no director is needed there. What is well already stays as it is, and a second run changes
nothing. What goes wrong half way is taken back. The addresses may grow by and by; for anything else undo it first.

Examples:
  wvs real-server setup --vip 10.0.0.100 --mode dr --persistent
  wvs real-server setup --vip 10.0.0.100,2001:db8::100 --mode tun --interface eth0
  wvs real-server setup --vip 10.0.0.100 --mode tun --tunnel gue:6080 --dry-run")]
pub struct SetupArgs {
    /// The virtual addresses
    #[arg(long = "vip", value_name = "ADDR", required = true, value_delimiter = ',')]
    pub vips: Vec<IpAddr>,
    /// How their packets come
    #[arg(long, value_enum)]
    pub mode: Mode,
    /// The tunnel, as in the director's configuration: ipip, gre or gue:PORT, perhaps with +checksum [default: ipip]
    #[arg(long, value_name = "TUNNEL")]
    pub tunnel: Option<Tunnel>,
    /// The family of the tunnels' outer headers [default: that of each virtual address]
    #[arg(long, value_name = "FAMILY", value_enum)]
    pub outer: Option<Outer>,
    /// The interface that packets come in on: needed where the kernel has no ipip and a program takes its place
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Also set it up at each boot, by a unit of systemd
    #[arg(long)]
    pub persistent: bool,
    /// Only say what would be changed
    #[arg(long, conflicts_with = "persistent")]
    pub dry_run: bool,
    /// Where things lie
    #[command(flatten)]
    pub places: Places,
}

/// `wvs real-server undo`
#[derive(Args, Debug)]
#[command(after_help = "\
Restores what was there before setup, and removes only what setup has added. What somebody else has changed since is
left alone and named.

Examples:
  wvs real-server undo
  wvs real-server undo --vip 10.0.0.100")]
pub struct UndoArgs {
    /// Only for these virtual addresses
    #[arg(long = "vip", value_name = "ADDR", value_delimiter = ',')]
    pub vips: Vec<IpAddr>,
    /// Where things lie
    #[command(flatten)]
    pub places: Places,
}

/// `wvs real-server status`
#[derive(Args, Debug)]
#[command(after_help = "\
Looks at what was set up or, with --vip and --mode, at what a setup like that would need, whoever made it. Ends with 4
if something is missing.

Examples:
  wvs real-server status
  wvs real-server status --vip 10.0.0.100 --mode dr -o json")]
pub struct StatusArgs {
    /// The virtual addresses, instead of those that were set up
    #[arg(long = "vip", value_name = "ADDR", value_delimiter = ',', requires = "mode")]
    pub vips: Vec<IpAddr>,
    /// How their packets come
    #[arg(long, value_enum, requires = "vips")]
    pub mode: Option<Mode>,
    /// The tunnel [default: ipip]
    #[arg(long, value_name = "TUNNEL", requires = "vips")]
    pub tunnel: Option<Tunnel>,
    /// The family of the tunnels' outer headers [default: that of each virtual address]
    #[arg(long, value_name = "FAMILY", value_enum, requires = "vips")]
    pub outer: Option<Outer>,
    /// The interface that packets come in on
    #[arg(long, value_name = "NAME", requires = "vips")]
    pub interface: Option<String>,
    /// Where things lie
    #[command(flatten)]
    pub places: Places,
}

/// What is wished, or asked for.
struct Named<'a> {
    vips: &'a [IpAddr],
    mode: Mode,
    tunnel: Option<Tunnel>,
    outer: Option<Outer>,
    interface: Option<&'a String>,
    places: &'a Places,
}

impl Named<'_> {
    fn wish(&self) -> Result<real_server::Wish, String> {
        if self.mode == Mode::Dr && (self.tunnel.is_some() || self.outer.is_some()) {
            return Err(
                "direct routing has no tunnel: leave out --tunnel and --outer, or say --mode tun".to_owned()
            );
        }
        if let Some(vip) = self.vips.iter().find(|vip| !is_usable(**vip)) {
            return Err(format!("{vip} cannot be a virtual address"));
        }
        Ok(real_server::Wish {
            vips: self.vips.iter().copied().collect::<BTreeSet<_>>(),
            mode: self.mode.into(),
            tunnel: self.tunnel.unwrap_or_default(),
            outer: self.outer.map(Family::from),
            interface: self.interface.cloned(),
            pin_dir: self.places.pin_dir.clone(),
        })
    }
}

fn is_usable(vip: IpAddr) -> bool {
    let is_link_local = match vip {
        IpAddr::V4(vip) => vip.is_link_local() || vip.is_broadcast(),
        IpAddr::V6(vip) => vip.is_unicast_link_local() || vip.to_ipv4_mapped().is_some(),
    };
    !(is_link_local || vip.is_loopback() || vip.is_multicast() || vip.is_unspecified())
}

impl SetupArgs {
    /// What is wished.
    pub fn wish(&self) -> Result<real_server::Wish, String> {
        Named {
            vips: &self.vips,
            mode: self.mode,
            tunnel: self.tunnel,
            outer: self.outer,
            interface: self.interface.as_ref(),
            places: &self.places,
        }
        .wish()
    }
}

impl StatusArgs {
    /// What is asked for, if it was said.
    pub fn wish(&self) -> Result<Option<real_server::Wish>, String> {
        let named = self.mode.map(|mode| Named {
            vips: &self.vips,
            mode,
            tunnel: self.tunnel,
            outer: self.outer,
            interface: self.interface.as_ref(),
            places: &self.places,
        });
        named.map(|named| named.wish()).transpose()
    }
}
