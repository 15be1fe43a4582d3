//! Connections for people.

use wvs_core::api::Connections;

use super::paint::Paint;
use super::table::{Column, Table, Tone};

/// One line per connection.
pub fn connections(connections: &Connections, paint: Paint) -> String {
    let mut table = Table::new(&[
        Column::Left("SERVICE"),
        Column::Left("PROTO"),
        Column::Left("CLIENT"),
        Column::Left("TARGET"),
        Column::Left("BACKEND"),
        Column::Left("STATE"),
        Column::Right("EXPIRES"),
    ]);
    for connection in &connections.connections {
        let flow = &connection.flow;
        table.row(
            Tone::Plain,
            [
                connection.service.clone(),
                flow.protocol.to_string(),
                flow.client.to_string(),
                flow.target.to_string(),
                flow.server.to_string(),
                flow.state.clone(),
                format!("{}s", flow.expires),
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
    fn connections_line_up() {
        insta::assert_snapshot!(connections(&samples::connections(), Paint::PLAIN));
    }
}
