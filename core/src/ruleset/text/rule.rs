//! Rules as text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::ruleset::{Direction, Family, MapName, Rule, Statement};
use crate::scheduler::HashKey;

/// A rule on one line, with its comment.
pub fn rule(family: Family, rule: &Rule) -> String {
    let mut words: Vec<String> = rule.statements.iter().map(|it| statement(family, it)).collect();
    if let Some(comment) = &rule.comment {
        words.push(format!("comment \"{comment}\""));
    }
    words.join(" ")
}

fn statement(family: Family, statement: &Statement) -> String {
    let ip = family.nft();
    match statement {
        Statement::Jump(chain) => format!("jump {chain}"),
        Statement::Goto(chain) => format!("goto {chain}"),
        Statement::Return => "return".to_owned(),
        Statement::Accept => "accept".to_owned(),
        Statement::GotoService(map) => format!("{ip} daddr . meta l4proto . th dport vmap @{map}"),
        Statement::GotoMarked(map) => format!("meta mark vmap @{map}"),
        Statement::Unconfirmed => "ct status ! confirmed".to_owned(),
        Statement::Attended => format!("meta l4proto @{}", MapName::Attended),
        Statement::Queue(number) => format!("queue flags bypass to {number}"),
        Statement::ToClosed => format!("{ip} daddr @{}", MapName::Closed),
        Statement::Counter => "counter".to_owned(),
        Statement::Cycle { map, size } => format!("meta priority set numgen inc mod {size} map @{map}"),
        Statement::Hash { map, size, key, seed } => {
            format!("meta priority set jhash {} mod {size} seed {seed:#x} map @{map}", hash_key(ip, *key))
        }
        Statement::LookUpClient { map, bits } => {
            format!("meta priority set {} map @{map}", client(family, *bits))
        }
        Statement::LookUpHeld(map) => format!("meta priority set meta priority map @{map}"),
        Statement::Remember { map, bits, timeout } => {
            let (client, timeout) = (client(family, *bits), time(*timeout));
            format!("update @{map} {{ {client} timeout {timeout} : meta priority }}")
        }
        Statement::Forget { map, bits } => {
            format!("delete @{map} {{ {} : meta priority }}", client(family, *bits))
        }
        Statement::GotoBackend => format!("meta priority vmap @{}", MapName::Backends),
        Statement::GotoChosen => format!("meta priority vmap @{}", MapName::Chosen),
        Statement::FromHere => "iif 0".to_owned(),
        Statement::ClearPriority => "meta priority set none".to_owned(),
        Statement::SetMark { mask, bits } => {
            // nft folds the bits that are about to be set into the mask.
            format!("ct mark set ct mark & {:#010x} | {bits:#010x}", !mask | bits)
        }
        Statement::Protocols(protocols) => match protocols.as_slice() {
            [one] => format!("meta l4proto {one}"),
            many => {
                let names: Vec<_> = many.iter().map(|it| it.name()).collect();
                format!("meta l4proto {{ {} }}", names.join(", "))
            }
        },
        Statement::Dnat { address, port } => format!("dnat to {}", endpoint(*address, *port)),
        Statement::Snat { first, last } if first == last => format!("snat to {first}"),
        Statement::Snat { first, last } => format!("snat to {}", pool(*first, *last)),
        Statement::Masquerade => "masquerade".to_owned(),
        Statement::RejectTcp => "reject with tcp reset".to_owned(),
        Statement::Reject => "reject".to_owned(),
        Statement::Direction(Direction::Original) => "ct direction original".to_owned(),
        Statement::Direction(Direction::Reply) => "ct direction reply".to_owned(),
        Statement::Account { set, mask } => format!("ct mark & {mask:#010x} == @{set}"),
        Statement::GotoSource { mask } => format!("ct mark & {mask:#010x} vmap @{}", MapName::Sources),
    }
}

