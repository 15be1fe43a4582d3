//! From services to a ruleset.

mod asked;
mod clients;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::refusal::{CLOSED, refuse};
use super::{
    Chain, Direction, Elements, Family, Hook, Key, MapName, Protocol, Rule, Ruleset, Statement, Table,
};
use crate::config::{Backend, Config, Forward, Listen, PortRange, Service};
use crate::dispatch::DispatchTable;
use crate::ids::BackendIds;
use crate::kernel::MarkMask;
use crate::pool::{PoolKey, families, members};
use crate::scheduler::{BackendId, Dispatch};

pub use asked::{ask_chain, asked_service, asks};
pub use clients::{client_bits, client_map, follows_weights};

/// jhash's seed, the same on every director, so that several of them choose alike.
pub const HASH_SEED: u32 = 0x7776_7300;

/// What a ruleset depends on besides the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The director's own addresses, as far as backends have them.
    pub local: BTreeSet<IpAddr>,
    /// The queue in which connections wait whose scheduler is asked; none where nobody would answer.
    pub queue: Option<u16>,
}

/// The chain that every new connection is led through.
const DISPATCH: &str = "dispatch";
/// The chain that counts the packets of our connections.
const ACCOUNT: &str = "account";
/// The chain for what the tc program has found no backend for.
const REFUSED: &str = "refused";

/// The name of a service's chain.
pub fn service_chain(service: &str) -> String {
    format!("svc-{service}")
}

/// The name of a service's slot map.
pub fn slot_map(service: &str) -> String {
    format!("slots-{service}")
}

fn backend_chain(id: BackendId) -> String {
    format!("be-{}", id.0)
}

fn source_chain(service: &str) -> String {
    format!("src-{service}")
}

/// Builds what the kernel should hold: every service with every backend, and each pool's table.
///
/// A pool without a table gets an empty one: its connections are rejected.
pub fn build(
    config: &Config,
    ids: &BackendIds,
    tables: &BTreeMap<PoolKey, DispatchTable>,
    facts: &Facts,
) -> Ruleset {
    let mut ruleset = Ruleset::default();
    for service in &config.services {
        for family in families(service) {
            let table = ruleset.tables.entry(family).or_default();
            let key = PoolKey {
                service: service.name.clone(),
                family,
            };
            let mut builder = Builder {
                table,
                family,
                mark: config.director.mark(),
            };
            builder.listeners(service);
            let pool = tables.get(&key);
            let mut clients = builder.clients(config, ids, service);
            if let Some(queue) = facts.queue.filter(|_| pool.is_some_and(|it| asks(service, it))) {
                builder.asked(ids, service, &mut clients, queue);
            }
            builder.scheduler(service, pool, clients);
            if service.uses_tc() {
                builder.refused();
            }
            for backend in members(service, family) {
                if let Some(id) = ids.get(&service.name, backend.address) {
                    builder.backend(service, backend, id, facts);
                }
            }
        }
    }
    for (&family, table) in &mut ruleset.tables {
        Builder {
            table,
            family,
            mark: config.director.mark(),
        }
        .entrances();
    }
    ruleset
}

struct Builder<'a> {
    table: &'a mut Table,
    family: Family,
    mark: MarkMask,
}

