//! What large rulesets cost: `cargo run -p wvs-core --example nft_scale [SERVICES [BACKENDS]]`, as root.
//!
//! Works in a network namespace of its own. Prints CPU time, user space (encoding, decoding) and kernel apart.
#![allow(clippy::print_stdout, reason = "it is a measurement")]

use std::error::Error;
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use wvs_core::kernel::Nft;
use wvs_core::kernel::nft::NftSocket;
use wvs_core::plan::{Observed, plan};
use wvs_core::ruleset::{Chain, Family, Hook, Key, MapName, Protocol, Rule, Ruleset, Statement, Table};
use wvs_core::scheduler::BackendId;

const MASK: u32 = 0xffff_0000;

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut numbers = std::env::args().skip(1).map(|it| it.parse::<u16>());
    let services = numbers.next().transpose()?.unwrap_or(1000);
    let backends = numbers.next().transpose()?.unwrap_or(10);
    for slots in [64, 128, 256] {
        let measured = thread::spawn(move || measure(services, backends, slots));
        measured.join().map_err(|_| "the measurement failed")??;
    }
    Ok(())
}

/// User and system time of this thread.
fn cpu() -> (Duration, Duration) {
    let of = |time: TimeVal| Duration::new(time.tv_sec() as u64, time.tv_usec() as u32 * 1000);
    match getrusage(UsageWho::RUSAGE_THREAD) {
        Ok(usage) => (of(usage.user_time()), of(usage.system_time())),
        Err(_) => Default::default(),
    }
}

/// Their sum is exact, the kernel guesses which part is which by its clock's ticks.
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let before = cpu();
    let result = work();
    let after = cpu();
    let user = (after.0.saturating_sub(before.0)).as_secs_f64() * 1000.0;
    let kernel = (after.1.saturating_sub(before.1)).as_secs_f64() * 1000.0;
    println!("  {what:<28} {:8.1} ms ({user:.0} user, {kernel:.0} kernel)", user + kernel);
    result
}

fn measure(services: u16, backends: u16, slots: u16) -> Result<(), Box<dyn Error + Send + Sync>> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    println!("{services} services, {backends} backends each, {slots} slots each");
    let mut nft = NftSocket::open()?;
    let mut desired = timed("build", || ruleset(services, backends, slots));
    let before = timed("observe nothing", || nft.observe())?;
    let way = timed("plan from scratch", || plan(&desired, &before));
    let generation = timed("encode and commit", || nft.commit(&way, before.generation))?;
    let stands = timed("observe all", || nft.observe())?;
    assert_eq!(plan(&desired, &stands).ops.len(), 0, "all of it stands");
    let mut known = Observed::after(&desired, stands, generation);

    let table = desired.tables.get_mut(&Family::V4).ok_or("no table")?;
    let map = table.slots.values_mut().next().ok_or("no service")?;
    for slot in map.iter_mut().step_by(10) {
        *slot = slot.map(|it| BackendId(it.0 % backends + 1));
    }
    let way = timed("plan one service's weights", || plan(&desired, &known));
    known.generation = timed("commit one slot in ten", || nft.commit(&way, known.generation))?;
    let generation = known.generation;
    let known = Observed::after(&desired, known, generation);

    let table = desired.tables.get_mut(&Family::V4).ok_or("no table")?;
    service(table, services + 1, backends, slots);
    let way = plan(&desired, &known);
    let generation = timed("commit one more service", || nft.commit(&way, known.generation))?;
    let known = Observed::after(&desired, known, generation);
    timed("read the counters", || nft.traffic(Family::V4, 16))?;
    timed("empty the table", || nft.commit(&plan(&Ruleset::default(), &known), known.generation))?;
    Ok(())
}

fn ruleset(services: u16, backends: u16, slots: u16) -> Ruleset {
    let mut table = Table::default();
    for map in [
        MapName::Services,
        MapName::Backends,
        MapName::Sent,
        MapName::Received,
    ] {
        table.maps.entry(map).or_default();
    }
    let to_service = vec![Statement::GotoService(MapName::Services)];
    let entrance = Rule {
        statements: to_service,
        comment: None,
    };
    table.chains.insert(
        "prerouting".into(),
        Chain {
            hook: Some(Hook::NatPrerouting),
            rules: vec![entrance],
        },
    );
    for n in 1..=services {
        service(&mut table, n, backends, slots);
    }
    Ruleset {
        tables: [(Family::V4, table)].into(),
    }
}

fn service(table: &mut Table, n: u16, backends: u16, slots: u16) {
    let name = format!("service-{n}");
    let comment = Some(format!("svc={name}"));
    let map = format!("slots-{name}");
    let first = (n - 1) * backends + 1;
    let slot = |slot: u16| Some(BackendId(first + slot % backends));
    table.slots.insert(map.clone(), (0..slots).map(slot).collect());
    let choose = Statement::Cycle {
        map,
        size: u32::from(slots),
    };
    let rule = |statements| Rule {
        statements,
        comment: comment.clone(),
    };
    let rules = vec![
        rule(vec![Statement::Counter, choose, Statement::GotoBackend]),
        rule(vec![Statement::RejectTcp]),
        rule(vec![Statement::Reject]),
    ];
    let chain = format!("svc-{name}");
    table.chains.insert(chain.clone(), Chain { hook: None, rules });
    let [high, low] = n.to_be_bytes();
    let key = Key::Service(IpAddr::from([10, 0, high, low]), Protocol::Tcp, 80);
    table
        .maps
        .entry(MapName::Services)
        .or_default()
        .insert(key, Some(chain));
    for id in first..first + backends {
        backend(table, &name, id);
    }
}

fn backend(table: &mut Table, service: &str, id: u16) {
    let [high, low] = id.to_be_bytes();
    let address = IpAddr::from([10, 1, high, low]);
    let bits = u32::from(id) << 16;
    let statements = vec![
        Statement::ClearPriority,
        Statement::SetMark { mask: MASK, bits },
        Statement::Protocols(vec![Protocol::Tcp]),
        Statement::Dnat {
            address,
            port: Some(8080),
        },
    ];
    let comment = Some(format!("svc={service} be={address}:8080"));
    let chain = format!("be-{id}");
    table.chains.insert(
        chain.clone(),
        Chain {
            hook: None,
            rules: vec![Rule { statements, comment }],
        },
    );
    let mut put = |map, key, target| table.maps.entry(map).or_default().insert(key, target);
    put(MapName::Backends, Key::Backend(BackendId(id)), Some(chain));
    put(MapName::Sent, Key::Mark(bits), None);
    put(MapName::Received, Key::Mark(bits), None);
}
