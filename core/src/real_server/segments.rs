//! Whether what clients send fits into the tunnel.

use super::Seen;
use super::Wish;
use super::item::{Item, Items};
use crate::config::{Tunnel, TunnelKind};
use crate::ruleset::Family;

/// What clients' packets measure at most, but for few.
const ETHERNET: u32 = 1500;

/// Bytes that a tunnel puts before a packet, by the family of its outer header.
pub fn overhead(tunnel: Tunnel, outer: Family) -> u32 {
    let outer = match outer {
        Family::V4 => 20,
        Family::V6 => 40,
    };
    let inner = match tunnel.kind {
        TunnelKind::Ipip => 0,
        TunnelKind::Gre if tunnel.checksum => 8,
        TunnelKind::Gre => 4,
        TunnelKind::Gue { .. } => 8 + 4,
    };
    outer + inner
}

/// Bytes of the headers of IP and TCP.
pub fn headers(family: Family) -> u32 {
    match family {
        Family::V4 => 40,
        Family::V6 => 60,
    }
}

const WHY: &str = "clients send segments as large as this host allows them to, and its answer does not pass the director; \
     with the tunnel's headers they must fit, or the director tells each client to send less, which firewalls may \
     swallow. An advmss on the route to clients, or a larger MTU between director and real server, spares that";

/// The item of each family: advice, since the director sends `packet too big` where a packet does not fit.
pub(super) fn segments(wish: &Wish, seen: &Seen, items: &mut Items) {
    for family in wish.families() {
        let overhead = overhead(wish.tunnel, wish.outer(family));
        let Some(way) = seen.ways.get(&family) else {
            let item = Item::new(format!("route to clients, {family}"), "a default route")
                .because("answers go to clients by themselves");
            items.add(item.advice("none", "see that there are routes to all clients"));
            continue;
        };
        let most = way.mtu.saturating_sub(overhead + headers(family));
        let announced = way.advmss.unwrap_or(way.mtu.saturating_sub(headers(family)));
        let item =
            Item::new(format!("segments of clients, {family}"), format!("at most {most} bytes")).because(WHY);
        let is = format!("{announced} bytes, MTU {} of {}", way.mtu, way.interface);
        items.add(if announced <= most {
            item.ok(is)
        } else if way.mtu >= ETHERNET + overhead {
            item.ok(format!("{is}: room for a tunnelled packet of {ETHERNET}"))
        } else {
            let ip = if family == Family::V4 { "ip" } else { "ip -6" };
            let via = way.gateway.map_or_else(String::new, |it| format!(" via {it}"));
            item.advice(is, format!("{ip} route change default{via} dev {} advmss {most}", way.interface))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_as_long_as_their_standards_say() {
        let of = |text: &str| overhead(text.parse().unwrap(), Family::V4);
        // RFC 2003, RFC 2784, and the GUE draft behind UDP.
        assert_eq!(["ipip", "gre", "gre+checksum", "gue", "gue:99+checksum"].map(of), [20, 24, 28, 32, 32]);
        assert_eq!(overhead(Tunnel::default(), Family::V6), 40);
    }
}
