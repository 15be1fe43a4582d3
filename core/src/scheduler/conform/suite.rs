//! The suite: what every scheduler must hold, whatever happens to its service.

use std::collections::BTreeMap;

use super::replay::{Bounds, Invariant, Tally, Violation, broken, fix_for, replay};
use super::sequence::Sequence;
use super::shrink::shrink;
use super::soak::{Soaked, soak};
use super::subject::{Subject, sample_backends};
use super::{Promises, Verdict, checks};
use crate::scheduler::{CallError, Candidate, Dispatch, Load, ParamError, Plugin};

/// A call that runs into its deadline takes a quarter of a second.
const SLOW_TRIES: u32 = 12;
/// So many backends make a large service.
const LARGE: u16 = 1000;
/// Where more of the other clients move on average, whoever goes by a hash might as well not.
const BEARABLE: f64 = 0.15;

/// How a scheduler is tested.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// So many sequences of events.
    pub sequences: u32,
    /// The same seed makes the same sequences.
    pub seed: u64,
    /// What the author promises.
    pub promises: Promises,
}

/// What a test found.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The seed of the sequences.
    pub seed: u64,
    /// So many sequences.
    pub sequences: u32,
    /// So many events in them.
    pub events: u64,
    /// What every scheduler must hold, one by one.
    pub invariants: Vec<Held>,
    /// What could not be tested, because it failed before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub untested: Vec<&'static str>,
}

/// Whether a scheduler holds an invariant.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Held {
    /// Its name.
    pub invariant: &'static str,
    /// Whether it holds.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What the author can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// The shortest way there that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reproduction: Option<Reproduction>,
}

/// How to see a fault.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Reproduction {
    /// The sequence in which it was found.
    pub sequence: u32,
    /// Tables have so many slots; so many connections are asked for where there are no tables.
    pub slots: u32,
    /// What happens to a service without backends. After each the scheduler is told of it and asked.
    pub events: Vec<String>,
    /// What it does then.
    pub then: String,
}

/// What is known of an invariant that does not hold.
struct Fault {
    violation: Violation,
    sequence: Option<Sequence>,
}

/// Tests a plugin with these parameters, which are completed by their defaults.
///
/// # Errors
/// What is wrong with the parameters, before anything is tested.
pub fn test(
    plugin: &Plugin,
    params: &BTreeMap<String, String>,
    trial: Trial,
) -> Result<Report, Vec<ParamError>> {
    let subject = Subject::new(plugin, plugin.check_params(params)?);
    let bounds = Bounds {
        proportional: trial.promises.proportional,
    };
    let mut faults: BTreeMap<Invariant, Fault> = BTreeMap::new();
    let mut sum = Tally::default();
    for number in 0..trial.sequences {
        let sequence = Sequence::new(trial.seed, number);
        replay(&subject, &sequence, bounds, &mut sum);
        for violation in sum.violations.drain(..) {
            faults.entry(violation.invariant).or_insert_with(|| Fault {
                violation,
                sequence: Some(sequence.clone()),
            });
        }
        // Who cannot be started, or is stopped each time, would take minutes to say the same.
        if faults.contains_key(&Invariant::Time) {
            break;
        }
    }
    if let Err(error) = large(&subject) {
        let invariant = broken(&error, true);
        let what = format!("with {LARGE} backends: {error}");
        faults.entry(invariant).or_insert(Fault {
            violation: Violation {
                invariant,
                after: 0,
                what,
                fix: fix_for(&error, invariant),
            },
            sequence: None,
        });
    }
    // Who fails is not asked thousands of times more.
    let soaked = if faults.is_empty() {
        soaked(&subject, &mut faults)
    } else {
        None
    };
    let judge = Judge {
        subject: &subject,
        trial,
        bounds,
        dispatch: subject.start().ok().map(|instance| instance.dispatch()),
        sum: &sum,
        soaked,
    };
    let tested = |invariant: &Invariant| faults.contains_key(invariant) || judge.is_known(*invariant);
    let (tested, untested): (Vec<_>, Vec<_>) = Invariant::ALL.into_iter().partition(tested);
    let held = tested
        .into_iter()
        .map(|invariant| judge.held(invariant, faults.get(&invariant)));
    Ok(Report {
        seed: trial.seed,
        sequences: trial.sequences,
        events: sum.events,
        invariants: held.collect(),
        untested: untested.into_iter().map(Invariant::name).collect(),
    })
}

/// What to say of a memory that stays; one that grows is a fault.
fn soaked(subject: &Subject<'_>, faults: &mut BTreeMap<Invariant, Fault>) -> Option<String> {
    let (invariant, what, fix) = match soak(subject) {
        Ok(Soaked::Stays(what)) => return Some(what),
        Ok(Soaked::Leaks(what)) => (Invariant::Memory, what, None),
        Err(error) => {
            let invariant = broken(&error, true);
            (invariant, error.to_string(), fix_for(&error, invariant))
        }
    };
    let violation = Violation {
        invariant,
        after: 0,
        what,
        fix,
    };
    faults.insert(
        invariant,
        Fault {
            violation,
            sequence: None,
        },
    );
    None
}

/// A service with a thousand backends, of which one after the other drains; then without connections.
fn large(subject: &Subject<'_>) -> Result<(), CallError> {
    let mut instance = subject.start()?;
    let mut backends: Vec<Candidate> = sample_backends(1, LARGE);
    let mut loads: Vec<Load> = (0..u32::from(LARGE))
        .map(|n| Load {
            active: n * 13 % 50,
            inactive: n * 7 % 400,
        })
        .collect();
    for index in (0..backends.len()).step_by(100) {
        backends[index].draining = true;
        loads[index].active += 100;
        subject.loaded_table(&mut instance, &backends, &loads, 4096)?;
    }
    subject.table(&mut instance, &backends, 4096).map(drop)
}

