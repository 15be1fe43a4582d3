//! The way of a packet that opens a connection through our chains, without the kernel.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use super::draw::draw;
use super::{Hook, IdMap, Key, MapName, Protocol, Rule, Statement, Table};
use crate::api::Draw;
use crate::config::Prefix;
use crate::kernel::{MarkMask, Remembered};
use crate::scheduler::{BackendId, Dispatch};

/// What of a packet our chains look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The protocol.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// What it asks for.
    pub target: SocketAddr,
    /// The firewall mark.
    pub mark: u32,
    /// Whether it comes from the director itself.
    pub local: bool,
    /// What the tc program has said: a backend, or 0 for nobody.
    pub chosen: Option<BackendId>,
}

/// What only the kernel knows.
pub trait Kernel {
    /// Why it does not tell.
    type Error;
    /// How many connections a service's chain has drawn a slot for.
    fn drawn(&mut self, chain: &str) -> Result<u64, Self::Error>;
    /// Whether a map of clients that it fills has one.
    fn remembered(&mut self, map: &IdMap, client: IpAddr) -> Result<Option<Remembered>, Self::Error>;
}

/// Why a backend was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The tc program has chosen it.
    Chosen,
    /// Its client is pinned to it.
    Pinned(Prefix),
    /// Its client was there before, and will be forgotten after so many seconds.
    Remembered(Prefix, u32),
    /// The schedule names it, or nobody.
    Drawn(Draw),
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on as it is.
    Accepted,
    /// It is refused.
    Rejected,
    /// It is sent elsewhere.
    Translated(SocketAddr),
}

/// A walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The chain of the service that it was led to.
    pub service: Option<String>,
    /// The key that led there.
    pub listener: Option<Key>,
    /// Why the backend was chosen, or how the slot was drawn that names nobody.
    pub reason: Option<Reason>,
    /// The backend whose chain it came to.
    pub backend: Option<BackendId>,
    /// Whether the service's scheduler is asked, so that what the walk came to holds only where it does not answer.
    pub asked: bool,
    /// Whether it met the rule that closes other ports.
    pub closed: bool,
    /// The source address that it gets: a pool, or [`Statement::Masquerade`].
    pub source: Option<Statement>,
    /// How it ended.
    pub end: End,
}

/// What a rule or a chain leads to.
enum Next {
    /// On with the next rule.
    On,
    /// Back to the chain that jumped.
    Back,
    /// The end.
    End(End),
}

/// Leads a packet through a table as the kernel would. Nothing is remembered and no slot is used up.
pub fn walk<K: Kernel>(
    table: &Table,
    mark: MarkMask,
    packet: &Packet,
    kernel: &mut K,
) -> Result<Walk, K::Error> {
    let mut walker = Walker {
        table,
        packet,
        kernel,
        priority: packet.chosen,
        mark: 0,
        walk: Walk {
            service: None,
            listener: None,
            reason: packet.chosen.map(|_| Reason::Chosen),
            backend: None,
            asked: false,
            closed: false,
            source: None,
            end: End::Accepted,
        },
    };
    let hook = if packet.local {
        Hook::NatOutput
    } else {
        Hook::NatPrerouting
    };
    let entrance = table.chains.iter().find(|(_, chain)| chain.hook == Some(hook));
    if let Some((name, _)) = entrance
        && let Next::End(end) = walker.chain(name)?
    {
        walker.walk.end = end;
    }
    walker.walk.source = mark
        .id(walker.mark)
        .and_then(|id| source_of(table, mark, id))
        .cloned();
    Ok(walker.walk)
}

/// The source address that a backend's connections get: a pool, or [`Statement::Masquerade`]. None is the client's own.
pub fn source_of(table: &Table, mark: MarkMask, id: BackendId) -> Option<&Statement> {
    let sources = table.maps.get(&MapName::Sources)?;
    let chain = sources.get(&Key::Mark(mark.bits(id)))?.as_deref()?;
    let mut statements = table
        .chains
        .get(chain)?
        .rules
        .iter()
        .flat_map(|rule| &rule.statements);
    statements.find(|it| matches!(it, Statement::Snat { .. } | Statement::Masquerade))
}

