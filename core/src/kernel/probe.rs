//! What this host offers, found out by trying.

mod program;

use std::fmt::Display;
use std::time::Duration;

use super::conntrack::ConntrackSocket;
use super::nft::NftSocket;
use super::{NftError, sysctl};
use crate::plan::{Op, Plan};
use crate::ruleset::{Direction, Family, Hook, IdMap, MapName, Protocol, Rule, Statement};
use crate::scheduler::HashKey;

pub use program::program;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at.
    pub name: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is.
    pub detail: String,
    /// What to do about it, if it is not as it should be.
    pub fix: Option<String>,
}

impl Finding {
    pub(crate) fn good(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Finding {
            name: name.into(),
            ok: true,
            detail: detail.into(),
            fix: None,
        }
    }

    pub(crate) fn bad(name: impl Into<String>, detail: impl Display, fix: impl Into<String>) -> Self {
        Finding {
            name: name.into(),
            ok: false,
            detail: detail.to_string(),
            fix: Some(fix.into()),
        }
    }
}

/// The oldest kernel with everything that rulesets use: counters of a set's elements.
const OLDEST: (u32, u32) = (5, 14);
/// Entries of conntrack by hundred above which new connections are in danger.
const FULL: u64 = 90;

/// Looks at everything that address translation needs.
pub fn host() -> Vec<Finding> {
    let mut findings = required();
    findings.extend(Family::ALL.map(forwarding));
    findings
}

/// Looks at what no director can do without: the kernel, privileges, nftables, conntrack.
pub fn required() -> Vec<Finding> {
    let mut findings = vec![
        kernel(),
        capability(caps::Capability::CAP_NET_ADMIN, "to change nftables, conntrack and addresses"),
        capability(caps::Capability::CAP_NET_RAW, "to announce addresses"),
    ];
    findings.extend(nftables());
    findings.push(conntrack());
    findings
}

fn kernel() -> Finding {
    let release = match nix::sys::utsname::uname() {
        Ok(names) => names.release().to_string_lossy().into_owned(),
        Err(error) => return Finding::bad("kernel", error, "none known"),
    };
    let mut numbers = release.split(['.', '-']).map_while(|it| it.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) < OLDEST => {
            let (major, minor) = OLDEST;
            Finding::bad("kernel", &release, format!("run Linux {major}.{minor} or newer"))
        }
        _ => Finding::good("kernel", release),
    }
}

fn capability(capability: caps::Capability, purpose: &str) -> Finding {
    let name = capability.to_string();
    match caps::has_cap(None, caps::CapSet::Effective, capability) {
        Ok(true) => Finding::good(name, "held"),
        Ok(false) => {
            let fix = format!("run as root, or give the unit AmbientCapabilities={name}");
            Finding::bad(name, format_args!("missing; it is needed {purpose}"), fix)
        }
        Err(error) => Finding::bad(name, error, "none known"),
    }
}

fn forwarding(family: Family) -> Finding {
    let name = sysctl::forwarding(family);
    match sysctl::number(name) {
        Ok(0) => {
            let detail = format!("off: {family} packets to backends on other hosts are dropped");
            Finding::bad(name, detail, format!("sysctl -w {name}=1"))
        }
        Ok(_) => Finding::good(name, "on"),
        Err(error) => Finding::bad(name, error, format!("load the module of {family}")),
    }
}

fn conntrack() -> Finding {
    const NAME: &str = "conntrack";
    let counted = ConntrackSocket::open().and_then(|mut socket| socket.count());
    match counted {
        Ok((count, most)) if most > 0 && count * 100 / most >= FULL => Finding::bad(
            NAME,
            format_args!("{count} of {most} connections: nearly full"),
            format!("sysctl -w net.netfilter.nf_conntrack_max={}", most * 4),
        ),
        Ok((count, most)) => Finding::good(NAME, format!("{count} of {most} connections")),
        Err(error) => Finding::bad(
            NAME,
            format_args!("{error}: {}", error.source),
            "modprobe nf_conntrack_netlink, or a kernel with CONFIG_NF_CT_NETLINK",
        ),
    }
}

/// Something that rulesets use, and the steps that try it.
struct Feature {
    name: &'static str,
    modules: &'static str,
    ops: Vec<Op>,
}

/// The chain without a hook that rules are tried in.
const CHAIN: &str = "try";
/// The slot map that choices are tried with.
const SLOTS: &str = "slots-try";

fn feature(name: &'static str, modules: &'static str, ops: fn(Family) -> Vec<Op>) -> Feature {
    Feature {
        name,
        modules,
        ops: Family::ALL.into_iter().flat_map(ops).collect(),
    }
}

fn rule(family: Family, chain: &str, statements: Vec<Statement>) -> Op {
    Op::AddRule(
        family,
        chain.to_owned(),
        Rule {
            statements,
            comment: None,
        },
    )
}

fn hook(family: Family, name: &str, hook: Hook) -> Op {
    Op::AddChain(family, name.to_owned(), Some(hook))
}

