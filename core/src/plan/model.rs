//! A kernel for tests: holds what plans make, and refuses what the real one would.

use std::collections::BTreeMap;

use super::{Digest, Observed, ObservedChain, ObservedTable, Op, Plan};
use crate::kernel::{BackendTraffic, Nft, NftError, Remembered};
use crate::ruleset::{Family, IdMap, Ids, Key, MapName, Rule, Statement, TABLE};
use crate::scheduler::BackendId;

/// The model. Rules are kept whole, to know what they refer to.
#[derive(Clone, Debug, Default)]
pub struct ModelKernel {
    /// What is there, as it would be read back.
    pub observed: Observed,
    rules: BTreeMap<(Family, String), Vec<Rule>>,
    /// The clients of maps that the kernel fills, as a test has them come.
    pub remembered: BTreeMap<(Family, IdMap), Ids>,
    /// What backends' elements have counted.
    pub traffic: BTreeMap<BackendId, BackendTraffic>,
    /// How many connections each service's rule has drawn.
    pub drawn: u64,
    /// Batches taken.
    pub commits: usize,
    /// How often the director has said that it is there.
    pub attended: usize,
    /// Refuse commits.
    pub refuse: bool,
    /// Refuse to forget clients.
    pub refuse_forgetting: bool,
}

impl ModelKernel {
    /// Applies a plan, all of it or nothing.
    pub fn apply(&mut self, plan: &Plan) -> Result<(), String> {
        let mut next = self.clone();
        for op in &plan.ops {
            next.step(op).map_err(|why| format!("{op}: {why}"))?;
        }
        next.dangling()?;
        next.commits += 1;
        next.observed.generation += 1;
        *self = next;
        Ok(())
    }

    fn table(&mut self, family: Family) -> Result<&mut ObservedTable, String> {
        self.observed
            .tables
            .get_mut(&family)
            .ok_or_else(|| "no such table".into())
    }

