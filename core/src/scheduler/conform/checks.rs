//! The checks one by one.

use std::collections::HashMap;

use super::soak::{self, Soaked, soak};
use super::subject::{
    Service, Slots, Subject, backend, differences, sample_backends, sample_flow, sample_flow6,
};
use super::{Outcome, Promises};
use crate::scheduler::{BackendId, CallError, Candidate, Dispatch, HashKey, Load, ParamKind};

/// Tables may have from 16 to 4096 slots; the others find mistakes of reckoning.
const SIZES: [u32; 7] = [1, 16, 17, 64, 256, 1000, 4096];

/// So many clients and addresses that have not been seen before: whoever remembers them all runs out of memory.
const STRANGERS: u32 = 1_000_000;

/// A check with its name.
type Check = (&'static str, fn(&Subject<'_>) -> Result<Outcome, Outcome>);

/// Those that need no more than the plugin, in the order of their findings.
pub(super) const ALL: [Check; 11] = [
    ("parameters", parameters),
    ("table length", lengths),
    ("nobody to choose", nobody),
    ("weights and draining", unusable),
    ("one backend", one),
    ("large services", large),
    ("connections", connections),
    ("picks", picks),
    ("stability", stability),
    ("repeatability", repeatability),
    ("memory", memory),
];

pub(super) fn starts(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let instance = subject.start()?;
    let dispatch = match instance.dispatch() {
        Dispatch::Cycle => "its tables are walked in order".to_owned(),
        Dispatch::Flow => "it decides for each connection".to_owned(),
        Dispatch::Hash(key) => {
            let hashed = match key {
                HashKey::Source => "the client's address",
                HashKey::SourceAndPort => "the client's address and port",
                HashKey::Destination => "the address asked for",
                HashKey::Both => "both addresses and ports",
            };
            format!("its tables are indexed by a hash of {hashed}")
        }
    };
    let load = if instance.wants_load() {
        "it looks at connections"
    } else {
        "it does not look at connections"
    };
    Ok(Outcome::passed(format!("{dispatch}; {load}")))
}

