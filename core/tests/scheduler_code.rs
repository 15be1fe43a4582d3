//! Compiled plugins on disk: used when they are sound, made anew when they are not, and how much that saves.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use wvs_core::kernel::code::CodeStore;
use wvs_core::scheduler::bench::start;
use wvs_core::scheduler::catalog::Catalog;
use wvs_core::scheduler::{HostOptions, Limits, Plugin, PluginEngine, PluginHost, builtin};

fn host(dir: &Path) -> PluginHost {
    PluginHost::with(HostOptions {
        code: Some(CodeStore::open(dir).unwrap()),
        ..HostOptions::default()
    })
    .unwrap()
}

fn load(dir: &Path, name: &str) -> Plugin {
    host(dir).load(name, builtin(name).unwrap()).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_was_compiled_is_found_again_and_works() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("deeper/plugin-cache");
    for name in ["rr", "wlc", "lblc"] {
        let first = load(&dir, name);
        let second = load(&dir, name);
        assert!(!first.was_kept() && second.was_kept(), "{name}");
        assert_eq!((first.describe(), first.hash()), (second.describe(), second.hash()));
        assert_eq!(first.wants_load(), second.wants_load());
        let params = second.check_params(&Default::default()).unwrap();
        let (first, second) = (first.start(&params, 1).unwrap(), second.start(&params, 1).unwrap());
        assert_eq!(first.dispatch(), second.dispatch());
    }
    assert_eq!(files(&dir).len(), 6);
    assert_eq!((mode(&dir), mode(&files(&dir)[0])), (0o700, 0o600));
}

/// Whatever was changed, in the code or in what is said of it, is noticed.
#[test]
fn a_damaged_file_is_made_anew() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    load(&dir, "rr");
    let [code, seal] = &files(&dir)[..] else { panic!() };
    let host = host(&dir);
    let kept = || host.load("rr", builtin("rr").unwrap()).unwrap().was_kept();
    let whole = fs::read(code).unwrap();
    for path in [code, seal] {
        let bytes = fs::read(path).unwrap();
        let places = (0..112).step_by(7).chain([112, bytes.len() / 2, bytes.len() - 1]);
        let mut damaged: Vec<Vec<u8>> = places
            .map(|at| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 0x10;
                bytes
            })
            .collect();
        damaged.extend([
            Vec::new(),
            bytes[..50].to_vec(),
            bytes[..bytes.len() - 1].to_vec(),
        ]);
        damaged.push([&bytes[..], b"more"].concat());
        for bytes in damaged {
            fs::write(path, &bytes).unwrap();
            assert!(!kept());
            assert_eq!(fs::read(code).unwrap(), whole, "it is there again");
            assert!(kept());
        }
    }
    for path in [code, seal] {
        fs::remove_file(path).unwrap();
        assert!(!kept() && kept());
    }
}

/// As from a backup: the same bytes, another file. They are looked at once.
#[test]
fn code_that_was_put_back_is_used() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    load(&dir, "rr");
    let [code, seal] = &files(&dir)[..] else { panic!() };
    let sealed = fs::read(seal).unwrap();
    let aside = state.path().join("aside");
    fs::copy(code, &aside).unwrap();
    fs::rename(&aside, code).unwrap();
    assert!(load(&dir, "rr").was_kept());
    let renewed = fs::read(seal).unwrap();
    assert!(load(&dir, "rr").was_kept());
    assert!(sealed != renewed && fs::read(seal).unwrap() == renewed);
}

/// Where a plugin's file is known it is not read again; another file in its place is, though it has its size and time.
#[test]
fn a_file_that_was_seen_is_told_from_the_next() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("mine.wat");
    let text = include_str!("../../plugins-sdk/templates/wat/plugin.wat").replace("{{name-length}}", "07");
    let put = |name: &str| fs::write(&path, text.replace("{{name}}", name)).unwrap();
    let start = || {
        let catalog = Catalog::keeping(PluginEngine::Native, Some(state.path())).unwrap();
        let plugin = catalog.at(state.path(), "mine").unwrap();
        (plugin.describe().name.clone(), plugin.was_kept())
    };
    let seen = || {
        let files = files(&state.path().join("plugin-cache"));
        files
            .iter()
            .filter(|path| path.extension() == Some("seen".as_ref()))
            .count()
    };
    put("example");
    assert_eq!(start(), ("example".to_owned(), false));
    let patience = Instant::now();
    // A file that was written only just now might be written again without a trace.
    while seen() == 0 {
        assert_eq!(start(), ("example".to_owned(), true));
        assert!(patience.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(start(), ("example".to_owned(), true));
    let time = fs::metadata(&path).unwrap().modified().unwrap();
    put("another");
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(time).unwrap();
    assert_eq!(start(), ("another".to_owned(), false));
    assert_eq!(start(), ("another".to_owned(), true));
    fs::remove_file(&path).unwrap();
    let catalog = Catalog::keeping(PluginEngine::Native, Some(state.path())).unwrap();
    catalog.at(state.path(), "mine").unwrap_err();
}

#[test]
fn a_file_of_another_plugin_or_engine_is_not_taken() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    load(&dir, "rr");
    let rr = files(&dir);
    load(&dir, "fo");
    let mut fo = files(&dir);
    fo.retain(|path| !rr.contains(path));
    for (rr, fo) in rr.iter().zip(&fo) {
        fs::copy(rr, fo).unwrap();
        assert!(!load(&dir, "fo").was_kept() && load(&dir, "fo").was_kept());
    }
    // What it was made from and what for, so that two engines keep theirs side by side.
    let name = fo[0].file_name().unwrap().to_str().unwrap();
    let (plugin, engine) = name.split_once('-').unwrap();
    assert_eq!((plugin.len(), engine.len()), (64, 16 + ".code".len()), "{name}");
}

