//! Steps of a plan as netlink messages.

use std::ffi::CStr;
use std::io;

use nftnl::{Chain, ChainType, MsgType, Policy, ProtoFamily, Table};

use super::batch::Batch;
use super::expression::{ANONYMOUS, address, name};
use super::object::{Rule, Set, Target};
use super::shape::{Shape, key_bytes};
use super::statements::{expressions, guard};
use crate::kernel::{NftError, Remembered};
use crate::plan::{Digest, Op, Plan, SlotChange};
use crate::ruleset::{self, Elements, Family, GUARD, Hook, IdMap, Ids, MapName, Protocol, Statement};

/// The type of our digest in a rule's user data; nft's own types start at 0.
pub const DIGEST_NOTE: u8 = 200;
/// The type of nft's comment in a rule's user data.
const COMMENT_NOTE: u8 = 0;
/// The guard's only chain.
pub const GUARD_CHAIN: &str = "prerouting";
/// The guard's only rule, as nft prints it.
const GUARD_RULE: &str = "ct state invalid accept";

/// The digest that the guard's rule carries.
pub fn guard_digest() -> Digest {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(GUARD_RULE.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    Digest(first)
}

/// nftnl's word for a family.
pub fn protocol_family(family: Family) -> ProtoFamily {
    match family {
        Family::V4 => ProtoFamily::Ipv4,
        Family::V6 => ProtoFamily::Ipv6,
    }
}

/// A refusal that names a step, cut to a length that a log line bears.
pub fn refused(op: &Op, source: io::Error) -> NftError {
    const MOST: usize = 300;
    let mut step = op.to_string();
    if let Some((end, _)) = step.char_indices().nth(MOST) {
        step.truncate(end);
        step.push('…');
    }
    NftError::Refused { step, source }
}

/// All steps of a plan as one batch, for our table.
pub fn batch(plan: &Plan, generation: u32) -> Result<Batch, NftError> {
    batch_for(c"wvs", plan, generation)
}

/// All steps of a plan as one batch, for a table of another name.
pub fn batch_for(table: &'static CStr, plan: &Plan, generation: u32) -> Result<Batch, NftError> {
    let mut encoder = Encoder {
        table,
        batch: Batch::new(generation),
        step: 0,
        next_id: 1,
    };
    for (step, op) in plan.ops.iter().enumerate() {
        encoder.step = step;
        encoder.op(op).map_err(|error| refused(op, error))?;
    }
    Ok(encoder.batch)
}

struct Encoder {
    table: &'static CStr,
    batch: Batch,
    step: usize,
    next_id: u32,
}

impl Encoder {
    fn op(&mut self, op: &Op) -> io::Result<()> {
        match op {
            Op::AddGuard(family) => self.add_guard(*family),
            Op::AddTable(family) => self.table(*family, self.table, MsgType::Add),
            Op::DeleteTable(family) => self.table(*family, self.table, MsgType::Del),
            Op::AddMap(family, map) => self.add_set(*family, map.as_str(), &Shape::of(*family, *map)),
            Op::AddSlots(family, name, slots) => self.add_set(*family, name, &Shape::slots(*slots)),
            Op::AddIdMap(family, map) => {
                self.add_set(*family, &map.to_string(), &Shape::of_ids(*family, map))
            }
            Op::AddChain(family, name, hook) => self.chain(*family, self.table, name, *hook, MsgType::Add),
            Op::DeleteChain(family, name) => self.chain(*family, self.table, name, None, MsgType::Del),
            Op::FlushChain(family, chain) => {
                let rule = Rule::new(protocol_family(*family), self.table, &name(chain)?)?;
                self.batch.add(self.step, &rule, MsgType::Del);
                Ok(())
            }
            Op::AddRule(family, chain, rule) => self.add_rule(*family, chain, rule),
            Op::DeleteElements(family, map, elements) => self.elements(*family, *map, elements, MsgType::Del),
            Op::AddElements(family, map, elements) => self.elements(*family, *map, elements, MsgType::Add),
            Op::ChangeSlots(family, map, changes) => self.change_slots(*family, map, changes),
            Op::DeleteIds(family, map, ids) => self.ids(*family, map, ids, MsgType::Del),
            Op::AddIds(family, map, ids) => self.ids(*family, map, ids, MsgType::Add),
            Op::Remember(family, map, clients) => self.remember(*family, map, clients),
            // One that has gone by itself meanwhile would have all refused, hence first added, which changes nothing
            // of one that is still there.
            Op::Forget(family, map, ids) => {
                self.ids(*family, map, ids, MsgType::Add)?;
                self.ids(*family, map, ids, MsgType::Del)
            }
            Op::DeleteIdMap(family, map) => self.delete_set(*family, &map.to_string()),
            Op::DeleteSlots(family, map) => self.delete_set(*family, map),
            Op::DeleteMap(family, map) => self.delete_set(*family, map.as_str()),
        }
    }

    fn table(&mut self, family: Family, name: &CStr, kind: MsgType) -> io::Result<()> {
        self.batch
            .add(self.step, &Table::new(name, protocol_family(family)), kind);
        Ok(())
    }

    /// Makes the guard whole from whatever is there: `add` so that `delete` finds something, then anew.
    fn add_guard(&mut self, family: Family) -> io::Result<()> {
        let table = &name(GUARD)?;
        for kind in [MsgType::Add, MsgType::Del, MsgType::Add] {
            self.table(family, table, kind)?;
        }
        self.chain(family, table, GUARD_CHAIN, Some(Hook::NatPrerouting), MsgType::Add)?;
        let mut rule = Rule::new(protocol_family(family), table, &name(GUARD_CHAIN)?)?;
        for expression in guard() {
            rule.add(&expression)?;
        }
        rule.set_userdata(&userdata(None, guard_digest()));
        self.batch.add(self.step, &rule, MsgType::Add);
        Ok(())
    }

    fn chain(
        &mut self,
        family: Family,
        in_table: &CStr,
        chain: &str,
        hook: Option<Hook>,
        kind: MsgType,
    ) -> io::Result<()> {
        let table = Table::new(in_table, protocol_family(family));
        let mut chain = Chain::new(name(chain)?, &table);
        if let Some(hook) = hook {
            chain.set_hook(nftnl_hook(hook), hook.priority());
            chain.set_type(if hook.chain_type() == "nat" {
                ChainType::Nat
            } else {
                ChainType::Filter
            });
            chain.set_policy(Policy::Accept);
        }
        self.batch.add(self.step, &chain, kind);
        Ok(())
    }

    fn id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn add_set(&mut self, family: Family, set: &str, shape: &Shape) -> io::Result<()> {
        let id = self.id();
        let set = Set::shaped(protocol_family(family), self.table, &name(set)?, shape, id)?;
        self.batch.add(self.step, &set, MsgType::Add);
        Ok(())
    }

    fn delete_set(&mut self, family: Family, set: &str) -> io::Result<()> {
        let set = Set::named(protocol_family(family), self.table, &name(set)?)?;
        self.batch.add(self.step, &set, MsgType::Del);
        Ok(())
    }

    fn add_rule(&mut self, family: Family, chain: &str, rule: &ruleset::Rule) -> io::Result<()> {
        let mut object = Rule::new(protocol_family(family), self.table, &name(chain)?)?;
        for statement in &rule.statements {
            let many = match statement {
                Statement::Protocols(protocols) if protocols.len() != 1 => {
                    self.add_protocols(family, protocols)?
                }
                _ => 0,
            };
            for expression in expressions(family, statement, many)? {
                object.add(&expression)?;
            }
        }
        object.set_userdata(&userdata(rule.comment.as_deref(), Digest::of(family, rule)));
        self.batch.add(self.step, &object, MsgType::Add);
        Ok(())
    }

    /// Makes the nameless set of protocols that the next rule looks into.
    fn add_protocols(&mut self, family: Family, protocols: &[Protocol]) -> io::Result<u32> {
        let (id, family, table) = (self.id(), protocol_family(family), self.table);
        let shape = Shape::protocols(protocols.len() as u32);
        self.batch
            .add(self.step, &Set::shaped(family, table, ANONYMOUS, &shape, id)?, MsgType::Add);
        let mut set = Set::named(family, table, ANONYMOUS)?.with_id(id);
        for protocol in protocols {
            set.push(&[protocol.number()], None, Target::None)?;
        }
        self.push_elements(&set, MsgType::Add)?;
        Ok(id)
    }

    fn elements(
        &mut self,
        family: Family,
        map: MapName,
        elements: &Elements,
        kind: MsgType,
    ) -> io::Result<()> {
        let mut set = Set::named(protocol_family(family), self.table, &name(map.as_str())?)?;
        for (key, chain) in elements {
            let (start, end) = key_bytes(family, key)?;
            let chain = match chain {
                Some(chain) if kind == MsgType::Add => Some(name(chain)?),
                _ => None,
            };
            let target = chain
                .as_deref()
                .map_or(Target::None, |it: &CStr| Target::Goto(it));
            set.push(&start, end.as_deref(), target)?;
        }
        self.push_elements(&set, kind)
    }

    fn ids(&mut self, family: Family, map: &IdMap, ids: &Ids, kind: MsgType) -> io::Result<()> {
        let mut set = Set::named(protocol_family(family), self.table, &name(&map.to_string())?)?;
        for (key, id) in ids {
            let (key, _) = key_bytes(family, key)?;
            let target = match kind {
                MsgType::Add => Target::Number(u32::from(id.0)),
                MsgType::Del => Target::None,
            };
            set.push(&key, None, target)?;
        }
        self.push_elements(&set, kind)
    }

    fn remember(&mut self, family: Family, map: &IdMap, clients: &[Remembered]) -> io::Result<()> {
        let mut set = Set::named(protocol_family(family), self.table, &name(&map.to_string())?)?;
        for it in clients {
            let lasting = Target::Lasting(u32::from(it.backend.0), u64::from(it.expires) * 1000);
            set.push(&address(family, it.client)?, None, lasting)?;
        }
        self.push_elements(&set, MsgType::Add)
    }

    /// Deletes what leaves its slot, then adds what takes one: the kernel changes no element's data.
    fn change_slots(&mut self, family: Family, map: &str, changes: &[SlotChange]) -> io::Result<()> {
        let (family, table, map) = (protocol_family(family), self.table, name(map)?);
        let mut gone = Set::named(family, table, &map)?;
        let mut new = Set::named(family, table, &map)?;
        for (slot, before, after) in changes {
            let key = slot.to_ne_bytes();
            if before.is_some() {
                gone.push(&key, None, Target::None)?;
            }
            if let Some(id) = after {
                new.push(&key, None, Target::Number(u32::from(id.0)))?;
            }
        }
        if changes.iter().any(|(_, before, _)| before.is_some()) {
            self.push_elements(&gone, MsgType::Del)?;
        }
        if changes.iter().any(|(_, _, after)| after.is_some()) {
            self.push_elements(&new, MsgType::Add)?;
        }
        Ok(())
    }

    fn push_elements(&mut self, set: &Set, kind: MsgType) -> io::Result<()> {
        let elements = set.elements()?;
        while elements.more() {
            self.batch.add(self.step, &elements, kind);
        }
        Ok(())
    }
}

fn nftnl_hook(hook: Hook) -> nftnl::Hook {
    match hook {
        Hook::NatPrerouting => nftnl::Hook::PreRouting,
        Hook::FilterInput => nftnl::Hook::In,
        Hook::FilterForward => nftnl::Hook::Forward,
        Hook::NatOutput | Hook::FilterOutput => nftnl::Hook::Out,
        Hook::NatPostrouting => nftnl::Hook::PostRouting,
    }
}

/// A rule's user data: nft's comment, and our digest.
fn userdata(comment: Option<&str>, digest: Digest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160);
    if let Some(comment) = comment {
        // nft reads at most 128 bytes with the NUL.
        let mut end = comment.len().min(127);
        while !comment.is_char_boundary(end) {
            end -= 1;
        }
        bytes.extend_from_slice(&[COMMENT_NOTE, end as u8 + 1]);
        bytes.extend_from_slice(&comment.as_bytes()[..end]);
        bytes.push(0);
    }
    bytes.extend_from_slice(&[DIGEST_NOTE, digest.0.len() as u8]);
    bytes.extend_from_slice(&digest.0);
    bytes
}
