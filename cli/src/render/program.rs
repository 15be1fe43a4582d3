//! The tc program for auditors: one line per thing, so that line tools work on it.

use std::fmt::Write as _;

use wvs_core::api::{Attachment, LoadedProgram, PoolView, Program, TargetView};

use super::paint::Paint;
use super::quantity::count;
use super::status::dispatch;
use super::text::escape;

/// Programs, attachments, maps and what they hold.
pub fn program(program: &Program, paint: Paint) -> String {
    let mut text = format!("{}\n", escape(&format!("pinned in {}", program.pin_dir)));
    let mut part = |heading: &str, lines: Vec<String>| {
        let _ = writeln!(text, "\n{}", paint.bold(heading));
        if lines.is_empty() {
            text += "none\n";
        }
        for line in lines {
            let _ = writeln!(text, "{}", escape(&line));
        }
    };
    part("programs", program.programs.iter().map(loaded).collect());
    part("attachments", program.attachments.iter().flat_map(attachment).collect());
    let maps = program.maps.iter().map(|it| {
        format!(
            "{} id {}, keys of {} bytes, values of {}, room for {}",
            it.name, it.id, it.key_size, it.value_size, it.max_entries
        )
    });
    part("maps", maps.collect());
    let listeners = program.listeners.iter();
    part(
        "listeners",
        listeners
            .map(|it| format!("{} service {}", it.listener, it.number))
            .collect(),
    );
    part("services", program.services.iter().flat_map(service).collect());
    part("backends", program.backends.iter().map(backend).collect());
    text
}

fn loaded(program: &LoadedProgram) -> String {
    let verified = program
        .verified_instructions
        .map_or_else(String::new, |it| format!(", {it} instructions verified"));
    format!("{} id {}, tag {}{verified}", program.name, program.id, program.tag)
}

/// The interface, and below it what packets meet there, in order.
fn attachment(it: &Attachment) -> Vec<String> {
    let running = match it.program {
        Some(program) => format!("program id {program}"),
        None => "nothing of ours runs there any more".to_owned(),
    };
    let mut lines = vec![format!(
        "{} index {}, by {}: {running}",
        it.interface, it.ifindex, it.hook
    )];
    let ingress = it.ingress.iter().zip(1..).map(|(neighbour, place)| {
        let id = neighbour
            .program
            .map_or_else(String::new, |id| format!(" id {id}"));
        let ours = if neighbour.ours { ", ours" } else { ", foreign" };
        format!("  {place}. {} {}{id}{ours}", neighbour.hook, neighbour.name)
    });
    lines.extend(ingress);
    lines
}

fn service(it: &PoolView) -> Vec<String> {
    let name = it.service.as_deref().unwrap_or("unknown to the director");
    let family = it
        .family
        .map_or_else(String::new, |family| format!(" ({family})"));
    let settings: String = it.settings.iter().map(|words| format!(", {words}")).collect();
    let empty = match it.empty {
        0 => String::new(),
        empty => format!(", {empty} empty"),
    };
    let mut lines = vec![format!(
        "{} {name}{family}: {}, {}{empty}, position {}, {} refused{settings}",
        it.number,
        dispatch(it.dispatch),
        count(it.slots, "slot"),
        it.position,
        it.refused
    )];
    let shares = it
        .shares
        .iter()
        .map(|share| format!("  backend {}: {}", share.id, count(share.slots, "slot")));
    lines.extend(shares);
    lines
}

fn backend(it: &TargetView) -> String {
    let name = match (&it.service, &it.backend) {
        (Some(service), Some(backend)) => format!("{service} {backend}"),
        _ => "unknown to the director".to_owned(),
    };
    format!(
        "{} {name}, generation {}: {}; {}, {} packets, {} bytes",
        it.id,
        it.generation,
        super::explain::way(&it.way),
        count(usize::try_from(it.connections).unwrap_or(usize::MAX), "connection"),
        it.packets,
        it.bytes
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn an_auditor_sees_all_of_it() {
        insta::assert_snapshot!(program(&samples::program(), Paint::PLAIN));
    }
}