struct Walker<'a, K> {
    table: &'a Table,
    packet: &'a Packet,
    kernel: &'a mut K,
    /// The backend in the packet's priority.
    priority: Option<BackendId>,
    /// The conntrack mark.
    mark: u32,
    walk: Walk,
}

impl<K: Kernel> Walker<'_, K> {
    fn chain(&mut self, name: &str) -> Result<Next, K::Error> {
        let table = self.table;
        let rules = table.chains.get(name).map_or(&[][..], |chain| &chain.rules);
        for rule in rules {
            match self.rule(name, rule)? {
                Next::On => {}
                other => return Ok(other),
            }
        }
        Ok(Next::On)
    }

    /// A statement that does not match ends the rule.
    fn rule(&mut self, chain: &str, rule: &Rule) -> Result<Next, K::Error> {
        for statement in &rule.statements {
            let target = match statement {
                Statement::Jump(chain) => match self.chain(chain)? {
                    Next::On | Next::Back => continue,
                    end => return Ok(end),
                },
                Statement::Goto(chain) => Some(chain.clone()),
                Statement::GotoService(_) | Statement::GotoMarked(_) => self.listener(statement),
                Statement::GotoBackend | Statement::GotoChosen => self.backend(statement),
                Statement::Return => return Ok(Next::Back),
                Statement::Accept => return Ok(Next::End(End::Accepted)),
                Statement::Reject => return Ok(Next::End(End::Rejected)),
                Statement::RejectTcp if self.packet.protocol == Protocol::Tcp => {
                    return Ok(Next::End(End::Rejected));
                }
                Statement::Dnat { address, port } => {
                    let port = port.unwrap_or(self.packet.target.port());
                    return Ok(Next::End(End::Translated(SocketAddr::new(*address, port))));
                }
                _ if self.passes(chain, statement)? => continue,
                _ => None,
            };
            return match target {
                Some(chain) => Ok(match self.chain(&chain)? {
                    // The end of a chain that was gone to is the end of this one.
                    Next::On => Next::Back,
                    other => other,
                }),
                None => Ok(Next::On),
            };
        }
        Ok(Next::On)
    }

    /// Whether the rule goes on behind a statement that leads nowhere.
    fn passes(&mut self, chain: &str, statement: &Statement) -> Result<bool, K::Error> {
        Ok(match statement {
            Statement::ToClosed => {
                let closed = self.table.maps.get(&MapName::Closed);
                let key = Key::Address(self.packet.target.ip());
                self.walk.closed = closed.is_some_and(|it| it.contains_key(&key));
                self.walk.closed
            }
            Statement::Protocols(protocols) => protocols.contains(&self.packet.protocol),
            Statement::FromHere => self.packet.local,
            Statement::RejectTcp => false,
            Statement::ClearPriority => {
                self.priority = None;
                true
            }
            Statement::SetMark { mask, bits } => {
                self.mark = self.mark & !mask | bits;
                true
            }
            Statement::Cycle { map, size } => self.draws(chain, map, *size, Dispatch::Cycle, 0)?,
            Statement::Hash { map, size, key, seed } => {
                self.draws(chain, map, *size, Dispatch::Hash(*key), *seed)?
            }
            Statement::LookUpClient { map, bits } => self.knows_client(map, *bits)?,
            Statement::LookUpHeld(IdMap::Answers(_)) => {
                self.walk.asked = true;
                false
            }
            Statement::LookUpHeld(map) => {
                let held = self.table.ids.get(map);
                let here = self.priority.and_then(|id| held?.get(&Key::Backend(id)).copied());
                self.priority = here.or(self.priority);
                here.is_some()
            }
            // The others look at what a new connection always has, or have no part in where it goes.
            _ => true,
        })
    }

    fn draws(
        &mut self,
        chain: &str,
        map: &str,
        size: u32,
        dispatch: Dispatch,
        seed: u32,
    ) -> Result<bool, K::Error> {
        let ends = (self.packet.client, self.packet.target);
        let Some(drawn) = draw(dispatch, size, seed, ends, || self.kernel.drawn(chain))? else {
            return Ok(false);
        };
        let slots = self.table.slots.get(map);
        let backend = slots.and_then(|slots| slots.get(drawn.slot()).copied().flatten());
        self.walk.reason = Some(Reason::Drawn(drawn));
        self.priority = backend.or(self.priority);
        Ok(backend.is_some())
    }

    fn knows_client(&mut self, map: &IdMap, bits: u8) -> Result<bool, K::Error> {
        let client = Prefix::around(self.packet.client.ip(), bits);
        let (backend, reason) = if map.is_dynamic() {
            let Some(known) = self.kernel.remembered(map, client.address)? else {
                return Ok(false);
            };
            (known.backend, Reason::Remembered(client, known.expires))
        } else {
            let pins = self.table.ids.get(map);
            match pins.and_then(|pins| pins.get(&Key::Address(client.address))) {
                Some(backend) => (*backend, Reason::Pinned(client)),
                None => return Ok(false),
            }
        };
        self.priority = Some(backend);
        self.walk.reason = Some(reason);
        Ok(true)
    }

    /// The service's chain, where something listens.
    fn listener(&mut self, statement: &Statement) -> Option<String> {
        let Packet { target, protocol, .. } = *self.packet;
        let found = match statement {
            Statement::GotoMarked(map) => {
                let key = Key::Mark(self.packet.mark);
                let chain = self.table.maps.get(map)?.get(&key)?;
                (key, chain)
            }
            Statement::GotoService(map) => {
                let listens = |key: &Key| match *key {
                    Key::Service(address, of, port) => {
                        (address, of, port) == (target.ip(), protocol, target.port())
                    }
                    Key::ServiceRange(address, of, first, last) => {
                        (address, of) == (target.ip(), protocol) && (first..=last).contains(&target.port())
                    }
                    _ => false,
                };
                let elements = self.table.maps.get(map)?;
                let (key, chain) = elements.iter().find(|(key, _)| listens(key))?;
                (*key, chain)
            }
            _ => return None,
        };
        self.walk.listener = Some(found.0);
        self.walk.service.clone_from(found.1);
        found.1.clone()
    }

    /// The backend's chain.
    fn backend(&mut self, statement: &Statement) -> Option<String> {
        let (map, key): (_, fn(BackendId) -> Key) = match statement {
            Statement::GotoChosen => (MapName::Chosen, Key::Chosen),
            _ => (MapName::Backends, Key::Backend),
        };
        // What the program has said is no id of a service's own choice, nor the other way round.
        let is_tagged = self.walk.reason == Some(Reason::Chosen);
        let id = self.priority.filter(|_| is_tagged == (map == MapName::Chosen))?;
        let chain = self.table.maps.get(&map)?.get(&key(id))?.clone();
        if chain.is_some() && id.0 != 0 {
            self.walk.backend = Some(id);
        }
        chain
    }
}

/// The services that a family's table has listeners of an address for.
pub fn listeners(table: &Table, address: IpAddr) -> Vec<(Key, String)> {
    let on = |key: &Key| match *key {
        Key::Service(of, ..) | Key::ServiceRange(of, ..) => of == address,
        _ => false,
    };
    let maps = [MapName::Services, MapName::ServiceRanges];
    let elements = maps.into_iter().filter_map(|map| table.maps.get(&map)).flatten();
    let found: BTreeSet<_> = elements
        .filter(|(key, _)| on(key))
        .filter_map(|(key, chain)| Some((*key, chain.clone()?)))
        .collect();
    found.into_iter().collect()
}