    fn step(&mut self, op: &Op) -> Result<(), String> {
        let missing = |what: &str| format!("no such {what}");
        match op {
            Op::AddGuard(family) => self.observed.guards.push(*family),
            Op::AddTable(family) => {
                self.observed.tables.insert(*family, ObservedTable::default());
            }
            Op::DeleteTable(family) => {
                self.observed.tables.remove(family).ok_or(missing(TABLE))?;
                self.rules.retain(|(of, _), _| of != family);
                self.remembered.retain(|(of, _), _| of != family);
            }
            Op::AddMap(family, map) => {
                self.table(*family)?.maps.insert(*map, BTreeMap::new());
            }
            Op::AddSlots(family, name, size) => {
                self.table(*family)?
                    .slots
                    .insert(name.clone(), vec![None; *size as usize]);
            }
            Op::AddIdMap(family, map) => {
                if self.table(*family)?.ids.insert(map.clone(), Ids::new()).is_some() {
                    return Err("map exists".into());
                }
            }
            Op::AddChain(family, name, hook) => {
                let chain = ObservedChain {
                    hook: *hook,
                    rules: Vec::new(),
                };
                if self.table(*family)?.chains.insert(name.clone(), chain).is_some() {
                    return Err("chain exists".into());
                }
            }
            Op::FlushChain(family, name) => {
                let chain = self
                    .table(*family)?
                    .chains
                    .get_mut(name)
                    .ok_or(missing("chain"))?;
                chain.rules.clear();
                self.rules.remove(&(*family, name.clone()));
            }
            Op::AddRule(family, name, rule) => {
                let digest = Digest::of(*family, rule);
                let chain = self
                    .table(*family)?
                    .chains
                    .get_mut(name)
                    .ok_or(missing("chain"))?;
                chain.rules.push(Some(digest));
                self.rules
                    .entry((*family, name.clone()))
                    .or_default()
                    .push(rule.clone());
                check_rule(self.table(*family)?, rule)?;
            }
            Op::DeleteElements(family, map, elements) => {
                let there = self.table(*family)?.maps.get_mut(map).ok_or(missing("map"))?;
                for key in elements.keys() {
                    there.remove(key).ok_or(missing("element"))?;
                }
            }
            Op::AddElements(family, map, elements) => {
                let table = self.table(*family)?;
                if let Some(chain) = elements
                    .values()
                    .flatten()
                    .find(|it| !table.chains.contains_key(*it))
                {
                    return Err(format!("verdict to a chain that is not there: {chain}"));
                }
                let there = table.maps.get_mut(map).ok_or(missing("map"))?;
                for (key, target) in elements {
                    if there.insert(*key, target.clone()).is_some() {
                        return Err(format!("element exists: {key}"));
                    }
                }
            }
            Op::ChangeSlots(family, name, changes) => {
                let slots = self.table(*family)?.slots.get_mut(name).ok_or(missing("map"))?;
                for &(slot, old, new) in changes {
                    let slot = slots.get_mut(slot as usize).ok_or(missing("slot"))?;
                    if *slot != old || old == new {
                        return Err("the slot was not as planned".into());
                    }
                    *slot = new;
                }
            }
            Op::DeleteIds(family, map, ids) => {
                let there = self.table(*family)?.ids.get_mut(map).ok_or(missing("map"))?;
                for key in ids.keys() {
                    there.remove(key).ok_or(missing("element"))?;
                }
            }
            Op::AddIds(family, map, ids) => {
                if map.is_dynamic() {
                    return Err("only the kernel fills it".into());
                }
                let there = self.table(*family)?.ids.get_mut(map).ok_or(missing("map"))?;
                for (key, id) in ids {
                    if there.insert(*key, *id).is_some() {
                        return Err(format!("element exists: {key}"));
                    }
                }
            }
            Op::Remember(family, map, clients) => {
                self.table(*family)?.ids.get(map).ok_or(missing("map"))?;
                let there = self.remembered.entry((*family, map.clone())).or_default();
                there.extend(clients.iter().map(|it| (Key::Address(it.client), it.backend)));
            }
            Op::Forget(family, map, ids) => {
                let there = self.remembered.entry((*family, map.clone())).or_default();
                for (key, id) in ids {
                    if there.remove(key).is_some_and(|it| it != *id) {
                        return Err("the client has another backend".into());
                    }
                }
            }
            Op::Attend(family) => {
                self.table(*family)?
                    .maps
                    .get(&MapName::Attended)
                    .ok_or(missing("set"))?;
                self.attended += 1;
            }
            Op::DeleteIdMap(family, map) => {
                self.remembered.remove(&(*family, map.clone()));
                self.table(*family)?.ids.remove(map).ok_or(missing("map"))?;
            }
            Op::DeleteChain(family, name) => {
                let chain = self.table(*family)?.chains.remove(name).ok_or(missing("chain"))?;
                if !chain.rules.is_empty() {
                    return Err("chain has rules".into());
                }
            }
            Op::DeleteSlots(family, name) => {
                self.table(*family)?.slots.remove(name).ok_or(missing("map"))?;
            }
            Op::DeleteMap(family, map) => {
                self.table(*family)?.maps.remove(map).ok_or(missing("map"))?;
            }
        }
        self.dangling()
    }

    /// Nothing may refer to what is gone.
    fn dangling(&self) -> Result<(), String> {
        for (family, table) in &self.observed.tables {
            let targets = table
                .maps
                .values()
                .flat_map(|elements| elements.values().flatten());
            if let Some(chain) = targets
                .into_iter()
                .find(|chain| !table.chains.contains_key(*chain))
            {
                return Err(format!("an element refers to chain {chain}"));
            }
            for rule in self
                .rules
                .iter()
                .filter(|((of, _), _)| of == family)
                .flat_map(|(_, rules)| rules)
            {
                check_rule(table, rule)?;
            }
        }
        Ok(())
    }
}

