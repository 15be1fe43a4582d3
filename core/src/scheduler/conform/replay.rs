//! Leads a scheduler through a sequence and looks at every answer.

use std::collections::HashMap;

use super::sequence::{Event, Scene, Sequence};
use super::soak::FIX;
use super::subject::{Slots, Subject, differences};
use crate::scheduler::stage::ChangeKind;
use crate::scheduler::{BackendId, Breach, CallError, Candidate, Dispatch, Instance};

/// Whose share is so many slots by weight, is to have one: less is within the chance of tables made by hashes.
pub(super) const ENOUGH: f64 = 16.0;

/// Something that a scheduler must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Invariant {
    Answers,
    TableLength,
    KnownBackends,
    UsableBackends,
    Nobody,
    Stability,
    Repeatability,
    OtherDirectors,
    Served,
    Starvation,
    Fairness,
    Remap,
    Time,
    Memory,
}

impl Invariant {
    pub(super) const ALL: [Self; 14] = [
        Self::Answers,
        Self::TableLength,
        Self::KnownBackends,
        Self::UsableBackends,
        Self::Nobody,
        Self::Stability,
        Self::Repeatability,
        Self::OtherDirectors,
        Self::Served,
        Self::Starvation,
        Self::Fairness,
        Self::Remap,
        Self::Time,
        Self::Memory,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Answers => "answers",
            Self::TableLength => "table length",
            Self::KnownBackends => "known backends only",
            Self::UsableBackends => "usable backends only",
            Self::Nobody => "nobody to choose",
            Self::Stability => "stable under no change",
            Self::Repeatability => "repeatable",
            Self::OtherDirectors => "the same on every director",
            Self::Served => "nobody turned away",
            Self::Starvation => "no starvation",
            Self::Fairness => "fairness",
            Self::Remap => "small remap",
            Self::Time => "in time",
            Self::Memory => "memory stays",
        }
    }

    pub(super) fn fix(self) -> &'static str {
        match self {
            Self::Answers => {
                "a trap is a panic, an index out of bounds or an `unreachable`; whatever backends and connections it is \
                 told of, it has to answer"
            }
            Self::TableLength => "answer exactly as many entries as were asked for",
            Self::KnownBackends => {
                "keep nothing of a backend that was not in the last update: each update is the full list"
            }
            Self::UsableBackends => {
                "leave out, at every update, backends of weight 0 and those that drain, are full or down"
            }
            Self::Nobody => "without a usable backend every entry is 0xffffffff, or `none`",
            Self::Stability => {
                "make the table from the last update and observe only; draw random numbers there, not in fill"
            }
            Self::Repeatability => "take random numbers and the time from the host only",
            Self::OtherDirectors => {
                "clients move when another director takes over: make the table from addresses, ports and weights only"
            }
            Self::Served => {
                "connections that meet an empty entry are refused: right for a scheduler that limits, else name a \
                 backend"
            }
            Self::Starvation => "give everybody who has a weight a slot",
            Self::Fairness => {
                "promise less, or divide the slots by largest remainders (`apportion` in the SDK does)"
            }
            Self::Remap => {
                "clients lose their sessions for nothing: let each entry depend on the backends that win it, as \
                 rendezvous hashing and Maglev do"
            }
            Self::Time => "do less in one call, or less per backend and slot",
            Self::Memory => FIX,
        }
    }
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Violation {
    pub(super) invariant: Invariant,
    /// After so many events.
    pub(super) after: usize,
    pub(super) what: String,
    /// What to do, where more is known than of the invariant.
    pub(super) fix: Option<&'static str>,
}

/// What a scheduler has promised, and what it is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) proportional: Option<u32>,
}

/// What was seen in sequences.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) events: u64,
    pub(super) tables: u64,
    pub(super) violations: Vec<Violation>,
    /// The share that is farthest off, in slots, and whose.
    pub(super) farthest: (f64, String),
    /// Shares of slots that moved and did not have to when a usable backend went.
    pub(super) remaps: Vec<f64>,
}

/// A sequence under way.
struct Replay<'a> {
    subject: &'a Subject<'a>,
    sequence: &'a Sequence,
    bounds: Bounds,
    tally: &'a mut Tally,
    after: usize,
}

