//! The lab: real clients and real servers, with a director between them, in network
//! namespaces of their own.
//!
//! A test makes a [`Lab`], starts [`RealServer`]s and a [`Director`] in it, and looks at what a
//! [`Client`] sees:
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use wvs_tests::{Director, Distribution, Lab, LabOptions, ServerOptions};
//!
//! let lab = Lab::new(LabOptions { backends: 2, ..LabOptions::default() })?;
//! let servers = lab.start_servers(&ServerOptions::default())?;
//! let director = Director::start(&lab, r#"
//!     [[service]]
//!     name = "web"
//!     listen = ["tcp://10.0.0.100:80"]
//!     forward = "nat"
//!     scheduler = "rr"
//!     manage_vip = { interface = "eth0" }
//!     [[service.backend]]
//!     address = "10.1.0.11:8080"
//!     [[service.backend]]
//!     address = "10.1.0.12:8080"
//! "#)?;
//! let seen = lab.client().ask_many(lab.vip(80), 10);
//! assert_eq!(seen, Distribution::of(&[("rs1", 5), ("rs2", 5)]));
//! # Ok(())
//! # }
//! ```
//!
//! Declare the lab first: locals are dropped in reverse, so servers and clients are gone
//! before the namespaces they live in.

#![forbid(unsafe_code)]

mod addresses;
mod arrivals;
mod bpffs;
mod clients;
mod config;
mod connection;
pub mod demo;
mod director;
mod distribution;
mod flood;
mod foreign_queue;
mod held;
mod inquiries;
mod lab;
mod listing;
mod longlived;
mod namespace;
mod offloads;
mod ping;
mod sctp;
mod sctp_wire;
mod servers;
mod stage;
mod stale;
mod topology;
mod transfer;
mod wait;

pub use addresses::{backend, backend6, client_source, client_source6, client_sources, vip, vip6};
pub use arrivals::Arrivals;
pub use clients::{Client, UdpAnswer};
pub use config::{Config, Service, Target, rs, rs6};
pub use connection::Answer;
pub use director::{Director, DirectorOptions, wvs_binary};
pub use distribution::Distribution;
pub use foreign_queue::ForeignQueue;
pub use held::{HeldConnections, HeldOptions, HeldReport, Lifetimes};
pub use inquiries::Said;
pub use lab::{Lab, LabOptions};
pub use listing::{assert_same_tables, assert_same_text, same_tables};
pub use longlived::{LongLived, LongLivedReport};
pub use namespace::{Namespace, Task};
pub use sctp::{SctpAnswer, SctpResponder};
pub use servers::{RealServer, ServerOptions};
pub use stage::Stage;
pub use topology::Topology;
pub use wait::{wait_for, wait_until};
