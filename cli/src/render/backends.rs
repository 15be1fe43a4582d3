//! Backends for people.

use wvs_core::api::{BackendState, BackendView};

use super::paint::Paint;
use super::quantity::bytes;
use super::table::{Column, Table, Tone};

/// One line per backend. IN is what came from clients, OUT what went to them, as in `ipvsadm -L --stats`.
pub fn backends(backends: &[BackendView], paint: Paint) -> String {
    let mut table = Table::new(&[
        Column::Left("SERVICE"),
        Column::Left("BACKEND"),
        Column::Left("FORWARD"),
        Column::Right("WEIGHT"),
        Column::Left("STATE"),
        Column::Right("SLOTS"),
        Column::Right("ACTIVE"),
        Column::Right("INACTIVE"),
        Column::Right("CONNS"),
        Column::Right("IN-PKTS"),
        Column::Right("IN-BYTES"),
        Column::Right("OUT-PKTS"),
        Column::Right("OUT-BYTES"),
    ]);
    for backend in backends {
        let (state, tone) = match backend.state {
            BackendState::Up => ("up", Tone::Plain),
            BackendState::Quiesced => ("quiesced", Tone::Warning),
            BackendState::Draining => ("draining", Tone::Warning),
            BackendState::Full => ("full", Tone::Warning),
            BackendState::Unreachable => ("unreachable", Tone::Warning),
        };
        table.row(
            tone,
            [
                backend.service.clone(),
                backend.address.to_string(),
                backend.forward.to_string(),
                backend.weight.to_string(),
                state.to_owned(),
                backend.slots.to_string(),
                backend.active.to_string(),
                backend.inactive.to_string(),
                backend.connections.to_string(),
                backend.sent.packets.to_string(),
                bytes(backend.sent.bytes),
                backend.received.packets.to_string(),
                bytes(backend.received.bytes),
            ],
        );
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn backends_line_up() {
        insta::assert_snapshot!(backends(&samples::backends(), Paint::PLAIN));
    }
}
