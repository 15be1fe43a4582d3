//! Setup and undo against a host that is a value.

mod golden;
mod host;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use host::{Host, Trouble, host, vip, wish};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn set_up(host: &mut Host, dir: &TempDir, wish: &Wish) -> Result<Made, SetupError> {
    setup(host, dir.path(), wish, None, false)
}

fn set_back(host: &mut Host, dir: &TempDir, vips: &[&str]) -> Undone {
    let vips = vips.iter().map(|text| vip(text)).collect();
    undo(host, dir.path(), &vips, &dir.path().join("root")).unwrap()
}

fn remembered(dir: &TempDir) -> bool {
    dir.path().join("real-server.json").exists()
}

fn wishes() -> impl Strategy<Value = Wish> {
    let vips = prop::sample::subsequence(vec!["10.0.0.100", "10.0.0.101", "2001:db8::100"], 1..=3);
    let mode = prop::sample::select(vec!["dr", "ipip", "gre", "gre+checksum", "gue:6080"]);
    let interface = prop::option::of(prop::sample::select(vec!["eth0", "eth1"]));
    let outer = prop::option::weighted(0.3, prop::sample::select(Family::ALL.to_vec()));
    (vips, mode, interface, outer).prop_map(|(vips, mode, interface, outer)| Wish {
        outer: outer.filter(|_| mode != "dr"),
        ..wish(&vips, mode, interface)
    })
}