/// Every value that a parameter may have by its declaration must do, or at least be refused in words.
fn parameters(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let specs = &subject.plugin.describe().params;
    let mut tried = 0;
    for spec in specs {
        for value in values(&spec.kind) {
            let mut params = subject.params.clone();
            for (key, old) in &mut params {
                if *key == spec.key {
                    old.clone_from(&value);
                }
            }
            tried += 1;
            match subject.plugin.start(&params, 1) {
                Ok(mut instance) => drop(subject.table(&mut instance, &sample_backends(1, 3), 16)?),
                Err(CallError::Refused { message, .. }) => {
                    return Ok(Outcome::failed(
                        format!(
                            "{} = {value:?} is allowed by its declaration, but refused: {message}",
                            spec.key
                        ),
                        "declare in `describe` exactly what `configure` takes: then operators learn of a wrong value \
                         when they check their configuration",
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
    // The director never lets these through, but other programs may.
    for wrong in [("no-such-parameter", "1"), ("", "\u{0}")] {
        let mut params = subject.params.clone();
        params.push((wrong.0.to_owned(), wrong.1.to_owned()));
        match subject.plugin.start(&params, 1) {
            Ok(_) | Err(CallError::Refused { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(spec) = specs.iter().find(|spec| spec.help.trim().is_empty()) {
        return Ok(Outcome::note(
            format!("{} has no text that explains it", spec.key),
            "write one line into its `help`: `wvs plugin inspect` shows it",
        ));
    }
    Ok(Outcome::passed(match specs.len() {
        0 => "it takes none".to_owned(),
        _ => format!("{tried} allowed values work"),
    }))
}

fn values(kind: &ParamKind) -> Vec<String> {
    match kind {
        // Whatever the text means, it can only be guessed.
        ParamKind::Text => Vec::new(),
        ParamKind::Boolean => vec!["true".to_owned(), "false".to_owned()],
        ParamKind::Integer { min, max } => vec![min.to_string(), max.to_string()],
        ParamKind::Choice(words) => words.clone(),
    }
}

/// The host compares lengths; here they are asked for.
fn lengths(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    if instance.dispatch() == Dispatch::Flow {
        return Ok(Outcome::passed("it makes none, and decides for each connection"));
    }
    for backends in [0, 1, 3, 20] {
        for slots in SIZES {
            subject.table(&mut instance, &sample_backends(1, backends), slots)?;
        }
    }
    Ok(Outcome::passed("as asked for, from 1 to 4096 slots"))
}

fn nobody(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    // Before the first update there is nobody either. The director never asks then.
    subject.fill(&mut instance, 0, 16)?;
    let weightless: Vec<Candidate> = (1..=4).map(|id| backend(id, 0)).collect();
    let mut draining = sample_backends(1, 4);
    draining.iter_mut().for_each(|known| known.draining = true);
    let mut overloaded = sample_backends(1, 4);
    overloaded.iter_mut().for_each(|known| known.overloaded = true);
    for backends in [
        Vec::new(),
        weightless,
        draining,
        overloaded,
        sample_backends(1, 1),
        Vec::new(),
    ] {
        subject.table(&mut instance, &backends, 64)?;
    }
    Ok(Outcome::passed("without a usable backend all entries are empty"))
}

/// Six hundred events, during which the host looks at every entry.
fn unusable(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    let mut service = Service::new(1);
    for _ in 0..600 {
        service.step();
        let slots = 16 + service.dice.below(240);
        subject.loaded_table(&mut instance, &service.backends, &service.loads, slots)?;
    }
    Ok(Outcome::passed(
        "after 600 random events no entry named a backend that takes no connections",
    ))
}

fn one(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    let mut with_company = sample_backends(2, 3);
    with_company.iter_mut().for_each(|known| known.draining = true);
    with_company.push(backend(1, 5));
    for backends in [vec![backend(1, 1)], with_company] {
        let table = subject.table(&mut instance, &backends, 256)?;
        let empty = table.iter().filter(|entry| entry.is_none()).count();
        if empty > 0 {
            return Ok(Outcome::note(
                format!("{empty} of 256 entries are empty although a backend is usable"),
                "connections that meet an empty entry are refused: right for a scheduler that limits, else name the \
                 backend",
            ));
        }
    }
    Ok(Outcome::passed("it gets everything"))
}

fn large(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    for (first, count) in [(1, 1000), (64_536, 1000), (65_535, 1), (1, 2)] {
        let mut backends = sample_backends(first, count);
        for slots in [16, 256, 4096] {
            subject.table(&mut instance, &backends, slots)?;
        }
        backends.reverse();
        subject.table(&mut instance, &backends, 256)?;
    }
    let extreme = [u32::MAX, 1, u32::MAX, 1 << 31, 65_537];
    let backends: Vec<Candidate> = (1..)
        .zip(extreme)
        .map(|(id, weight)| backend(id, weight))
        .collect();
    subject.table(&mut instance, &backends, 4096)?;
    Ok(Outcome::passed("1,000 backends, ids up to 65535, weights up to 4294967295"))
}

fn connections(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    if !instance.wants_load() {
        return Ok(Outcome::passed("it does not look at them"));
    }
    let most = u32::MAX;
    let backends = sample_backends(1, 5);
    // Latencies are looked at beside connections.
    for micros in [[most; 5], [0; 5], [most - 1; 5], [0, 1, most, most - 1, 7000]] {
        subject.table(&mut instance, &backends, 4096)?;
        instance.observe_latency(&micros)?;
        subject.fill(&mut instance, 5, 4096)?;
    }
    let load = |active, inactive| Load { active, inactive };
    for loads in [
        [load(0, 0); 5],
        [load(most, most); 5],
        [
            load(most, 0),
            load(0, most),
            load(1, 1),
            load(0, 0),
            load(most, 1),
        ],
    ] {
        subject.loaded_table(&mut instance, &backends, &loads, 4096)?;
    }
    Ok(Outcome::passed("from none to 4294967295"))
}

/// For one that is asked for each connection: whatever comes from the network.
fn picks(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    if instance.dispatch() != Dispatch::Flow {
        return Ok(Outcome::passed("it is not asked for each connection"));
    }
    // Before the first update there is nobody. The director never asks then.
    subject.pick(&mut instance, 0, &sample_flow(0))?;
    let backends = sample_backends(1, 20);
    subject.tell(&mut instance, &backends, &vec![Load::default(); backends.len()])?;
    for n in 0..STRANGERS / 2 {
        subject.pick(&mut instance, backends.len(), &sample_flow6(n.wrapping_mul(0x9e37_79b9)))?;
        let mut flow = sample_flow(n);
        // Somebody who asks for addresses one after the other, as through a transparent cache.
        flow.destination = std::net::Ipv4Addr::from(0x1000_0000 + n).into();
        subject.pick(&mut instance, backends.len(), &flow)?;
    }
    Ok(Outcome::passed(format!(
        "{STRANGERS} connections to as many addresses, within its memory"
    )))
}

/// A table that changes by itself costs messages to the kernel; one that is indexed by a hash moves clients.
fn stability(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    if instance.dispatch() == Dispatch::Flow {
        return Ok(Outcome::passed("it makes no tables: each connection is decided anew"));
    }
    let hash = matches!(instance.dispatch(), Dispatch::Hash(_));
    let backends = sample_backends(1, 10);
    let first = subject.table(&mut instance, &backends, 256)?;
    let again = subject.fill(&mut instance, 10, 256)?;
    let differing = differences(&first, &again);
    if differing > 0 {
        let detail = format!("{differing} of 256 entries change although nothing happened");
        let fix =
            "make the table from the last update and observe only; draw random numbers there, not in fill";
        return Ok(if hash {
            Outcome::failed(detail, fix)
        } else {
            Outcome::note(detail, fix)
        });
    }
    if !hash {
        return Ok(Outcome::passed("the same table as long as nothing happens"));
    }
    // Another director: it numbers backends differently, lists them in another order, and began just now.
    let mut others: Vec<Candidate> = backends.iter().rev().cloned().collect();
    for other in &mut others {
        other.id.0 += 1000;
    }
    let mut other = subject.start()?;
    let theirs = subject.table(&mut other, &others, 256)?;
    let renumbered: Slots = theirs
        .into_iter()
        .map(|entry| entry.map(|id| BackendId(id.0 - 1000)))
        .collect();
    let mut service = Service::new(2);
    for _ in 0..50 {
        service.step();
        subject.loaded_table(&mut instance, &service.backends, &service.loads, 64)?;
    }
    let later = subject.table(&mut instance, &backends, 256)?;
    let (elsewhere, after) = (differences(&first, &renumbered), differences(&first, &later));
    if elsewhere + after > 0 {
        return Ok(Outcome::note(
            format!(
                "for the same backends {elsewhere} of 256 entries differ with other ids and another order, and {after} \
                 after other backends came and went"
            ),
            "clients move when another director takes over: make the table from addresses, ports and weights only",
        ));
    }
    Ok(Outcome::passed("the same backends make the same table on every director"))
}

/// The same seed and the same events make the same tables, so simulations and bug reports can be repeated. Time may
/// matter, but rarely should.
fn repeatability(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    let (mut one, mut two, mut later) = (subject.start()?, subject.start()?, subject.start()?);
    later.set_time(86_400.0);
    let mut service = Service::new(3);
    let mut by_time = 0;
    for event in 1..=60 {
        service.step();
        let ask = |instance| subject.loaded_table(instance, &service.backends, &service.loads, 64);
        let mine = ask(&mut one)?;
        if mine != ask(&mut two)? {
            return Ok(Outcome::failed(
                format!(
                    "after {event} equal events two instances with the same seed answer different tables"
                ),
                "take random numbers from the host only",
            ));
        }
        by_time += usize::from(mine != ask(&mut later)?);
    }
    if by_time > 0 {
        return Ok(Outcome::note(
            format!("{by_time} of 60 tables depend on the time since the plugin was loaded"),
            "right for a scheduler that goes by time; a director that started later answers differently",
        ));
    }
    Ok(Outcome::passed("the same seed and the same events make the same tables, at any time"))
}

/// An instance lives for months.
fn memory(subject: &Subject<'_>) -> Result<Outcome, Outcome> {
    Ok(match soak(subject)? {
        Soaked::Stays(what) => Outcome::passed(what),
        Soaked::Leaks(what) => Outcome::failed(what, soak::FIX),
    })
}

/// How far shares are from the weights, without connections. Only for those who promise it is that a fault.
pub(super) fn fairness(subject: &Subject<'_>, promises: Promises) -> Result<Outcome, Outcome> {
    let mut instance = subject.start()?;
    let (mut worst, mut of) = (0.0, String::new());
    for (count, slots) in [
        (2, 16),
        (3, 256),
        (7, 256),
        (7, 1000),
        (20, 4096),
        (100, 256),
        (300, 4096),
    ] {
        let backends = sample_backends(1, count);
        let table = subject.table(&mut instance, &backends, slots)?;
        let total: u32 = backends.iter().map(|known| known.weight).sum();
        let mut shares: HashMap<_, u32> = HashMap::new();
        table
            .iter()
            .for_each(|entry| *shares.entry(*entry).or_default() += 1);
        for known in &backends {
            let due = f64::from(known.weight) * f64::from(slots) / f64::from(total);
            let share = shares.get(&Some(known.id)).copied().unwrap_or(0);
            let off = (f64::from(share) - due).abs();
            if off > worst {
                worst = off;
                of = format!("{share} slots instead of {due:.1}, with {count} backends in {slots} slots");
            }
        }
    }
    match promises.proportional {
        Some(slots) if worst >= f64::from(slots) => Ok(Outcome::failed(
            format!("a share is off by {worst:.1} slots: {of}"),
            "promise less, or divide the slots by largest remainders (`apportion` in the SDK does)",
        )),
        Some(_) => Ok(Outcome::passed(format!("no share is off by more than {worst:.2} slots"))),
        None if worst < 1.0 => Ok(Outcome::passed("shares follow the weights, rounded")),
        None => Ok(Outcome::passed(format!("shares differ from the weights, at most: {of}"))),
    }
}

/// Half of the time that a call may take is enough: other machines are slower.
pub(super) fn time(subject: &Subject<'_>) -> Outcome {
    let limits = subject.plugin.limits();
    if let Some((slowest, which)) = subject
        .slowest_pick()
        .filter(|(slowest, _)| *slowest > limits.pick / 2)
    {
        let detail = format!("{which} took {:.1} ms", slowest.as_secs_f64() * 1000.0);
        let fix = "a connection waits for each pick: do in update or observe what does not depend on the connection";
        return Outcome::note(format!("{detail}; {} ms are allowed", limits.pick.as_millis()), fix);
    }
    let (slowest, which) = subject.slowest();
    let limit = limits.call;
    let detail = format!("the slowest call took {:.1} ms: {which}", slowest.as_secs_f64() * 1000.0);
    if slowest > limit / 2 {
        let fix = "a director stops a call after its time; do less in one call, or less per backend and slot";
        return Outcome::note(format!("{detail}; {} ms are allowed", limit.as_millis()), fix);
    }
    Outcome::passed(detail)
}