impl Builder<'_> {
    fn elements(&mut self, map: MapName) -> &mut Elements {
        self.table.maps.entry(map).or_default()
    }

    fn chain(&mut self, name: String, hook: Option<Hook>, rules: Vec<Rule>) {
        self.table.chains.insert(name, Chain { hook, rules });
    }

    /// Leads a service's addresses, ports and marks to its chain.
    fn listeners(&mut self, service: &Service) {
        let target = Some(service_chain(&service.name));
        for mark in service.marks() {
            self.elements(MapName::Marks)
                .insert(Key::Mark(mark), target.clone());
        }
        let vip = service.manage_vip.as_ref();
        let closes = vip.is_some_and(|vip| vip.reject_other_ports);
        for (address, protocol, PortRange { first, last }) in service.ports_of(self.family) {
            let (map, key) = if first == last {
                (MapName::Services, Key::Service(address, protocol, first))
            } else {
                (MapName::ServiceRanges, Key::ServiceRange(address, protocol, first, last))
            };
            self.elements(map).insert(key, target.clone());
            if closes {
                self.elements(MapName::Closed).insert(Key::Address(address), None);
            }
        }
    }

    /// The service's chain: clients that stay where they were, else choose, or reject when there is nobody to choose.
    ///
    /// The counter stands before `numgen` and so says where the cycle is. A slot without an element ends the
    /// first rule; a lookup that fails does not end a chain, hence the rejects. What comes to those is counted, too.
    fn scheduler(
        &mut self,
        service: &Service,
        table: Option<&DispatchTable>,
        (before, chosen): (Vec<Vec<Statement>>, Statement),
    ) {
        let map = slot_map(&service.name);
        let size = table.map_or(service.slots, |table| table.slots.len() as u32);
        let slots = table.map_or_else(|| vec![None; size as usize], |table| table.slots.clone());
        self.table.slots.insert(map.clone(), slots);
        let choose = match table.map_or(Dispatch::Cycle, |table| table.dispatch) {
            Dispatch::Cycle | Dispatch::Flow => Statement::Cycle { map, size },
            Dispatch::Hash(key) => Statement::Hash {
                map,
                size,
                key,
                seed: HASH_SEED,
            },
        };
        let comment = Some(format!("svc={}", service.name));
        let rule = |statements| Rule {
            statements,
            comment: comment.clone(),
        };
        let choose = vec![Statement::Counter, choose, chosen];
        let rules = before.into_iter().chain([choose]).chain(refuse());
        let rules = rules.map(rule).collect();
        self.chain(service_chain(&service.name), None, rules);
    }

    /// Has what the tc program finds no backend for refused: it cannot answer by itself.
    fn refused(&mut self) {
        let reject = [Statement::RejectTcp, Statement::Reject];
        self.chain(REFUSED.into(), None, reject.map(plain).into());
        self.elements(MapName::Chosen)
            .insert(Key::Chosen(BackendId(0)), Some(REFUSED.into()));
    }

    /// A backend's chain, the ways to it, and where its packets are counted.
    fn backend(&mut self, service: &Service, backend: &Backend, id: BackendId, facts: &Facts) {
        let forward = service.forward_of(backend);
        let by_tc = forward.uses_tc();
        let local = by_tc && facts.local.contains(&backend.address.address);
        // Only a tunnel leads to a backend of the other family, and nothing that comes here has passed one.
        let far = Family::of(backend.address.address) != self.family;
        let bits = self.mark.bits(id);
        let rules = if local {
            vec![vec![Statement::ClearPriority, Statement::Accept]]
        } else if far {
            refuse().into()
        } else if by_tc {
            self.by_tc(backend, bits)
        } else {
            vec![self.translation(service, backend, bits)]
        };
        let comment = Some(format!("svc={} be={}", service.name, backend.address));
        let rule = |statements| Rule {
            statements,
            comment: comment.clone(),
        };
        self.chain(backend_chain(id), None, rules.into_iter().map(rule).collect());
        self.elements(MapName::Backends)
            .insert(Key::Backend(id), Some(backend_chain(id)));
        if service.uses_tc() && (local || !by_tc) {
            self.elements(MapName::Chosen)
                .insert(Key::Chosen(id), Some(backend_chain(id)));
        }
        if local || far {
            return;
        }
        self.elements(MapName::Sent).insert(Key::Mark(bits), None);
        self.elements(MapName::Received).insert(Key::Mark(bits), None);
        // A client on the director asks from the virtual address, which the real servers of direct routing and
        // tunnels hold, too: they would take its packets for forged ones.
        if by_tc || forward == Forward::FullNat {
            self.elements(MapName::Sources)
                .insert(Key::Mark(bits), Some(source_chain(&service.name)));
            self.source(service);
        }
    }

    /// Our bits of the mark, then the translation.
    fn translation(&self, service: &Service, backend: &Backend, bits: u32) -> Vec<Statement> {
        let mut statements = vec![
            Statement::ClearPriority,
            Statement::SetMark {
                mask: self.mark.mask,
                bits,
            },
        ];
        if backend.address.port.is_some() {
            statements.push(Statement::Protocols(protocols(service)));
        }
        statements.push(Statement::Dnat {
            address: backend.address.address,
            port: backend.address.port,
        });
        statements
    }

    /// The tc program forwards to this one, but clients on the director do not pass it: they are translated.
    /// What comes in from outside and was not forwarded must not vanish.
    fn by_tc(&self, backend: &Backend, bits: u32) -> Vec<Vec<Statement>> {
        let here = vec![
            Statement::FromHere,
            Statement::ClearPriority,
            Statement::SetMark {
                mask: self.mark.mask,
                bits,
            },
            Statement::Dnat {
                address: backend.address.address,
                port: None,
            },
        ];
        [here].into_iter().chain(refuse()).collect()
    }

    /// The chain that gives a full-NAT service's connections their source address.
    fn source(&mut self, service: &Service) {
        let pool = service
            .source
            .iter()
            .find(|pool| Family::of(pool.first) == self.family);
        let statement = match pool {
            Some(pool) => Statement::Snat {
                first: pool.first,
                last: pool.last,
            },
            None => Statement::Masquerade,
        };
        let comment = Some(format!("svc={}", service.name));
        self.chain(
            source_chain(&service.name),
            None,
            vec![Rule {
                statements: vec![statement],
                comment,
            }],
        );
    }

    /// The base chains, and what they lead to. Lookups in maps that do not exist are left out: every new
    /// connection of the host passes here.
    fn entrances(&mut self) {
        // The rules name it, also where no service of the family has a backend.
        self.elements(MapName::Backends);
        let has = |table: &Table, map| table.maps.contains_key(&map);
        let jump = |chain: &str| vec![plain(Statement::Jump(chain.to_owned()))];
        for (name, hook) in [
            ("nat-prerouting", Hook::NatPrerouting),
            ("nat-output", Hook::NatOutput),
        ] {
            let mut rules = Vec::new();
            let asks = has(self.table, MapName::Asked) || has(self.table, MapName::AskedMarks);
            if (hook == Hook::NatPrerouting || asks) && has(self.table, MapName::Chosen) {
                rules.push(plain(Statement::GotoChosen));
            }
            rules.extend(jump(DISPATCH));
            // Only a service's chain returns from the jump, with the id of a backend.
            rules.push(plain(Statement::GotoBackend));
            rules.extend(refuse().map(bare));
            self.chain(name.into(), Some(hook), rules);
        }
        self.asking();
        let mut dispatch = Vec::new();
        if has(self.table, MapName::Marks) {
            let any = Statement::Protocols(Protocol::ALL.to_vec());
            dispatch.push(bare(vec![any, Statement::GotoMarked(MapName::Marks)]));
        }
        for map in [MapName::Services, MapName::ServiceRanges] {
            if has(self.table, map) {
                dispatch.push(plain(Statement::GotoService(map)));
            }
        }
        if has(self.table, MapName::Closed) {
            let any = Statement::Protocols(Protocol::ALL.to_vec());
            // A client on the director asks from the address itself: the reset that answers it comes this way
            // too, as a reply, and must not be rejected in its turn.
            let asked = Statement::Direction(Direction::Original);
            let goto = Statement::Goto(CLOSED.into());
            dispatch.push(bare(vec![any, Statement::ToClosed, asked, goto]));
            self.chain(CLOSED.into(), None, refuse().map(bare).into());
        }
        dispatch.push(plain(Statement::Accept));
        self.chain(DISPATCH.into(), None, dispatch);
        if has(self.table, MapName::Sources) {
            let source = plain(Statement::GotoSource { mask: self.mark.mask });
            self.chain("nat-postrouting".into(), Some(Hook::NatPostrouting), vec![source]);
        }
        if has(self.table, MapName::Sent) {
            self.accounting(jump(ACCOUNT));
        }
    }

    /// Counts by the mark, so that it costs established connections one lookup and no rule per backend.
    fn accounting(&mut self, jump: Vec<Rule>) {
        let mask = self.mark.mask;
        let count =
            |direction, set| bare(vec![Statement::Direction(direction), Statement::Account { set, mask }]);
        let mut sent = count(Direction::Original, MapName::Sent);
        // The tc program tells nftables its choice with every packet that it leaves to it. IPv4 gives what it forwards
        // a new priority (ip_forward); with IPv6 queueing disciplines would take the backend's id for a class.
        if self.family == Family::V6 && self.hears_of_tc() {
            sent.statements.push(Statement::ClearPriority);
        }
        let rules = vec![sent, count(Direction::Reply, MapName::Received)];
        self.chain(ACCOUNT.into(), None, rules);
        self.chain("count-forward".into(), Some(Hook::FilterForward), jump.clone());
        self.chain("count-input".into(), Some(Hook::FilterInput), jump.clone());
        self.chain("count-output".into(), Some(Hook::FilterOutput), jump);
    }
}

