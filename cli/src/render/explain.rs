//! Where a packet would go, for people.

use std::fmt::Write as _;

use wvs_core::api::{BackendState, Because, Draw, Explanation, Link, Listening, Plane, Refusal, Then, Way};
use wvs_core::ruleset::Family;
use wvs_core::scheduler::HashKey;

use super::paint::Paint;
use super::quantity::{count, duration};
use super::text::escape;

/// The packet, whose it is, who gets it, why, and what is done with it; a line each.
pub fn explanation(it: &Explanation, paint: Paint) -> String {
    let mark = match it.packet.mark {
        0 => String::new(),
        mark => format!(", firewall mark {mark}"),
    };
    let mut text = format!("{} {} to {}{mark}\n\n", it.packet.protocol, it.packet.from, it.packet.to);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<8} {}", escape(value));
    };
    match &it.service {
        Some(service) => {
            let listener = service.listener.as_ref();
            let by = listener.map_or_else(String::new, |listener| format!(", which listens on {listener}"));
            line("service", &format!("{}{by}", service.name));
            line("decided", decided(service.by, it.local));
        }
        None => line("service", "none"),
    }
    match &it.backend {
        Some(backend) => line("backend", &format!("{} (id {})", backend.address, backend.id)),
        None if it.service.is_some() => line("backend", "none"),
        None => {}
    }
    let (because, more) = because(it);
    line("because", &because);
    for detail in more {
        line("", &format!("  {detail}"));
    }
    line("then", &then(&it.then));
    for note in &it.notes {
        let _ = writeln!(text, "{} {}", paint.warning(&format!("{:<8}", "note")), escape(note));
    }
    text
}

fn decided(by: Plane, local: bool) -> &'static str {
    match (by, local) {
        (Plane::Tc, _) => "by the tc program",
        (Plane::Nftables, false) => "by nftables",
        (Plane::Nftables, true) => "by nftables: the client is the director itself",
    }
}

/// Why, and what there is to say of it line by line.
fn because(it: &Explanation) -> (String, Vec<String>) {
    let words = match &it.because {
        Because::Connection { state, expires } => {
            format!("the connection is known: {state}, forgotten in {}", duration(u64::from(*expires)))
        }
        Because::Pin { client } => format!("{client} is pinned to it"),
        Because::Persistence { client, expires } => {
            format!("{client} was there before, and is remembered for {}", duration(u64::from(*expires)))
        }
        Because::Schedule(draw) => drawn(draw),
        Because::Program => {
            "the tc program says so; what it looks at has changed while it was asked".to_owned()
        }
        Because::Asked => {
            let by = it.service.as_ref().map(|it| it.by);
            let answer = match (&it.backend, by) {
                (None, _) => "and answers when this one comes",
                (Some(_), Some(Plane::Tc)) => "and said so",
                (Some(_), _) => "and this one gets it where nobody answers",
            };
            format!("its scheduler is asked for each connection, {answer}")
        }
        Because::Unseen => {
            "the tc program forwards to it, and this packet has not passed the program: it came in by another interface"
                .to_owned()
        }
        Because::Nobody { backends } if backends.is_empty() => {
            format!("it has no backends for {}", Family::of(it.packet.to.ip()))
        }
        Because::Nobody { backends } => {
            let lines = backends.iter().map(|it| {
                let detail = it.detail.as_ref();
                let detail = detail.map_or_else(String::new, |detail| format!(": {detail}"));
                format!("{} {}{detail}", it.address, state(it.state))
            });
            let words = match backends.len() {
                1 => "its only backend takes no new connections".to_owned(),
                many => format!("none of its {many} backends takes new connections"),
            };
            return (words, lines.collect());
        }
        Because::Closed { listeners } => {
            let words = "nobody listens there, and all other ports of the address are rejected".to_owned();
            return (words, listening(listeners));
        }
        Because::NotOurs { listeners } => return ("nobody listens there".to_owned(), listening(listeners)),
    };
    (words, Vec::new())
}

fn drawn(draw: &Draw) -> String {
    match draw {
        Draw::Cycle {
            position,
            slot,
            slots,
        } => {
            let before = usize::try_from(*position).unwrap_or(usize::MAX);
            format!(
                "the cycle's next slot names it: slot {slot} of {slots}, after {}",
                count(before, "connection")
            )
        }
        Draw::Hash {
            key,
            hash,
            slot,
            slots,
        } => {
            let key = match key {
                HashKey::Source => "the client's address",
                HashKey::SourceAndPort => "the client's address and port",
                HashKey::Destination => "the service's address",
                HashKey::Both => "both addresses and ports",
            };
            format!("the hash of {key} names it: {hash:#010x} is slot {slot} of {slots}")
        }
    }
}

fn state(state: BackendState) -> &'static str {
    match state {
        BackendState::Up => "is up, and its scheduler gave it no slot",
        BackendState::Quiesced => "has weight 0",
        BackendState::Draining => "is being drained",
        BackendState::Full => "is full",
        BackendState::Unreachable => "cannot be reached",
    }
}

fn listening(listeners: &[Listening]) -> Vec<String> {
    listeners
        .iter()
        .map(|it| format!("there is {} of {}", it.listener, it.service))
        .collect()
}

fn then(then: &Then) -> String {
    match then {
        Then::Translate { to, source } => {
            let source = match source.as_deref() {
                None => "its source stays".to_owned(),
                Some("masquerade") => "its source the outgoing interface's address".to_owned(),
                Some(pool) if pool.contains('-') => format!("its source one of {pool}"),
                Some(address) => format!("its source {address}"),
            };
            format!("its destination becomes {to}, {source}")
        }
        Then::Forward(way) => format!("it is sent {}", self::way(way)),
        Then::Ask => "it waits until the scheduler has answered".to_owned(),
        Then::Refuse {
            with: Refusal::TcpReset,
        } => "it is refused with a TCP reset".to_owned(),
        Then::Refuse {
            with: Refusal::PortUnreachable,
        } => "it is refused with ICMP port unreachable".to_owned(),
        Then::Pass => "it goes on to the director's own stack, untouched".to_owned(),
    }
}

/// How the tc program sends packets somewhere, behind "it is sent".
pub(super) fn way(way: &Way) -> String {
    match way {
        Way::Nat => "up to nftables, which translates".to_owned(),
        Way::Local => "up to the director's own stack: the backend is the director itself".to_owned(),
        Way::Dr(link) => format!("by direct routing {}", self::link(link)),
        Way::Tun {
            tunnel,
            source,
            to,
            link,
        } => format!("in a tunnel ({tunnel}) from {source} to {to} {}", self::link(link)),
    }
}

fn link(link: &Link) -> String {
    let Link { interface, mtu, mac } = link;
    match mac {
        Some(mac) => format!("to {mac} on {interface}, mtu {mtu}"),
        None => format!("on {interface}, mtu {mtu}; the kernel looks the neighbour up"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn every_answer_reads_well() {
        let all: Vec<_> = samples::explanations()
            .iter()
            .map(|it| explanation(it, Paint::PLAIN))
            .collect();
        insta::assert_snapshot!(all.join("\n----\n\n"));
    }
}