#[test]
fn a_file_that_others_can_write_is_not_taken() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    load(&dir, "rr");
    for path in files(&dir) {
        for mode in [0o620, 0o602, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(!load(&dir, "rr").was_kept(), "{mode:o}");
            assert!(load(&dir, "rr").was_kept());
        }
        // Led elsewhere, to the very same bytes.
        let aside = state.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        symlink(&aside, &path).unwrap();
        assert!(!load(&dir, "rr").was_kept());
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        if nix::unistd::geteuid().is_root() {
            chown(&path, Some(65_534), None).unwrap();
            assert!(!load(&dir, "rr").was_kept());
            assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
        }
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give files away");
        return;
    }
    chown(&dir, Some(65_534), None).unwrap();
    let error = CodeStore::open(&dir).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot use {}", dir.display()));
}

#[test]
fn a_directory_that_is_open_to_others_is_closed_and_what_is_no_directory_refused() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    load(&dir, "rr");
    assert_eq!(mode(&dir), 0o700);
    let link = state.path().join("link");
    symlink(&dir, &link).unwrap();
    CodeStore::open(&link).unwrap_err();
    let file = state.path().join("file");
    fs::write(&file, "").unwrap();
    CodeStore::open(&file).unwrap_err();
}

#[test]
fn what_was_not_used_for_longest_goes() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    load(&dir, "rr");
    let rr = files(&dir);
    let age = |path: &Path, seconds| {
        let file = fs::File::options().append(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    };
    for n in 0..100_u64 {
        for extension in ["code", "seal", "seen"] {
            let path = dir.join(format!("{n}.{extension}"));
            fs::write(&path, "").unwrap();
            age(&path, 1000 + n);
        }
    }
    for (name, seconds) in [("1.77.new", 7200), ("2.77.new", 60), ("notes", 100_000)] {
        fs::write(dir.join(name), "").unwrap();
        age(&dir.join(name), seconds);
    }
    rr.iter().for_each(|path| age(path, 100_000));
    assert!(load(&dir, "rr").was_kept(), "that it was used is noted");
    load(&dir, "fo");
    let left = files(&dir);
    let there = |name: &str| left.contains(&dir.join(name));
    assert!(rr.iter().all(|path| left.contains(path)));
    for extension in ["code", "seal"] {
        let there = |n: u64| there(&format!("{n}.{extension}"));
        assert!(there(61) && !there(62) && !there(99));
    }
    assert!(there("63.seen") && !there("64.seen"));
    assert!(!there("1.77.new") && there("2.77.new") && there("notes"));
}

/// A directory that cannot be written costs time, and nothing else.
#[test]
fn a_plugin_starts_also_where_nothing_can_be_kept() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    let host = host(&dir);
    fs::remove_dir(&dir).unwrap();
    assert!(!host.load("rr", builtin("rr").unwrap()).unwrap().was_kept());
}

#[test]
fn a_start_from_kept_code_takes_at_most_5_ms() {
    let state = tempfile::tempdir().unwrap();
    for name in ["wlc", "lblc"] {
        // On a machine that is busy with other tests the fastest of many is the one that was left alone.
        let cost = start(name, builtin(name).unwrap(), None, &params(name), &state.path().join("c")).unwrap();
        let ms = |ns: u64| ns as f64 / 1e6;
        eprintln!(
            "{name}: a start from kept code takes {:.2} ms, median {:.2} ms; compiling {:.0} ms",
            ms(cost.kept.best_ns),
            ms(cost.kept.median_ns),
            ms(cost.compiled.best_ns)
        );
        assert!(cost.kept.best_ns <= 5_000_000, "{cost:?}");
    }
}

fn params(name: &str) -> Vec<(String, String)> {
    let plugin = PluginHost::new(Limits::default())
        .unwrap()
        .load(name, builtin(name).unwrap())
        .unwrap();
    plugin.check_params(&Default::default()).unwrap()
}
