//! Simulations, for people.

use std::fmt::Write as _;

use wvs_core::scheduler::simulate::{Comparison, Remap, Sample, Simulation, Spread, StepReport};

use crate::local::plugin::simulate::Simulated;

use super::paint::Paint;
use super::table::{Column, Table, Tone};
use super::text::escape;

/// So many samples are written, evenly over the time.
const ROWS: usize = 12;
/// Of more backends than this the least and the most connections are written.
const COLUMNS: usize = 8;
/// Of more backends than this only the outermost are listed.
const LISTED: usize = 24;

/// What happened, in four tables: over time, by backend, by change, and beside asking for each connection.
pub fn simulation(simulated: &Simulated, paint: Paint) -> String {
    let result = &simulated.result;
    let mut text = format!(
        "{}: {}, {} s, {} slots, seed {}\n",
        paint.bold(&escape(&simulated.scheduler)),
        escape(&simulated.workload),
        result.duration_s,
        simulated.slots,
        simulated.seed
    );
    let _ = writeln!(
        text,
        "{} connections: {} closed, {} open, {} refused; {} tables\n",
        result.arrived, result.closed, result.open, result.refused, result.tables
    );
    text += &over_time(result).render(paint);
    let _ = writeln!(
        text,
        "\nafter the first tenth: overload {}, off {}\n",
        spread(result.overload, &times),
        spread(result.off, &percent)
    );
    text += &by_backend(result).render(paint);
    if result.backends.len() > LISTED {
        let _ = writeln!(text, "… of {} backends; -o json has all", result.backends.len());
    }
    if !result.steps.is_empty() {
        text.push('\n');
        text += &by_change(result).render(paint);
    }
    if let Some(exact) = &result.exact {
        text.push('\n');
        text += &compared(exact, result);
    }
    text
}

fn over_time(result: &Simulation) -> Table {
    let few = result.backends.len() <= COLUMNS;
    let mut columns = vec![
        Column::Right("TIME"),
        Column::Right("OPEN"),
        Column::Right("OVERLOAD"),
        Column::Right("OFF"),
    ];
    // Headings are static; these are the names that backends begin with.
    const NAMES: [&str; COLUMNS] = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8"];
    if few {
        columns.extend(
            NAMES[..result.backends.len()]
                .iter()
                .map(|name| Column::Right(name)),
        );
    } else {
        columns.extend([Column::Right("LEAST"), Column::Right("MOST")]);
    }
    let mut table = Table::new(&columns);
    let every = (result.samples.len().saturating_sub(1) / ROWS).max(1);
    for sample in result.samples.iter().skip(every).step_by(every) {
        let mut cells = vec![
            format!("{:.1} s", sample.at_s),
            sample.open.to_string(),
            sample.overload.map(times).unwrap_or_default(),
            sample.off.map(percent).unwrap_or_default(),
        ];
        if few {
            cells.extend(sample.each.iter().map(ToString::to_string));
        } else {
            cells.extend(extremes(sample).map(|number| number.to_string()));
        }
        table.row(Tone::Plain, cells);
    }
    table
}

fn extremes(sample: &Sample) -> [u32; 2] {
    let least = sample.each.iter().min().copied().unwrap_or_default();
    let most = sample.each.iter().max().copied().unwrap_or_default();
    [least, most]
}

fn by_backend(result: &Simulation) -> Table {
    let mut table = Table::new(&[
        Column::Left("BACKEND"),
        Column::Right("WEIGHT"),
        Column::Right("GOT"),
        Column::Right("BY WEIGHT"),
        Column::Right("PEAK"),
        Column::Right("OPEN"),
    ]);
    let mut listed: Vec<_> = result.backends.iter().collect();
    if listed.len() > LISTED {
        // The most overloaded and the most neglected.
        listed.sort_by(|one, other| {
            let excess = |tally: &wvs_core::scheduler::simulate::Tally| tally.got as f64 - tally.due;
            excess(other).total_cmp(&excess(one))
        });
        listed.drain(LISTED / 2..listed.len() - LISTED / 2);
    }
    for tally in listed {
        let cells = [
            tally.name.clone(),
            tally.weight.map(|weight| weight.to_string()).unwrap_or_default(),
            tally.got.to_string(),
            format!("{:.0}", tally.due),
            tally.peak.to_string(),
            tally.open.to_string(),
        ];
        table.row(Tone::Plain, cells);
    }
    table
}

fn by_change(result: &Simulation) -> Table {
    let mut columns = vec![Column::Right("TIME"), Column::Left("CHANGE")];
    let shown: Vec<_> = REMAPS
        .iter()
        .filter(|(_, of)| result.steps.iter().any(|step| of(step).is_some()))
        .collect();
    columns.extend(shown.iter().map(|(heading, _)| Column::Right(heading)));
    let mut table = Table::new(&columns);
    for step in &result.steps {
        let mut cells = vec![format!("{:.1} s", step.at_s), step.change.clone()];
        cells.extend(shown.iter().map(|(_, of)| remapped(of(step))));
        table.row(Tone::Plain, cells);
    }
    table
}

/// Finds what became of some in a report.
type Who = fn(&StepReport) -> Option<Remap>;

/// What may be remapped; only what a scheduler goes by is.
const REMAPS: [(&str, Who); 3] = [
    ("SLOTS REMAPPED", |step| step.slots),
    ("CLIENTS REMAPPED", |step| step.clients),
    ("DESTINATIONS REMAPPED", |step| step.destinations),
];

/// Who moved needlessly, of those who could have stayed.
fn remapped(remap: Option<Remap>) -> String {
    let Some(remap) = remap else {
        return String::new();
    };
    match remap.share() {
        Some(share) => {
            format!("{} of {}, {}", remap.remapped, remap.remapped + remap.stayed, percent(share))
        }
        None => "none came back".to_owned(),
    }
}

fn compared(exact: &Comparison, result: &Simulation) -> String {
    format!(
        "beside asking for each connection with exact counts:\n  \
           the same backend    {} of the connections\n  \
           open elsewhere      {}\n  \
           farthest            {} connections of a backend, at any moment\n  \
           overload            {}, here {}\n  \
           refused             {}, here {}\n",
        percent(exact.same),
        spread(exact.elsewhere, &percent),
        exact.farthest,
        spread(exact.overload, &times),
        spread(result.overload, &times),
        exact.refused,
        result.refused
    )
}

fn spread(spread: Option<Spread>, write: &dyn Fn(f64) -> String) -> String {
    match spread {
        Some(spread) => format!("{} on average, {} at worst", write(spread.mean), write(spread.worst)),
        None => "not known without connections".to_owned(),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn times(number: f64) -> String {
    format!("{number:.3}")
}