/// Says how each invariant came out.
struct Judge<'a> {
    subject: &'a Subject<'a>,
    trial: Trial,
    bounds: Bounds,
    dispatch: Option<Dispatch>,
    sum: &'a Tally,
    /// How its memory was.
    soaked: Option<String>,
}

impl Judge<'_> {
    /// Whether there is anything to say of what no fault was found in.
    fn is_known(&self, invariant: Invariant) -> bool {
        match invariant {
            Invariant::Memory => self.soaked.is_some(),
            _ => self.sum.tables > 0,
        }
    }

    fn held(&self, invariant: Invariant, fault: Option<&Fault>) -> Held {
        let (verdict, detail, fix) = match fault {
            Some(Fault { violation, .. }) => (
                self.severity(invariant),
                violation.what.clone(),
                Some(violation.fix.unwrap_or_else(|| invariant.fix())),
            ),
            None => self.passed(invariant),
        };
        let reproduction = fault.and_then(|fault| {
            let sequence = fault.sequence.as_ref()?;
            Some(self.reproduction(sequence, &fault.violation))
        });
        // The short way shows the same fault, but perhaps in other numbers.
        let detail = reproduction
            .as_ref()
            .map_or(detail, |reproduction| reproduction.then.clone());
        Held {
            invariant: invariant.name(),
            verdict,
            detail,
            fix: fix.map(str::to_owned),
            reproduction,
        }
    }

    /// What is right for some schedulers is a note, unless the author promises otherwise.
    fn severity(&self, invariant: Invariant) -> Verdict {
        let fails = match invariant {
            Invariant::Stability => self.is_hash(),
            Invariant::Served | Invariant::OtherDirectors => false,
            Invariant::Starvation => self.trial.promises.everybody,
            _ => true,
        };
        if fails { Verdict::Failed } else { Verdict::Note }
    }

    fn is_hash(&self) -> bool {
        matches!(self.dispatch, Some(Dispatch::Hash(_)))
    }

    fn passed(&self, invariant: Invariant) -> (Verdict, String, Option<&'static str>) {
        let passed = |detail: String| (Verdict::Passed, detail, None);
        let Tally { events, tables, .. } = self.sum;
        let flow = self.dispatch == Some(Dispatch::Flow);
        match invariant {
            Invariant::Answers => {
                passed(format!("{events} events and {LARGE} backends, and an answer each time"))
            }
            Invariant::TableLength if flow => passed("it makes no tables".to_owned()),
            Invariant::TableLength => passed(format!("{tables} tables as asked for")),
            Invariant::Stability if flow => passed("it makes no tables".to_owned()),
            Invariant::OtherDirectors if !self.is_hash() => {
                passed("not asked of a scheduler that does not go by a hash".to_owned())
            }
            Invariant::Fairness => passed(self.fairness()),
            Invariant::Remap => self.remap(),
            Invariant::Time => {
                let outcome = checks::time(self.subject);
                let fix = (outcome.verdict != Verdict::Passed).then(|| invariant.fix());
                (outcome.verdict, outcome.detail, fix)
            }
            Invariant::Memory => passed(self.soaked.clone().unwrap_or_default()),
            _ => passed(format!("after each of {events} events")),
        }
    }

    fn fairness(&self) -> String {
        let (off, which) = &self.sum.farthest;
        match self.bounds.proportional {
            Some(_) => format!("no share is off by more than {off:.2} slots"),
            None if *off == 0.0 => "shares are the weights'".to_owned(),
            None => format!("nothing promised; at most {off:.1} slots off: {which}"),
        }
    }

    fn remap(&self) -> (Verdict, String, Option<&'static str>) {
        let remaps = &self.sum.remaps;
        if !self.is_hash() || remaps.is_empty() {
            let detail = "not asked of a scheduler that does not go by a hash".to_owned();
            return (Verdict::Passed, detail, None);
        }
        let mean = remaps.iter().sum::<f64>() / remaps.len() as f64;
        let worst = remaps.iter().copied().fold(0.0, f64::max);
        let detail = format!(
            "when a backend goes, {:.1} % of the others' slots move on average, {:.1} % at worst",
            mean * 100.0,
            worst * 100.0
        );
        if mean > BEARABLE {
            return (Verdict::Note, detail, Some(Invariant::Remap.fix()));
        }
        (Verdict::Passed, detail, None)
    }

    /// The shortest way to a fault that can be found.
    fn reproduction(&self, sequence: &Sequence, violation: &Violation) -> Reproduction {
        let found = |sequence: &Sequence| {
            let mut tally = Tally::default();
            replay(self.subject, sequence, self.bounds, &mut tally);
            let same = |other: &Violation| other.invariant == violation.invariant;
            tally.violations.into_iter().find(same)
        };
        let mut cut = sequence.clone();
        cut.events.truncate(violation.after);
        let tries = (violation.invariant == Invariant::Time).then_some(SLOW_TRIES);
        let short = shrink(&cut, tries, |sequence| found(sequence).is_some());
        let then = found(&short).map_or_else(|| violation.what.clone(), |shown| shown.what);
        Reproduction {
            sequence: sequence.number,
            slots: short.slots,
            events: short.events.iter().map(ToString::to_string).collect(),
            then,
        }
    }
}
