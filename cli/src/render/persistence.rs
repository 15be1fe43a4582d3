//! Clients that stay with their backends, for people.

use wvs_core::api::PersistentClients;

use super::paint::Paint;
use super::table::{Column, Table, Tone};

/// One line per client.
pub fn persistence(clients: &PersistentClients, paint: Paint) -> String {
    let mut table = Table::new(&[
        Column::Left("SERVICE"),
        Column::Left("GROUP"),
        Column::Left("CLIENT"),
        Column::Left("BACKEND"),
        Column::Right("EXPIRES"),
    ]);
    for it in &clients.clients {
        let client = if it.client.length == it.client.longest() {
            it.client.address.to_string()
        } else {
            it.client.to_string()
        };
        let group = it.group.clone().unwrap_or_else(|| "-".to_owned());
        let expires = format!("{}s", it.expires);
        table.row(Tone::Plain, [it.service.clone(), group, client, it.backend.to_string(), expires]);
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::samples;

    #[test]
    fn clients_line_up() {
        insta::assert_snapshot!(persistence(&samples::persistence(), Paint::PLAIN), @r"
        SERVICE        GROUP  CLIENT           BACKEND              EXPIRES
        web            -      192.0.2.7        10.1.0.11:8080          359s
        shop\u{1b}[2J  shop   192.0.2.0/24     10.1.0.12               359s
        web            -      2001:db8:7::/64  [2001:db8::11]:8080     359s
        ");
    }
}
