//! The door to nftables: plans go in as one transaction, our tables come out as they are.
//!
//! The twin of `nft -f` and `nft list table`; kernel 5.14 or newer (element counters of sets), of which 6.1
//! and newer are tested.

mod batch;
mod contents;
mod decode;
mod encode;
mod expression;
mod object;
mod queue;
mod shape;
mod statements;
mod uapi;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use nftnl::MsgType;

use self::decode::Reading;
use self::encode::{protocol_family, refused};
use self::queue::QueueForm;
use super::netlink::{Attributes, Message, NetlinkError, Request, Socket};
use super::{BackendTraffic, Nft, NftError, Remembered};
use crate::plan::{Observed, Op, Plan};
use crate::ruleset::{Family, GUARD, IdMap, TABLE};
use crate::scheduler::BackendId;

/// How often a dump is begun anew because somebody changed the ruleset under it.
const ATTEMPTS: usize = 20;

/// A netlink socket to nf_tables, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct NftSocket {
    socket: Socket,
    /// How this kernel has packets wait, once that had to be known.
    queue: Option<QueueForm>,
}

/// What became of a batch.
enum Verdict {
    Applied,
    /// The kernel refused it: the first step where it can be told, and why.
    Refused(Option<usize>, io::Error),
    /// The answer was lost.
    Unknown(NetlinkError),
}

/// Why it is not known what became of a batch.
enum Unheard {
    /// It was not sent.
    Sending(NetlinkError),
    /// The answer was lost.
    Answer(NetlinkError),
}

impl From<NetlinkError> for NftError {
    fn from(error: NetlinkError) -> Self {
        match error {
            NetlinkError::Os(action, source) => NftError::Socket { action, source },
            NetlinkError::Refused(source) => NftError::Socket {
                action: "read nftables",
                source,
            },
            NetlinkError::Malformed(words) => NftError::Malformed(words),
        }
    }
}

fn kind(message: i32) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES << 8 | message) as u16
}

fn dump(message: i32, family: Family) -> Request {
    Request::netfilter(kind(message), libc::NLM_F_DUMP, protocol_family(family) as u8, 0)
}

/// Whether what was asked for is not there.
fn is_missing(error: &NetlinkError) -> bool {
    matches!(error, NetlinkError::Refused(why) if why.raw_os_error() == Some(libc::ENOENT))
}

impl NftSocket {
    /// Opens a socket.
    pub fn open() -> Result<Self, NftError> {
        Ok(NftSocket {
            socket: Socket::open()?,
            queue: None,
        })
    }

    fn read_generation(&mut self) -> Result<u32, NetlinkError> {
        let mut generation = None;
        let request = Request::netfilter(kind(libc::NFT_MSG_GETGEN), libc::NLM_F_ACK, 0, 0);
        self.socket.ask(request, |message| {
            generation = message.attributes().u32(uapi::GENERATION_ID);
            Ok(())
        })?;
        generation.ok_or_else(|| NetlinkError::Malformed("the ruleset has no generation".into()))
    }

