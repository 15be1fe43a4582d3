//! Services whose scheduler decides for each connection: who is asked, and what becomes of the answer.
//!
//! What waits in a queue goes on behind the chain that had it wait, so that is a chain before those of NAT. The answer
//! comes in the packet's priority, as the tc program's does, and the service's own chain takes it where it would draw a
//! slot otherwise. Whatever comes without an answer draws its slot: nobody listened, the queue was full, or nobody
//! answered in time.

use super::{Builder, bare, plain};
use crate::config::{PortRange, Service};
use crate::dispatch::DispatchTable;
use crate::ids::BackendIds;
use crate::pool::members;
use crate::ruleset::{Hook, IdMap, Key, MapName, Protocol, Rule, Statement};
use crate::scheduler::{BackendId, Dispatch};

/// The chain that leads to those of the services that are asked for.
const ASKING: &str = "asking";

/// Whether new connections of a service wait until its scheduler has chosen. Where the tc program chooses, that asks.
pub fn asks(service: &Service, table: &DispatchTable) -> bool {
    table.dispatch == Dispatch::Flow && !service.uses_tc()
}

/// The name of the chain in which a service's connections are asked for.
pub fn ask_chain(service: &str) -> String {
    format!("ask-{service}")
}

/// The service of such a chain.
pub fn asked_service(chain: &str) -> Option<&str> {
    chain.strip_prefix("ask-")
}

impl Builder<'_> {
    /// Has connections of a service wait for its scheduler, but for those of clients that have their backend already;
    /// and has its chain take the answer.
    pub(super) fn asked(
        &mut self,
        ids: &BackendIds,
        service: &Service,
        (before, chosen): &mut (Vec<Vec<Statement>>, Statement),
        queue: u16,
    ) {
        let comment = Some(format!("svc={}", service.name));
        let known = before.iter().filter(|rule| rule.contains(&Statement::Return));
        let mut rules: Vec<Vec<Statement>> = known
            .map(|rule| {
                let looks = |it: &&Statement| !matches!(it, Statement::Remember { .. });
                rule.iter().filter(looks).cloned().collect()
            })
            .collect();
        rules.push(vec![Statement::Queue(queue)]);
        let rule = |statements| Rule {
            statements,
            comment: comment.clone(),
        };
        self.chain(ask_chain(&service.name), None, rules.into_iter().map(rule).collect());
        self.ask_for(service);

        let answers = IdMap::Answers(service.name.clone());
        let backends = members(service, self.family).filter_map(|it| ids.get(&service.name, it.address));
        let answer = backends.map(|id| (Key::Chosen(id), id)).collect();
        self.table.ids.insert(answers.clone(), answer);
        before.push(vec![Statement::LookUpHeld(answers), chosen.clone()]);
        // The answer may be that nobody gets it.
        self.refused();
    }

    /// Leads a service's addresses, ports and marks to where it is asked for.
    fn ask_for(&mut self, service: &Service) {
        let target = Some(ask_chain(&service.name));
        for mark in service.marks() {
            self.elements(MapName::AskedMarks)
                .insert(Key::Mark(mark), target.clone());
        }
        for (address, protocol, PortRange { first, last }) in service.ports_of(self.family) {
            self.elements(MapName::Asked)
                .insert(Key::ServiceRange(address, protocol, first, last), target.clone());
        }
    }

    /// Whether the tc program hands packets over with its choice. The answer that nobody gets a connection is in
    /// `chosen`, too.
    pub(super) fn hears_of_tc(&self) -> bool {
        let maps = &self.table.maps;
        let asks = maps.contains_key(&MapName::Attended);
        maps.get(&MapName::Chosen)
            .is_some_and(|it| !asks || it.keys().any(|key| *key != Key::Chosen(BackendId(0))))
    }

    /// The base chains in which packets wait, where any does, and as long as the director is there: one that is halted
    /// still has its queue. Packets of connections that are known pay for one look at their state.
    pub(super) fn asking(&mut self) {
        let mut rules = Vec::new();
        if self.table.maps.contains_key(&MapName::AskedMarks) {
            let any = Statement::Protocols(Protocol::ALL.to_vec());
            rules.push(bare(vec![any, Statement::GotoMarked(MapName::AskedMarks)]));
        }
        if self.table.maps.contains_key(&MapName::Asked) {
            rules.push(plain(Statement::GotoService(MapName::Asked)));
        }
        if rules.is_empty() {
            return;
        }
        self.chain(ASKING.into(), None, rules);
        self.elements(MapName::Attended);
        for (name, hook) in [
            ("queue-prerouting", Hook::QueuePrerouting),
            ("queue-output", Hook::QueueOutput),
        ] {
            let goto = Statement::Goto(ASKING.into());
            let first = bare(vec![Statement::Unconfirmed, Statement::Attended, goto]);
            self.chain(name.into(), Some(hook), vec![first]);
        }
    }
}
