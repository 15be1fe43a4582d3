//! Changes of both planes, and connections of NAT whose service comes to the tc program: what only conntrack has known is
//! told to the program, which would take them for strangers and send them by their hash.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use wvs_tc_bpf::{Encapsulation, Listen, Method, Target};

use super::engine::Engine;
use super::error::ApplyError;
use crate::kernel::tc::Adopted;
use crate::kernel::{Flow, MarkMask};
use crate::plan::Plan;
use crate::ruleset::{Protocol, Ruleset};
use crate::scheduler::BackendId;
use crate::tc::{self, Step};

impl Engine {
    /// Changes the program and the ruleset, in the order that [`install`](Engine::install) names.
    pub(super) fn change_both(
        &mut self,
        ruleset: Ruleset,
        steps: Vec<Step>,
        mark: MarkMask,
    ) -> Result<Plan, ApplyError> {
        let (before, after) = tc::around_ruleset(steps, &self.tc.installed);
        self.take_steps_and_adopt(&before, mark)?;
        // Most changes leave nothing to nftables, and need no second ruleset.
        let strands = ruleset.strands(&self.desired);
        let overlap = (strands || !after.is_empty())
            .then(|| ruleset.overlapping(&self.desired))
            .flatten();
        let Some(overlap) = overlap else {
            let plan = self.commit(ruleset)?;
            self.take_steps(&after)?;
            return Ok(plan);
        };
        let mut plan = self.commit(overlap)?;
        self.take_steps(&after)?;
        if strands {
            self.empty_queue();
        }
        plan.ops.extend(self.commit(ruleset)?.ops);
        Ok(plan)
    }

    /// Takes steps that may lead packets to the program that it has not seen before.
    ///
    /// The connections that there are come first. Those that began meanwhile are told once the program listens.
    fn take_steps_and_adopt(&mut self, steps: &[Step], mark: MarkMask) -> Result<(), ApplyError> {
        let first = steps.iter().position(|step| matches!(step, Step::Listen(..)));
        let Some(first) = first else {
            return self.take_steps(steps);
        };
        let (before, listening) = steps.split_at(first);
        self.take_steps(before)?;
        let listens: Vec<_> = listening
            .iter()
            .filter_map(|step| match step {
                Step::Listen(listen, number) => Some((*listen, *number)),
                _ => None,
            })
            .collect();
        let mut known = BTreeSet::new();
        self.adopt(&listens, mark, &mut known)?;
        self.take_steps(listening)?;
        self.adopt(&listens, mark, &mut known)
    }

    fn adopt(
        &mut self,
        listens: &[(Listen, u32)],
        mark: MarkMask,
        known: &mut BTreeSet<(SocketAddr, SocketAddr, Protocol)>,
    ) -> Result<(), ApplyError> {
        let (flows, _) = self
            .doors
            .conntrack
            .flows(mark, usize::MAX)
            .map_err(ApplyError::Connections)?;
        let mut adopted = Vec::new();
        for flow in flows {
            let service = listens.iter().find(|(listen, _)| leads(listen, &flow));
            let Some((_, service)) = service else { continue };
            // Its client sends another SYN.
            if flow.state == "SYN_SENT" || !known.insert((flow.client, flow.target, flow.protocol)) {
                continue;
            }
            adopted.push(Adopted {
                protocol: flow.protocol,
                client: flow.client,
                target: flow.target,
                backend: flow.backend,
                generation: self.by_nat(&flow)?,
                service: *service as u16,
                ending: ENDING.contains(&flow.state.as_str()),
            });
        }
        if !adopted.is_empty() {
            self.doors.tc.adopt(&adopted)?;
        }
        Ok(())
    }

    /// Has the program know the backend of a connection, also one that is not configured any more. Says its generation.
    fn by_nat(&mut self, flow: &Flow) -> Result<u16, ApplyError> {
        if let Some(target) = self.tc.installed.backends.get(&flow.backend) {
            return Ok(target.generation);
        }
        let id: BackendId = flow.backend;
        let target = Target {
            method: Method::Nat,
            address: flow.server.ip(),
            generation: self.ids.generation(id),
            way: None,
            encapsulation: Encapsulation::default(),
            quiesced: true,
        };
        self.doors
            .tc
            .make(&[Step::Backend(id, target)], &mut self.tc.installed)?;
        Ok(target.generation)
    }
}

/// conntrack's states of a connection that ends.
const ENDING: [&str; 5] = ["FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE"];

/// Whether a connection goes to a listener. What a firewall mark leads is not known by its addresses.
fn leads(listen: &Listen, flow: &Flow) -> bool {
    match listen {
        Listen::Address(address, protocol, port) => {
            (*address, *protocol) == (flow.target.ip(), flow.protocol.number())
                && (*port == 0 || *port == flow.target.port())
        }
        Listen::Mark(..) => false,
    }
}