/// Hosts on which others have been at work.
fn hosts() -> impl Strategy<Value = Host> {
    let settings = prop::collection::vec(0..4_u32, 12);
    let standing = prop::sample::subsequence(vec!["10.0.0.100", "10.0.0.101", "2001:db8::100"], 0..=3);
    (settings, standing, prop::option::weighted(0.3, 0..=3_usize)).prop_map(|(settings, standing, unable)| {
        let mut host = host();
        host.settings(&settings);
        for address in standing {
            host.stands(address, "lo");
        }
        if let Some(unable) = unable {
            host.cannot(Device::ALL[unable]);
        }
        host
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn what_is_set_up_is_well_stays_so_and_goes_without_a_trace(wish in wishes(), mut host in hosts()) {
        let (dir, before) = (dir(), host.seen.clone());
        match set_up(&mut host, &dir, &wish) {
            Ok(made) => prop_assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items),
            Err(SetupError::Obstacles(_)) => {
                prop_assert_eq!(&host.seen, &before);
                return Ok(());
            }
            Err(error) => panic!("{error}"),
        }
        let after = host.seen.clone();
        let again = set_up(&mut host, &dir, &wish).unwrap();
        prop_assert_eq!((again.changes, &host.seen), (vec![], &after));
        let status = status(&mut host, dir.path(), None).unwrap();
        prop_assert!(status.remembered && status.items.iter().all(|it| it.ok), "{:#?}", status);
        let undone = set_back(&mut host, &dir, &[]);
        prop_assert_eq!((undone.left, undone.remains), (vec![], None));
        prop_assert_eq!(&host.seen, &before);
        prop_assert!(!remembered(&dir));
    }

    #[test]
    fn what_fails_is_taken_back(wish in wishes(), mut host in hosts(), at in 0..12_usize) {
        let (dir, before) = (dir(), host.seen.clone());
        host.trouble(at, Trouble::Fails);
        match set_up(&mut host, &dir, &wish) {
            Ok(made) => prop_assert!(made.changes.len() <= at),
            Err(SetupError::Failed { left, .. }) => {
                prop_assert_eq!((left, &host.seen), (vec![], &before));
                prop_assert!(!remembered(&dir));
            }
            Err(SetupError::Obstacles(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn what_is_killed_in_between_is_finished_or_taken_back(
        wish in wishes(), mut host in hosts(), at in 0..12_usize, goes_on: bool
    ) {
        let (dir, before) = (dir(), host.seen.clone());
        host.trouble(at, Trouble::Dies);
        let killed = catch_unwind(AssertUnwindSafe(|| set_up(&mut host, &dir, &wish)));
        host.calm();
        if goes_on && killed.is_err() {
            let made = set_up(&mut host, &dir, &wish).unwrap();
            prop_assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items);
        }
        // So may undo be.
        host.trouble(at / 2, Trouble::Dies);
        let root = dir.path().join("root");
        let _ = catch_unwind(AssertUnwindSafe(|| undo(&mut host, dir.path(), &BTreeSet::new(), &root)));
        host.calm();
        set_back(&mut host, &dir, &[]);
        prop_assert_eq!(&host.seen, &before);
    }

    #[test]
    fn addresses_come_and_go_one_by_one(wish in wishes(), mut host in hosts()) {
        let (dir, before) = (dir(), host.seen.clone());
        let mut grown = Wish { vips: BTreeSet::new(), ..wish.clone() };
        for vip in &wish.vips {
            grown.vips.insert(*vip);
            match set_up(&mut host, &dir, &grown) {
                Ok(made) => prop_assert!(made.items.iter().all(|it| it.ok), "{:#?}", made.items),
                Err(SetupError::Obstacles(_)) => {
                    set_back(&mut host, &dir, &[]);
                    prop_assert_eq!(&host.seen, &before);
                    return Ok(());
                }
                Err(error) => panic!("{error}"),
            }
        }
        for vip in &wish.vips {
            grown.vips.remove(vip);
            let undone = set_back(&mut host, &dir, &[&vip.to_string()]);
            prop_assert_eq!(undone.remains.is_none(), grown.vips.is_empty());
            if !grown.vips.is_empty() {
                let status = status(&mut host, dir.path(), None).unwrap();
                prop_assert!(status.items.iter().all(|it| it.ok), "{:#?}", status);
            }
        }
        prop_assert_eq!(&host.seen, &before);
    }
}

#[test]
fn what_another_has_changed_since_is_left_to_him() {
    let (mut host, dir) = (host(), dir());
    set_up(&mut host, &dir, &wish(&["10.0.0.100"], "dr", None)).unwrap();
    host.seen.all.ignore = 2;
    host.lacks("10.0.0.100");
    let undone = set_back(&mut host, &dir, &[]);
    assert_eq!(undone.left, ["net.ipv4.conf.all.arp_ignore: 1 -> 0: it is 2 now"]);
    assert_eq!(undone.changes, ["net.ipv4.conf.all.arp_announce: 2 -> 0"]);
    assert_eq!(host.seen.all.ignore, 2);
    assert!(!remembered(&dir));
}

#[test]
fn what_was_before_the_first_setup_is_what_comes_back() {
    let (mut host, dir) = (host(), dir());
    let wish = wish(&["10.0.0.100"], "dr", None);
    set_up(&mut host, &dir, &wish).unwrap();
    host.seen.all.ignore = 3;
    let made = set_up(&mut host, &dir, &wish).unwrap();
    assert_eq!(made.changes.len(), 1, "{made:?}");
    set_back(&mut host, &dir, &[]);
    assert_eq!(host.seen.all.ignore, 0);
}

#[test]
fn a_host_is_set_up_for_one_thing_at_a_time() {
    let (mut host, dir) = (host(), dir());
    set_up(&mut host, &dir, &wish(&["10.0.0.100"], "dr", None)).unwrap();
    let before = host.seen.clone();
    for other in [
        wish(&["10.0.0.101"], "dr", None),
        wish(&["10.0.0.100"], "ipip", None),
        wish(&["10.0.0.100"], "dr", Some("eth0")),
    ] {
        let error = set_up(&mut host, &dir, &other).unwrap_err().to_string();
        assert!(error.contains("--vip 10.0.0.100 --mode dr") && error.contains("undo"), "{error}");
    }
    assert_eq!(host.seen, before);
    let unknown = undo(&mut host, dir.path(), &BTreeSet::from([vip("10.0.0.9")]), Path::new("/nowhere"));
    assert!(matches!(unknown, Err(UndoError::Unknown { .. })), "{unknown:?}");
}

#[test]
fn after_a_start_of_the_kernel_nothing_is_to_be_restored() {
    let (mut before, dir) = (host(), dir());
    let wish = wish(&["10.0.0.100"], "dr", None);
    set_up(&mut before, &dir, &wish).unwrap();
    let mut host = host();
    host.origin.boot = "another".into();
    host.seen.all.announce = 2;
    let made = set_up(&mut host, &dir, &wish).unwrap();
    assert_eq!(made.changes.len(), 2, "{made:?}");
    let undone = set_back(&mut host, &dir, &[]);
    assert_eq!((undone.changes.len(), host.seen.all.announce), (2, 2), "{undone:?}");
}

#[test]
fn the_memory_of_another_namespace_is_not_mine() {
    let (mut host, dir) = (host(), dir());
    let wish = wish(&["10.0.0.100"], "dr", None);
    set_up(&mut host, &dir, &wish).unwrap();
    host.origin.namespace = "net:[2]".into();
    for error in [
        set_up(&mut host, &dir, &wish).unwrap_err().to_string(),
        status(&mut host, dir.path(), None).unwrap_err().to_string(),
    ] {
        assert!(error.contains("--state-dir"), "{error}");
    }
}

#[test]
fn what_cannot_be_taken_back_is_kept_for_the_next_try() {
    let (mut host, dir) = (host(), dir());
    let before = host.seen.clone();
    set_up(&mut host, &dir, &wish(&["10.0.0.100"], "dr", None)).unwrap();
    host.trouble(1, Trouble::Fails);
    let failed = undo(&mut host, dir.path(), &BTreeSet::new(), Path::new("/nowhere"));
    let Err(UndoError::Failed(why)) = failed else {
        panic!("{failed:?}")
    };
    assert_eq!(why, ["net.ipv4.conf.all.arp_announce: 0 -> 2: cannot do it: trouble"]);
    host.calm();
    assert_eq!(set_back(&mut host, &dir, &[]).changes.len(), 1);
    assert_eq!(host.seen, before);
}

#[test]
fn a_rehearsal_leaves_no_trace() {
    let (mut host, dir) = (host(), dir());
    let before = host.seen.clone();
    let state = dir.path().join("none");
    let made = setup(&mut host, &state, &wish(&["10.0.0.100"], "ipip", None), None, true).unwrap();
    assert_eq!((made.changes.len(), host.seen, state.exists()), (5, before, false));
}

#[test]
fn a_unit_follows_the_wish_and_goes_with_it() {
    let (mut host, dir) = (host(), dir());
    let root = dir.path().join("root");
    let persistence = Persistence {
        root: root.clone(),
        program: "/usr/bin/wvs".into(),
    };
    let unit = root.join("etc/systemd/system").join(UNIT);
    let line = || std::fs::read_to_string(&unit).unwrap_or_default();
    let one = wish(&["10.0.0.100"], "dr", None);
    let made = setup(&mut host, dir.path(), &one, Some(persistence), false).unwrap();
    assert_eq!(made.unit.as_ref(), Some(&unit));
    assert!(
        line().contains("/usr/bin/wvs real-server setup --vip 10.0.0.100 --mode dr "),
        "{}",
        line()
    );

    let two = wish(&["10.0.0.100", "10.0.0.101"], "dr", None);
    set_up(&mut host, &dir, &two).unwrap();
    assert!(line().contains("--vip 10.0.0.100,10.0.0.101 "), "{}", line());
    set_back(&mut host, &dir, &["10.0.0.101"]);
    assert!(line().contains("--vip 10.0.0.100 "), "{}", line());
    std::fs::remove_file(&unit).unwrap();
    let items = status(&mut host, dir.path(), None).unwrap().items;
    assert!(items.iter().any(|it| it.name == UNIT && !it.ok), "{items:?}");
    set_up(&mut host, &dir, &one).unwrap();
    assert!(
        status(&mut host, dir.path(), None)
            .unwrap()
            .items
            .iter()
            .all(|it| it.ok)
    );
    assert!(set_back(&mut host, &dir, &[]).unit);
    assert!(!unit.exists());
}

#[test]
fn a_unit_that_cannot_be_written_takes_all_back() {
    let (mut host, dir) = (host(), dir());
    let before = host.seen.clone();
    let root = dir.path().join("root");
    std::fs::write(&root, "in the way").unwrap();
    let persistence = Persistence {
        root,
        program: "/usr/bin/wvs".into(),
    };
    let wish = wish(&["10.0.0.100"], "dr", None);
    let error = setup(&mut host, dir.path(), &wish, Some(persistence), false).unwrap_err();
    assert!(error.to_string().contains("as it was before"), "{error}");
    assert_eq!((host.seen, remembered(&dir)), (before, false));
}

#[test]
fn two_at_a_time_are_one_too_many() {
    let (mut host, dir) = (host(), dir());
    let _busy = Memory::open(dir.path()).unwrap();
    let error = set_up(&mut host, &dir, &wish(&["10.0.0.100"], "dr", None)).unwrap_err();
    assert!(matches!(error, SetupError::Memory(MemoryError::Busy { .. })), "{error}");
}

#[test]
fn a_damaged_memory_is_said_and_kept() {
    let (mut host, dir) = (host(), dir());
    std::fs::write(dir.path().join("real-server.json"), "{").unwrap();
    let error = set_up(&mut host, &dir, &wish(&["10.0.0.100"], "dr", None)).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert!(remembered(&dir));
}