/// Leads a scheduler through a sequence. An invariant that does not hold is told once.
pub(super) fn replay(subject: &Subject<'_>, sequence: &Sequence, bounds: Bounds, tally: &mut Tally) {
    let mut replay = Replay {
        subject,
        sequence,
        bounds,
        tally,
        after: 0,
    };
    let mut scene = Scene::default();
    if let Err(error) = replay.go(&mut scene) {
        let anybody = scene.stage.backends().iter().any(Candidate::usable);
        let invariant = broken(&error, anybody);
        replay.violated(invariant, error.to_string());
        let noted = replay.tally.violations.iter_mut();
        if let Some(violation) = noted.rev().find(|it| it.invariant == invariant) {
            violation.fix = fix_for(&error, invariant);
        }
    }
}

/// Which invariant a failed call breaks.
pub(super) fn broken(error: &CallError, anybody: bool) -> Invariant {
    match error {
        CallError::Contract { what, .. } => match what {
            Breach::Length { .. } => Invariant::TableLength,
            Breach::Unknown { .. } | Breach::Unusable { .. } if !anybody => Invariant::Nobody,
            Breach::Unknown { .. } => Invariant::KnownBackends,
            Breach::Unusable { .. } => Invariant::UsableBackends,
            _ => Invariant::Answers,
        },
        CallError::Deadline { .. } => Invariant::Time,
        _ => Invariant::Answers,
    }
}

/// What to do about a failed call, where that is more than there is to say of the invariant.
pub(super) fn fix_for(error: &CallError, invariant: Invariant) -> Option<&'static str> {
    (invariant == Invariant::Answers).then(|| error.remedy())
}

