//! What the ruleset does with a packet.

use std::net::IpAddr;

use super::{ExplainError, listener, pool_of, refusal};
use crate::api::{Because, Explain, Explanation, ForService, Plane, Then};
use crate::director::engine::Engine;
use crate::kernel::{Flow, Nft, NftError, Remembered};
use crate::ruleset::service_of;
use crate::ruleset::walk::{End, Kernel, Packet, Reason, Walk, source_of, walk};
use crate::ruleset::{Family, IdMap, Protocol, Statement};
use crate::scheduler::BackendId;

/// What a walk asks of the kernel, for one family.
struct Door<'a> {
    nft: &'a mut dyn Nft,
    family: Family,
}

impl Kernel for Door<'_> {
    type Error = NftError;

    fn drawn(&mut self, chain: &str) -> Result<u64, NftError> {
        self.nft.position(self.family, chain)
    }

    fn remembered(&mut self, map: &IdMap, client: IpAddr) -> Result<Option<Remembered>, NftError> {
        self.nft.client(self.family, map, client)
    }
}

impl Engine {
    /// What conntrack or the ruleset does with a packet; `chosen` is what the tc program has said of it.
    pub(super) fn by_nft(
        &mut self,
        explanation: &mut Explanation,
        chosen: Option<BackendId>,
    ) -> Result<(), ExplainError> {
        if let Some(flow) = self.tracked(&explanation.packet)? {
            explanation.service = self.service_of(flow.backend, Plane::Nftables);
            explanation.backend = self.chosen(flow.backend);
            explanation.because = Because::Connection {
                state: flow.state,
                expires: flow.expires,
            };
            let table = self.desired.tables.get(&Family::of(flow.target.ip()));
            let source = table.and_then(|it| source_of(it, self.config.director.mark(), flow.backend));
            explanation.then = Then::Translate {
                to: flow.server,
                source: source.map(in_words),
            };
            return Ok(());
        }
        match self.walked(explanation, chosen)? {
            Some(walk) => self.tell(explanation, &walk),
            // Nothing listens in that family.
            None => Ok(()),
        }
    }

    /// The connection that a packet is of, if conntrack has it. One that has ended is none: a packet that opens another
    /// is conntrack's first of it.
    fn tracked(&mut self, packet: &Explain) -> Result<Option<Flow>, ExplainError> {
        let Explain {
            from, to, protocol, ..
        } = *packet;
        let mark = self.config.director.mark();
        let flow = self.doors.conntrack.flow(mark, protocol, from, to)?;
        let ended =
            |flow: &Flow| protocol == Protocol::Tcp && ["TIME_WAIT", "CLOSE"].contains(&flow.state.as_str());
        Ok(flow.filter(|flow| !ended(flow)))
    }

    fn walked(
        &mut self,
        explanation: &Explanation,
        chosen: Option<BackendId>,
    ) -> Result<Option<Walk>, ExplainError> {
        let Explain {
            from,
            to,
            protocol,
            mark,
        } = explanation.packet;
        let family = Family::of(to.ip());
        let Some(table) = self.desired.tables.get(&family) else {
            return Ok(None);
        };
        let packet = Packet {
            protocol,
            client: from,
            target: to,
            mark,
            local: explanation.local,
            chosen,
        };
        let mut door = Door {
            nft: self.doors.nft.as_mut(),
            family,
        };
        Ok(Some(walk(table, self.config.director.mark(), &packet, &mut door)?))
    }

    fn tell(&mut self, explanation: &mut Explanation, walk: &Walk) -> Result<(), ExplainError> {
        let packet = explanation.packet;
        let service = walk.service.as_deref().and_then(service_of);
        if let Some(name) = service {
            explanation.service = Some(ForService {
                name: name.to_owned(),
                listener: walk.listener.as_ref().map(listener),
                by: Plane::Nftables,
            });
        }
        if let Some(backend) = walk.backend {
            explanation.backend = self.chosen(backend);
        }
        explanation.then = match walk.end {
            End::Accepted => Then::Pass,
            End::Rejected => refusal(packet.protocol),
            End::Translated(to) => Then::Translate {
                to,
                source: walk.source.as_ref().map(in_words),
            },
        };
        explanation.because = match (&walk.reason, walk.backend, service) {
            // Only what the program has not taken comes to the chain of one of its backends, and is rejected.
            (_, Some(_), _) if walk.end == End::Rejected => Because::Unseen,
            (Some(Reason::Drawn(_)), Some(_), _) if walk.asked => Because::Asked,
            (Some(Reason::Drawn(draw)), Some(_), _) => Because::Schedule(draw.clone()),
            (Some(Reason::Pinned(client)), Some(_), _) => Because::Pin { client: *client },
            (Some(Reason::Remembered(client, expires)), Some(_), _) => Because::Persistence {
                client: *client,
                expires: *expires,
            },
            (Some(Reason::Chosen), Some(_), _) => Because::Program,
            (_, None, Some(name)) => Because::Nobody {
                backends: self.obstacles(name, pool_of(&packet, name).family)?,
            },
            _ if walk.closed => Because::Closed {
                listeners: self.listening(&packet),
            },
            _ => Because::NotOurs {
                listeners: self.listening(&packet),
            },
        };
        Ok(())
    }
}

/// The source address that a translated connection gets.
fn in_words(source: &Statement) -> String {
    match source {
        Statement::Snat { first, last } if first == last => first.to_string(),
        Statement::Snat { first, last } => format!("{first}-{last}"),
        _ => "masquerade".to_owned(),
    }
}