/// A rule that is for no service in particular.
fn bare(statements: Vec<Statement>) -> Rule {
    Rule {
        statements,
        comment: None,
    }
}

/// Such a rule of one statement.
fn plain(statement: Statement) -> Rule {
    bare(vec![statement])
}

/// The protocols in which a service may be asked.
fn protocols(service: &Service) -> Vec<Protocol> {
    let asked = |protocol: &Protocol| {
        service.listen.iter().any(|listen| match listen {
            Listen::Socket { protocol: it, .. } => it == protocol,
            Listen::Mark(_) => true,
        })
    };
    Protocol::ALL.into_iter().filter(asked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read;
    use crate::pool::pools;

    #[test]
    fn no_translation_leads_to_the_other_family() {
        let config = read(
            r#"
            [[service]]
            name = "web"
            listen = ["tcp://10.0.0.100:80"]
            forward = "tun"
            backend = [{ address = "10.1.0.11" }, { address = "2001:db8::11" }]
            "#,
        )
        .expect("a right file");
        let mut ids = BackendIds::default();
        ids.assign(&config, config.director.mark().highest())
            .expect("room");
        assert_eq!(
            pools(&config, &ids)
                .into_values()
                .map(|it| it.len())
                .collect::<Vec<_>>(),
            [2]
        );
        let ruleset = build(&config, &ids, &BTreeMap::new(), &Facts::default());
        assert_eq!(ruleset.tables.keys().collect::<Vec<_>>(), [&Family::V4]);
        let statements = |address: &str| {
            let id = ids.get("web", address.parse().expect("an address"));
            let chain = backend_chain(id.expect("an id"));
            let rules = ruleset.tables[&Family::V4].chains[&chain].rules.clone();
            rules
                .into_iter()
                .flat_map(|rule| rule.statements)
                .collect::<Vec<_>>()
        };
        // That of its own family is for clients on the director only.
        let own = statements("10.1.0.11");
        assert_eq!(own.first(), Some(&Statement::FromHere));
        assert!(own.iter().any(|it| matches!(it, Statement::Dnat { .. })), "{own:?}");
        assert_eq!(statements("2001:db8::11"), refuse().concat());
    }
}
