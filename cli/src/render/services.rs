//! Services for people.

use wvs_core::api::ServiceView;

use super::paint::Paint;
use super::quantity::bytes;
use super::table::{Column, Table, Tone};

/// One line per service. IN is what came from clients, OUT what went to them.
pub fn services(services: &[ServiceView], paint: Paint) -> String {
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("LISTEN"),
        Column::Left("FORWARD"),
        Column::Left("SCHEDULER"),
        Column::Right("AVAILABLE"),
        Column::Right("CONNS"),
        Column::Right("REFUSED"),
        Column::Right("IN"),
        Column::Right("OUT"),
    ]);
    for service in services {
        let tone = if service.available == 0 {
            Tone::Error
        } else {
            Tone::Plain
        };
        table.row(
            tone,
            [
                service.name.clone(),
                service.listen.join(","),
                service.forward.to_string(),
                service.scheduler.clone(),
                format!("{}/{}", service.available, service.backends),
                service.connections.to_string(),
                service.refused.to_string(),
                bytes(service.sent.bytes),
                bytes(service.received.bytes),
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
    fn services_line_up() {
        insta::assert_snapshot!(services(&samples::services(), Paint::PLAIN));
    }

    #[test]
    fn no_services_are_a_heading() {
        assert_eq!(services(&[], Paint::PLAIN).lines().count(), 1);
    }
}