    /// Whether a dump stood still while it was read: false asks for another attempt.
    fn walk(&mut self, request: Request, mut take: impl FnMut(Message<'_>)) -> Result<bool, NetlinkError> {
        let walked = self.socket.ask(request, |message| {
            take(message);
            Ok(())
        });
        match walked {
            // The table or set went away since it was listed.
            Err(error) if is_missing(&error) => Ok(false),
            other => other,
        }
    }

    /// Reads our table and guard of a family, or nothing where somebody changed them meanwhile.
    fn read_family(&mut self, family: Family, observed: &mut Observed) -> Result<bool, NetlinkError> {
        let (mut ours, mut guard) = (None, None);
        let request = dump(libc::NFT_MSG_GETTABLE, family);
        let mut steady = self.walk(request, |message| {
            let reading = match message.attributes().text(uapi::table::NAME).as_deref() {
                Some(TABLE) => ours.insert(Reading::new(family)),
                Some(GUARD) => guard.insert(Reading::new(family)),
                _ => return,
            };
            reading.table(message.attributes());
        })?;
        if let Some(mut guard) = guard {
            steady &= self.read_chains(family, GUARD, &mut guard)?;
            if guard.is_guard() {
                observed.guards.push(family);
            }
        }
        if let Some(mut ours) = ours {
            steady &= self.read_chains(family, TABLE, &mut ours)?;
            steady &= self.read_sets(family, &mut ours)?;
            observed.tables.insert(family, ours.table);
        }
        Ok(steady)
    }

    fn read_chains(
        &mut self,
        family: Family,
        table: &str,
        reading: &mut Reading,
    ) -> Result<bool, NetlinkError> {
        let is_of = |dump: Attributes<'_>, attribute| dump.text(attribute).as_deref() == Some(table);
        let chains = self.walk(dump(libc::NFT_MSG_GETCHAIN, family), |message| {
            if is_of(message.attributes(), uapi::chain::TABLE) {
                reading.chain(message.attributes());
            }
        })?;
        let request = dump(libc::NFT_MSG_GETRULE, family).text(uapi::rule::TABLE, table);
        let rules = self.walk(request, |message| reading.rule(message.attributes()))?;
        Ok(chains && rules)
    }

    fn read_sets(&mut self, family: Family, reading: &mut Reading) -> Result<bool, NetlinkError> {
        let mut sets = Vec::new();
        let request = dump(libc::NFT_MSG_GETSET, family).text(uapi::set::TABLE, TABLE);
        let mut steady = self.walk(request, |message| sets.extend(reading.set(message.attributes())))?;
        for set in sets {
            let request = elements_of(family, &set.to_string());
            steady &= self.walk(request, |message| reading.elements(&set, message.attributes()))?;
        }
        for (message, what) in [
            (libc::NFT_MSG_GETOBJ, "object"),
            (uapi::GET_FLOWTABLE, "flowtable"),
        ] {
            let request = dump(message, family).text(uapi::object::TABLE, TABLE);
            steady &= self.walk(request, |message| {
                if message.attributes().text(uapi::object::TABLE).as_deref() == Some(TABLE) {
                    reading.foreign(what, message.attributes());
                }
            })?;
        }
        Ok(steady)
    }

    /// Sends a batch and hears what became of it.
    fn submit(&mut self, batch: batch::Batch) -> Result<Verdict, NetlinkError> {
        let mut refusals = Vec::new();
        let heard = self.hear(batch, &mut refusals);
        Ok(match (refusals.into_iter().next(), heard) {
            (Some((step, why)), _) => Verdict::Refused(step, why),
            (None, Ok(())) => Verdict::Applied,
            (None, Err(Unheard::Sending(error))) => return Err(error),
            (None, Err(Unheard::Answer(error))) => Verdict::Unknown(error),
        })
    }

    /// Sends a batch and collects what the kernel refuses of it: the step where it can be told, and why.
    fn hear(
        &mut self,
        batch: batch::Batch,
        refusals: &mut Vec<(Option<usize>, io::Error)>,
    ) -> Result<(), Unheard> {
        let first = self.socket.sequences(batch.count());
        let sealed = batch.seal(first);
        let last = sealed.steps.len() as u32;
        self.socket.send(&sealed.bytes).map_err(Unheard::Sending)?;
        loop {
            let messages = match self.socket.receive() {
                Ok(messages) => messages,
                // Too many refusals for the buffer: the first ones, which count, are in it.
                Err(NetlinkError::Os(_, why)) if why.raw_os_error() == Some(libc::ENOBUFS) => continue,
                Err(error) => return Err(Unheard::Answer(error)),
            };
            for message in messages.filter(|it| i32::from(it.kind) == libc::NLMSG_ERROR) {
                // 0 is the begin, `last` the message that asked for an acknowledgement.
                let Some(index) = message.sequence.checked_sub(first).filter(|it| *it <= last + 1) else {
                    continue;
                };
                if message.error() != 0 {
                    let step = index
                        .checked_sub(1)
                        .and_then(|it| sealed.steps.get(it as usize))
                        .copied();
                    refusals.push((step, io::Error::from_raw_os_error(message.error())));
                }
                let refused_as_a_whole = index == 0 && message.error() != 0;
                if index >= last || refused_as_a_whole {
                    return Ok(());
                }
            }
        }
    }

    /// Tries steps in a table of its own and takes them back: what the kernel refuses of them, each step by
    /// its number; none where it refuses all of them.
    pub(super) fn rehearse(&mut self, plan: &Plan) -> Result<Vec<(Option<usize>, io::Error)>, NftError> {
        let mut plan = plan.clone();
        // A step that is refused for certain, so that nothing of the batch stays.
        let refused = plan.ops.len();
        plan.ops.push(Op::DeleteChain(Family::V4, "never".to_owned()));
        let mut refusals = Vec::new();
        let form = self.queue.unwrap_or_default();
        let batch = encode::batch_for(c"wvs-rehearsal", &plan, 0, form)?;
        match self.hear(batch, &mut refusals) {
            Ok(()) => {}
            Err(Unheard::Sending(error) | Unheard::Answer(error)) => return Err(error.into()),
        }
        refusals.retain(|(step, _)| *step != Some(refused));
        Ok(refusals)
    }

    /// How rules of a plan have packets wait, if any does: found out by trying, once.
    fn queue_form(&mut self, plan: &Plan) -> Result<QueueForm, NftError> {
        if self.queue.is_none() && queue::is_in(plan) {
            let refusals = self.rehearse(&queue::trial())?;
            self.queue = Some(if refusals.is_empty() {
                QueueForm::Expression
            } else {
                QueueForm::Target
            });
        }
        Ok(self.queue.unwrap_or_default())
    }

    /// Deletes the tables that stand, as one transaction, and says whether there were any.
    fn delete_all(&mut self, generation: u32) -> Result<Option<bool>, NftError> {
        let mut batch = batch::Batch::new(generation);
        for family in Family::ALL {
            let mut names = Vec::new();
            self.walk(dump(libc::NFT_MSG_GETTABLE, family), |message| {
                let name = message.attributes().text(uapi::table::NAME);
                names.extend(name.filter(|it| it == TABLE || it == GUARD));
            })?;
            for name in names {
                let name = expression::name(&name).map_err(|source| NftError::Socket {
                    action: "name a table",
                    source,
                })?;
                batch.add(0, &nftnl::Table::new(name, protocol_family(family)), MsgType::Del);
            }
        }
        if batch.count() == 2 {
            return Ok(Some(false));
        }
        match self.submit(batch)? {
            Verdict::Applied => Ok(Some(true)),
            Verdict::Refused(_, why) if is_stale(&why) => Ok(None),
            Verdict::Refused(_, source) => Err(NftError::Refused {
                step: format!("delete table {TABLE}"),
                source,
            }),
            Verdict::Unknown(error) => Err(error.into()),
        }
    }
}

/// Whether the ruleset is of another generation than the batch asked for (`NFNL_BATCH_GENID`).
fn is_stale(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ERESTART)
}