/// All features. Later ones stand on what earlier ones have made.
fn features() -> Vec<Feature> {
    vec![
        feature("tables and chains", "nf_tables", |family| {
            vec![
                Op::AddTable(family),
                Op::AddChain(family, CHAIN.to_owned(), None),
                hook(family, "forward", Hook::FilterForward),
            ]
        }),
        feature("maps", "nf_tables", |family| {
            vec![
                Op::AddMap(family, MapName::Services),
                Op::AddMap(family, MapName::Marks),
                Op::AddSlots(family, SLOTS.to_owned(), 2),
                rule(family, CHAIN, vec![Statement::GotoService(MapName::Services)]),
            ]
        }),
        feature("ranges of ports in maps (Linux 5.6)", "nf_tables", |family| {
            vec![Op::AddMap(family, MapName::ServiceRanges)]
        }),
        feature("counters of elements (Linux 5.12)", "nf_tables", |family| {
            [MapName::Backends, MapName::Sent, MapName::Received]
                .map(|map| Op::AddMap(family, map))
                .into()
        }),
        feature("address translation", "nft_chain_nat nft_nat nft_masq", |family| {
            let address = if family == Family::V4 {
                [127, 0, 0, 1].into()
            } else {
                [0, 0, 0, 0, 0, 0, 0, 1].into()
            };
            let tcp = Statement::Protocols(vec![Protocol::Tcp]);
            vec![
                hook(family, "prerouting", Hook::NatPrerouting),
                hook(family, "output", Hook::NatOutput),
                hook(family, "postrouting", Hook::NatPostrouting),
                rule(
                    family,
                    "prerouting",
                    vec![
                        tcp,
                        Statement::Dnat {
                            address,
                            port: Some(1),
                        },
                    ],
                ),
                rule(
                    family,
                    "postrouting",
                    vec![Statement::Snat {
                        first: address,
                        last: address,
                    }],
                ),
                rule(family, "postrouting", vec![Statement::Masquerade]),
            ]
        }),
        feature("conntrack marks", "nft_ct nf_conntrack", |family| {
            let direction = Statement::Direction(Direction::Original);
            vec![rule(
                family,
                CHAIN,
                vec![direction, Statement::SetMark { mask: 1, bits: 1 }],
            )]
        }),
        feature("numgen", "nft_numgen", |family| {
            vec![rule(
                family,
                CHAIN,
                vec![Statement::Cycle {
                    map: SLOTS.to_owned(),
                    size: 2,
                }],
            )]
        }),
        feature("jhash", "nft_hash", |family| {
            let hash = Statement::Hash {
                map: SLOTS.to_owned(),
                size: 2,
                key: HashKey::Both,
                seed: 1,
            };
            vec![rule(family, CHAIN, vec![hash])]
        }),
        feature("maps that rules add to", "nf_tables", |family| {
            let (map, bits) = (IdMap::Persist("try".to_owned()), 1);
            let remember = Statement::Remember {
                map: map.clone(),
                bits,
                timeout: Duration::from_secs(1),
            };
            let look_up = Statement::LookUpClient {
                map: map.clone(),
                bits,
            };
            vec![
                Op::AddIdMap(family, map.clone()),
                rule(family, CHAIN, vec![look_up, remember]),
                rule(family, CHAIN, vec![Statement::Forget { map, bits }]),
            ]
        }),
        feature("reject", "nft_reject_ipv4 nft_reject_ipv6", |family| {
            vec![
                rule(family, CHAIN, vec![Statement::RejectTcp]),
                rule(family, CHAIN, vec![Statement::Reject]),
            ]
        }),
    ]
}

/// Tries everything that rulesets use, in one batch of which nothing stays.
fn nftables() -> Vec<Finding> {
    let features = features();
    let plan = Plan {
        ops: features.iter().flat_map(|it| it.ops.iter().cloned()).collect(),
    };
    let refusals = match NftSocket::open().and_then(|mut nft| nft.rehearse(&plan)) {
        Ok(refusals) => refusals,
        Err(error) => return vec![unusable(&error)],
    };
    if let Some((_, why)) = refusals.iter().find(|(step, _)| step.is_none()) {
        let fix = match why.kind() {
            std::io::ErrorKind::PermissionDenied => "run as root or with CAP_NET_ADMIN",
            _ => "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES",
        };
        return vec![Finding::bad("nftables", why, fix)];
    }
    let mut start = 0;
    let finding = |feature: &Feature| {
        let steps = start..start + feature.ops.len();
        start = steps.end;
        let name = format!("nftables: {}", feature.name);
        let refusal = refusals.iter().find_map(|(step, why)| {
            let step = step.filter(|step| steps.contains(step))?;
            Some((plan.ops.get(step)?, why))
        });
        match refusal {
            None => Finding::good(name, "works"),
            Some((op, why)) => {
                let fix = format!("modprobe -a {}, or a newer kernel", feature.modules);
                Finding::bad(name, format_args!("the kernel refused `{op}`: {why}"), fix)
            }
        }
    };
    features.iter().map(finding).collect()
}

fn unusable(error: &NftError) -> Finding {
    let detail = with_causes(error);
    Finding::bad("nftables", detail, "modprobe nf_tables, or a kernel with CONFIG_NF_TABLES")
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
