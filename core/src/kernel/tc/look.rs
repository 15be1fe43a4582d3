//! Looking into the program: questions that it answers itself, and what is in the kernel of it.

use std::collections::BTreeMap;

use wvs_tc_bpf::layout::PRIORITY_TAG;
use wvs_tc_bpf::{Forwarder, RunError};

use super::{TcError, TcSettings, held};
use crate::api::{Attachment, LoadedProgram, MapView, Neighbour};
use crate::scheduler::BackendId;
use crate::tc::TcState;

/// TC_ACT_SHOT: what the program says where it would ask a scheduler.
const SHOT: i32 = 2;

/// What would become of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It would go to a backend.
    Backend(BackendId),
    /// A scheduler would be asked for its backend.
    Asked,
    /// It is a service's, and would be refused.
    Refused,
    /// It would go on as if the program were not there.
    NotOurs,
}

/// What is in the kernel of the program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The programs; the one that is attached first.
    pub programs: Vec<LoadedProgram>,
    /// Where it is attached, and what else is there.
    pub attachments: Vec<Attachment>,
    /// The maps.
    pub maps: Vec<MapView>,
    /// What they hold, but for interfaces.
    pub holds: TcState,
    /// How many connections the cycles have handed out.
    pub positions: BTreeMap<u32, u64>,
}

/// Asks the program.
pub(super) fn ask(forwarder: &Forwarder, frame: &[u8], mark: u32) -> Result<Answer, RunError> {
    let outcome = forwarder.explain(frame, mark)?;
    Ok(match u16::try_from(outcome.mark) {
        Ok(id) if id != 0 => Answer::Backend(BackendId(id)),
        _ if outcome.verdict == SHOT => Answer::Asked,
        _ if outcome.priority == PRIORITY_TAG => Answer::Refused,
        _ => Answer::NotOurs,
    })
}

/// Reads all of it back.
pub(super) fn inventory(settings: &TcSettings, forwarder: &Forwarder) -> Result<Inventory, TcError> {
    let maps = forwarder.maps();
    let holds = held(maps)?;
    let positions = holds
        .services
        .keys()
        .map(|number| Ok((*number, maps.cycle(*number)?)));
    let positions = positions.collect::<Result<_, TcError>>()?;
    let programs = forwarder.programs()?.into_iter().map(|it| LoadedProgram {
        name: it.name,
        id: it.id,
        tag: format!("{:016x}", it.tag),
        verified_instructions: it.verified_instructions,
    });
    let maps = forwarder.pinned_maps()?.into_iter().map(|it| MapView {
        name: it.name,
        id: it.id,
        key_size: it.key_size,
        value_size: it.value_size,
        max_entries: it.max_entries,
    });
    Ok(Inventory {
        programs: programs.collect(),
        attachments: attachments(settings)?,
        maps: maps.collect(),
        holds,
        positions,
    })
}

fn attachments(settings: &TcSettings) -> Result<Vec<Attachment>, TcError> {
    let all = Forwarder::attachments(&settings.pin_dir)?;
    all.into_iter()
        .map(|it| {
            // Where nothing of ours runs any more, the interface may have gone.
            let ingress = match it.program {
                Some(_) => Forwarder::at_ingress(&settings.pin_dir, &it.interface)?,
                None => Vec::new(),
            };
            let ingress = ingress.into_iter().map(|it| Neighbour {
                hook: it.hook.word().to_owned(),
                name: it.name,
                program: it.program,
                ours: it.ours,
            });
            Ok(Attachment {
                interface: it.interface,
                ifindex: it.ifindex,
                hook: it.hook.word().to_owned(),
                program: it.program,
                ingress: ingress.collect(),
            })
        })
        .collect()
}