impl Replay<'_> {
    fn violated(&mut self, invariant: Invariant, what: String) {
        let after = self.after;
        let known = &mut self.tally.violations;
        if known.iter().all(|violation| violation.invariant != invariant) {
            known.push(Violation {
                invariant,
                after,
                what,
                fix: None,
            });
        }
    }

    fn go(&mut self, scene: &mut Scene) -> Result<(), CallError> {
        let mut instance = self.subject.start()?;
        let mut twin = self.subject.start()?;
        let dispatch = instance.dispatch();
        let (mut before, mut weights) = (Slots::new(), HashMap::new());
        for event in &self.sequence.events {
            self.after += 1;
            self.tally.events += 1;
            scene.happen(*event);
            let table = self.ask(&mut instance, scene)?;
            self.tally.tables += 1;
            if self.ask(&mut twin, scene)? != table {
                let what = "two instances with the same seed answer differently to the same events";
                self.violated(Invariant::Repeatability, what.to_owned());
            }
            if dispatch != Dispatch::Flow {
                self.unchanged(&mut instance, scene, &table)?;
                // The twin hears the same, or it would be no twin.
                self.again(&mut twin, scene)?;
            }
            self.shares(&instance, scene, &table);
            let weights_now = effective(scene);
            if matches!(dispatch, Dispatch::Hash(_)) {
                self.moved(*event, (&before, &weights), &table);
            }
            (before, weights) = (table, weights_now);
        }
        if let Dispatch::Hash(_) = dispatch {
            self.elsewhere(scene, &before)?;
        }
        Ok(())
    }

    fn ask(&self, instance: &mut Instance, scene: &Scene) -> Result<Slots, CallError> {
        let backends = scene.stage.backends();
        self.subject
            .loaded_table(instance, backends, &scene.loads(), self.sequence.slots)
    }

    /// The table is asked for again, then everything is told again.
    fn again(&self, instance: &mut Instance, scene: &Scene) -> Result<[Slots; 2], CallError> {
        let count = scene.stage.backends().len();
        let asked = self.subject.fill(instance, count, self.sequence.slots)?;
        Ok([asked, self.ask(instance, scene)?])
    }

    fn unchanged(&mut self, instance: &mut Instance, scene: &Scene, table: &Slots) -> Result<(), CallError> {
        let [asked, told] = self.again(instance, scene)?;
        let of = table.len();
        let hash = matches!(instance.dispatch(), Dispatch::Hash(_));
        match (differences(table, &asked), differences(table, &told)) {
            (0, 0) => {}
            (0, differing) if hash => self.violated(
                Invariant::Stability,
                format!("{differing} of {of} entries change when the same backends are told again"),
            ),
            // Who draws lots draws again when told again, and says so.
            (0, _) => {}
            (differing, _) => self.violated(
                Invariant::Stability,
                format!("{differing} of {of} entries change although nothing happened"),
            ),
        }
        Ok(())
    }

    /// How the slots are shared out.
    fn shares(&mut self, instance: &Instance, scene: &Scene, table: &Slots) {
        let usable = || scene.stage.backends().iter().filter(|known| known.usable());
        let all: u64 = usable().map(|known| u64::from(known.weight)).sum();
        if all == 0 {
            return;
        }
        let mut shares: HashMap<BackendId, u32> = HashMap::new();
        for id in table.iter().flatten() {
            *shares.entry(*id).or_default() += 1;
        }
        let empty = table.iter().filter(|entry| entry.is_none()).count();
        if empty > 0 {
            let what = format!("{empty} of {} entries are empty although a backend is usable", table.len());
            self.violated(Invariant::Served, what);
        }
        let by_weight = self.sequence.is_quiet() || !instance.wants_load();
        for known in usable() {
            let due = f64::from(known.weight) * table.len() as f64 / all as f64;
            let share = shares.get(&known.id).copied().unwrap_or(0);
            let name = format!("b{}", known.id.0);
            if share == 0 && due >= ENOUGH {
                let what =
                    format!("{name} gets none of {} slots; by weight it would be {due:.1}", table.len());
                self.violated(Invariant::Starvation, what);
            }
            let off = (f64::from(share) - due).abs();
            if !by_weight {
                continue;
            }
            let what = || format!("{name} gets {share} of {} slots instead of {due:.1}", table.len());
            if off > self.tally.farthest.0 {
                self.tally.farthest = (off, what());
            }
            if self
                .bounds
                .proportional
                .is_some_and(|slots| off >= f64::from(slots))
            {
                self.violated(Invariant::Fairness, what());
            }
        }
    }

    /// What becomes of the others' clients when a backend goes.
    fn moved(&mut self, event: Event, before: (&Slots, &HashMap<BackendId, u32>), table: &Slots) {
        let Event::Change(change) = event else { return };
        let goes = matches!(
            change.kind,
            ChangeKind::Remove | ChangeKind::Down | ChangeKind::Drain | ChangeKind::Full
        );
        let gone = BackendId(change.backend);
        let (slots, weights) = before;
        let was_usable = weights.get(&gone).is_some_and(|weight| *weight > 0);
        if !goes || !was_usable || table.iter().all(Option::is_none) {
            return;
        }
        let others = slots
            .iter()
            .zip(table)
            .filter(|(was, _)| was.is_some_and(|was| was != gone));
        let (mut all, mut moved) = (0_u32, 0_u32);
        for (was, is) in others {
            all += 1;
            moved += u32::from(was != is);
        }
        if all > 0 {
            self.tally.remaps.push(f64::from(moved) / f64::from(all));
        }
    }

    /// Another director numbers the same backends differently, lists them in another order, and began just now.
    fn elsewhere(&mut self, scene: &Scene, table: &Slots) -> Result<(), CallError> {
        const BY: u16 = 1000;
        let mut others: Vec<Candidate> = scene.stage.backends().iter().rev().cloned().collect();
        others.iter_mut().for_each(|other| other.id.0 += BY);
        let mut loads = scene.loads();
        loads.reverse();
        let mut other = self.subject.start()?;
        let theirs = self
            .subject
            .loaded_table(&mut other, &others, &loads, self.sequence.slots)?;
        let renumbered: Slots = theirs
            .into_iter()
            .map(|entry| entry.map(|id| BackendId(id.0 - BY)))
            .collect();
        let differing = differences(table, &renumbered);
        if differing > 0 {
            let what = format!(
                "for the same backends {differing} of {} entries differ on a director that numbers and lists them \
                 differently and has just begun",
                table.len()
            );
            self.violated(Invariant::OtherDirectors, what);
        }
        Ok(())
    }
}

fn effective(scene: &Scene) -> HashMap<BackendId, u32> {
    let weight = |known: &Candidate| if known.usable() { known.weight } else { 0 };
    scene
        .stage
        .backends()
        .iter()
        .map(|known| (known.id, weight(known)))
        .collect()
}