/// A range of addresses. nft writes one that is a prefix as such, whichever way it was given.
fn pool(first: IpAddr, last: IpAddr) -> String {
    let (bits, all, low, high): (u32, u128, u128, u128) = match (first, last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (32, u32::MAX.into(), first.to_bits().into(), last.to_bits().into())
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (128, u128::MAX, first.to_bits(), last.to_bits()),
        _ => return format!("{first}-{last}"),
    };
    let differ = low ^ high;
    let is_prefix = differ & differ.wrapping_add(1) == 0 && low & differ == 0 && high & differ == differ;
    if is_prefix && differ != all {
        format!("{first}/{}", bits - differ.count_ones())
    } else {
        format!("{first}-{last}")
    }
}

fn hash_key(ip: &str, key: HashKey) -> String {
    match key {
        HashKey::Source => format!("{ip} saddr"),
        HashKey::SourceAndPort => format!("{ip} saddr . th sport"),
        HashKey::Destination => format!("{ip} daddr"),
        HashKey::Both => format!("{ip} saddr . th sport . {ip} daddr . th dport"),
    }
}

/// So many bits of the client's address.
fn client(family: Family, bits: u8) -> String {
    let source = format!("{} saddr", family.nft());
    if bits < family.bits() {
        format!("{source} & {}", mask(family, bits))
    } else {
        source
    }
}

/// An address of which the first bits are set.
pub fn mask(family: Family, bits: u8) -> IpAddr {
    let bits = u32::from(bits);
    match family {
        Family::V4 => Ipv4Addr::from(!u32::MAX.checked_shr(bits).unwrap_or(0)).into(),
        Family::V6 => Ipv6Addr::from(!u128::MAX.checked_shr(bits).unwrap_or(0)).into(),
    }
}

/// A time as nft writes it: `1h30m5s`.
fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
        (u64::from(time.subsec_millis()), "ms"),
    ];
    let nonzero = units.into_iter().filter(|(count, _)| *count > 0);
    nonzero.map(|(count, unit)| format!("{count}{unit}")).collect()
}

fn endpoint(address: IpAddr, port: Option<u16>) -> String {
    match (address, port) {
        (address, None) => address.to_string(),
        (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
        (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{mask, pool, time};
    use crate::ruleset::Family;

    #[test]
    fn times_are_written_as_nft_writes_them() {
        for (milliseconds, expected) in [
            (1000, "1s"),
            (90_000, "1m30s"),
            (360_000, "6m"),
            (86_400_000 * 31 + 3_601_001, "31d1h1s1ms"),
        ] {
            assert_eq!(time(Duration::from_millis(milliseconds)), expected);
        }
    }

    #[test]
    fn masks_are_as_long_as_they_say() {
        let masks = [0, 1, 24, 32].map(|bits| mask(Family::V4, bits).to_string());
        assert_eq!(masks, ["0.0.0.0", "128.0.0.0", "255.255.255.0", "255.255.255.255"]);
        let masks = [0, 49, 64, 128].map(|bits| mask(Family::V6, bits).to_string());
        let all = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        assert_eq!(masks, ["::", "ffff:ffff:ffff:8000::", "ffff:ffff:ffff:ffff::", all]);
    }

    #[test]
    fn a_pool_that_is_a_prefix_is_written_as_one() {
        let cases = [
            ("10.1.0.220", "10.1.0.223", "10.1.0.220/30"),
            ("10.1.0.221", "10.1.0.224", "10.1.0.221-10.1.0.224"),
            ("10.1.0.222", "10.1.0.225", "10.1.0.222-10.1.0.225"),
            ("10.1.0.220", "10.1.0.222", "10.1.0.220-10.1.0.222"),
            ("10.1.0.0", "10.1.0.255", "10.1.0.0/24"),
            ("fd00::10", "fd00::1f", "fd00::10/124"),
            ("fd00::10", "fd00::20", "fd00::10-fd00::20"),
        ];
        for (first, last, expected) in cases {
            assert_eq!(pool(first.parse().unwrap(), last.parse().unwrap()), expected);
        }
    }
}