/// What a rule refers to must be there.
fn check_rule(table: &ObservedTable, rule: &Rule) -> Result<(), String> {
    for statement in &rule.statements {
        if let Some(map) = map_of(statement).filter(|map| !table.maps.contains_key(map)) {
            return Err(format!("no map {map}"));
        }
        match statement {
            Statement::LookUpClient { map, .. }
            | Statement::LookUpHeld(map)
            | Statement::Remember { map, .. }
            | Statement::Forget { map, .. }
                if !table.ids.contains_key(map) =>
            {
                return Err(format!("no map {map}"));
            }
            Statement::Jump(chain) | Statement::Goto(chain) if !table.chains.contains_key(chain) => {
                return Err(format!("no chain {chain}"));
            }
            Statement::Cycle { map, size } | Statement::Hash { map, size, .. }
                if table.slots.get(map).map(Vec::len) != Some(*size as usize) =>
            {
                return Err(format!("no slots {map} of that size"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn map_of(statement: &Statement) -> Option<MapName> {
    match statement {
        Statement::GotoService(map) | Statement::Account { set: map, .. } => Some(*map),
        Statement::GotoMarked(map) => Some(*map),
        Statement::Attended => Some(MapName::Attended),
        Statement::ToClosed => Some(MapName::Closed),
        Statement::GotoBackend => Some(MapName::Backends),
        Statement::GotoChosen => Some(MapName::Chosen),
        Statement::GotoSource { .. } => Some(MapName::Sources),
        _ => None,
    }
}

impl Nft for std::sync::Arc<std::sync::Mutex<ModelKernel>> {
    fn observe(&mut self) -> Result<Observed, NftError> {
        Ok(self.lock().unwrap().observed.clone())
    }

    fn generation(&mut self) -> Result<u32, NftError> {
        Ok(self.lock().unwrap().observed.generation)
    }

    fn commit(&mut self, plan: &Plan, generation: u32) -> Result<u32, NftError> {
        let mut kernel = self.lock().unwrap();
        if kernel.observed.generation != generation {
            return Err(NftError::Stale);
        }
        let forgets = |op: &Op| matches!(op, Op::Forget(..));
        if kernel.refuse || kernel.refuse_forgetting && plan.ops.iter().any(forgets) {
            let source = std::io::Error::from_raw_os_error(libc::EINVAL);
            return Err(NftError::Refused {
                step: plan.ops[0].to_string(),
                source,
            });
        }
        kernel
            .apply(plan)
            .unwrap_or_else(|why| panic!("a plan that the kernel would refuse: {why}\n{plan}"));
        Ok(kernel.observed.generation)
    }

    fn traffic(&mut self, _: Family, _: u32) -> Result<BTreeMap<BackendId, BackendTraffic>, NftError> {
        Ok(self.lock().unwrap().traffic.clone())
    }

    fn position(&mut self, _: Family, _: &str) -> Result<u64, NftError> {
        Ok(self.lock().unwrap().drawn)
    }

    /// The first rule that counts has seen three packets, the second four.
    fn counted(&mut self, family: Family) -> Result<BTreeMap<String, Vec<u64>>, NftError> {
        let kernel = self.lock().unwrap();
        let table = kernel.observed.tables.get(&family);
        let chains = table.into_iter().flat_map(|table| table.chains.keys());
        Ok(chains.map(|name| (name.clone(), vec![3, 4])).collect())
    }

    fn client(
        &mut self,
        family: Family,
        map: &IdMap,
        client: std::net::IpAddr,
    ) -> Result<Option<Remembered>, NftError> {
        let all = self.remembered(family, map, usize::MAX)?;
        Ok(all.into_iter().find(|it| it.client == client))
    }

    fn remembered(&mut self, family: Family, map: &IdMap, _: usize) -> Result<Vec<Remembered>, NftError> {
        let kernel = self.lock().unwrap();
        let all = kernel.remembered.get(&(family, map.clone()));
        let client = |(key, id): (&Key, &BackendId)| match key {
            Key::Address(client) => Remembered {
                client: *client,
                backend: *id,
                expires: 60,
            },
            other => panic!("not a client: {other}"),
        };
        Ok(all.into_iter().flatten().map(client).collect())
    }

    fn teardown(&mut self) -> Result<bool, NftError> {
        let mut kernel = self.lock().unwrap();
        let generation = kernel.observed.generation + 1;
        let there = !kernel.observed.tables.is_empty();
        *kernel = ModelKernel {
            observed: Observed {
                generation,
                ..Observed::default()
            },
            ..ModelKernel::default()
        };
        Ok(there)
    }
}