fn elements_of(family: Family, set: &str) -> Request {
    dump(libc::NFT_MSG_GETSETELEM, family)
        .text(uapi::element::TABLE, TABLE)
        .text(uapi::element::SET, set)
}

/// The generation behind one commit; the kernel never uses 0.
fn next_generation(generation: u32) -> u32 {
    generation.checked_add(1).unwrap_or(1)
}

impl Nft for NftSocket {
    fn observe(&mut self) -> Result<Observed, NftError> {
        for _ in 0..ATTEMPTS {
            let mut observed = Observed {
                generation: self.read_generation()?,
                ..Observed::default()
            };
            let mut steady = true;
            for family in Family::ALL {
                steady &= self.read_family(family, &mut observed)?;
            }
            if steady && self.read_generation()? == observed.generation {
                return Ok(observed);
            }
        }
        Err(NftError::Stale)
    }

    fn generation(&mut self) -> Result<u32, NftError> {
        Ok(self.read_generation()?)
    }

    fn commit(&mut self, plan: &Plan, generation: u32) -> Result<u32, NftError> {
        if plan.is_empty() {
            return Ok(generation);
        }
        let form = self.queue_form(plan)?;
        let verdict = self.submit(encode::batch(plan, generation, form)?)?;
        let next = next_generation(generation);
        match verdict {
            // A batch that changes nothing leaves the generation alone. Where it stands further on, somebody
            // else has committed since: the caller learns it at the next commit.
            Verdict::Applied if self.read_generation()? == generation => Ok(generation),
            Verdict::Applied => Ok(next),
            Verdict::Refused(None, why) if is_stale(&why) => Err(NftError::Stale),
            Verdict::Refused(step, source) => match step.and_then(|step| plan.ops.get(step)) {
                Some(op) => Err(refused(op, source)),
                None => Err(NftError::Refused {
                    step: "the whole batch".to_owned(),
                    source,
                }),
            },
            // The ruleset itself knows whether the batch went through.
            Verdict::Unknown(_) if self.read_generation()? == next => Ok(next),
            Verdict::Unknown(error) => Err(error.into()),
        }
    }

    fn traffic(
        &mut self,
        family: Family,
        shift: u32,
    ) -> Result<BTreeMap<BackendId, BackendTraffic>, NftError> {
        self.read_traffic(family, shift)
    }

    fn position(&mut self, family: Family, chain: &str) -> Result<u64, NftError> {
        self.read_position(family, chain)
    }

    fn counted(&mut self, family: Family) -> Result<BTreeMap<String, Vec<u64>>, NftError> {
        self.read_counted(family)
    }

    fn client(
        &mut self,
        family: Family,
        map: &IdMap,
        client: IpAddr,
    ) -> Result<Option<Remembered>, NftError> {
        self.read_client(family, map, client)
    }

    fn remembered(&mut self, family: Family, map: &IdMap, most: usize) -> Result<Vec<Remembered>, NftError> {
        self.read_clients(family, map, most)
    }

    fn teardown(&mut self) -> Result<bool, NftError> {
        for _ in 0..ATTEMPTS {
            let generation = self.read_generation()?;
            if let Some(found) = self.delete_all(generation)? {
                return Ok(found);
            }
        }
        Err(NftError::Stale)
    }
}
