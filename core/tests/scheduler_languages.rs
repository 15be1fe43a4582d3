//! The examples of each language that are kept in the repository: they run, they all choose alike, and they start fast.
//! `make test-languages` builds these and the others anew, with the tool chains of their languages.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use wvs_core::scheduler::bench::start;
use wvs_core::scheduler::conform::{Promises, Verdict, check};
use wvs_core::scheduler::{
    BackendId, Candidate, Dispatch, Limits, LoadPluginError, Plugin, PluginHost, pack,
};

/// Modules of a few kilobytes; those of the other languages bring megabytes of runtime along.
const KEPT: [&str; 3] = ["assemblyscript", "c", "zig"];

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins-sdk")
}

fn kept(language: &str) -> Vec<u8> {
    std::fs::read(sdk().join(format!("examples/{language}.wasm"))).unwrap()
}

fn load(name: &str, bytes: &[u8]) -> Plugin {
    PluginHost::new(Limits::default())
        .unwrap()
        .load(name, bytes)
        .unwrap()
}

/// The n-th turn of a backend is due at (n + ½) / weight; who is due first is next, and the earlier in the list of two.
fn model(backends: &[Candidate], slots: usize) -> Vec<Option<BackendId>> {
    let mut turns = vec![0_u32; backends.len()];
    let pick = |turns: &mut Vec<u32>| {
        let due = |at: usize| (f64::from(turns[at]) + 0.5) / f64::from(backends[at].weight);
        let usable = (0..backends.len()).filter(|&at| backends[at].usable());
        let next = usable.min_by(|&one, &other| due(one).total_cmp(&due(other)))?;
        turns[next] += 1;
        Some(backends[next].id)
    };
    (0..slots).map(|_| pick(&mut turns)).collect()
}

/// Services of many shapes: so many backends, with weights and states by chance.
fn services() -> Vec<Vec<Candidate>> {
    let mut random = 7_u32;
    let mut below = |limit: u32| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) % limit
    };
    let sizes = [0, 1, 2, 3, 5, 16, 100, 1000];
    let service = |size: u16| {
        let weights = [2, 9, 100, u32::MAX][below(4) as usize];
        (1..=size)
            .map(|id| Candidate {
                id: BackendId(id * 60),
                weight: below(weights),
                address: Ipv4Addr::from(0x0a01_0000 + u32::from(id)).into(),
                port: 8080,
                draining: below(8) == 0,
                overloaded: below(8) == 0,
                down: below(8) == 0,
            })
            .collect()
    };
    sizes.into_iter().chain(sizes).map(service).collect()
}

#[test]
fn each_conforms_and_honours_weights() {
    let promises = Promises {
        proportional: Some(2),
        ..Promises::default()
    };
    for language in KEPT {
        let plugin = load(language, &kept(language));
        let findings = check(&plugin, &Default::default(), promises).unwrap();
        let failed = findings
            .iter()
            .filter(|finding| finding.verdict == Verdict::Failed);
        assert_eq!(failed.count(), 0, "{language}: {findings:#?}");
        assert_eq!(plugin.describe().name, "example");
    }
}

#[test]
fn all_languages_choose_as_the_model_does() {
    for language in KEPT {
        let plugin = load(language, &kept(language));
        let mut instance = plugin.start(&[], 1).unwrap();
        assert_eq!(instance.dispatch(), Dispatch::Cycle, "{language}");
        for backends in services() {
            instance.update(&backends).unwrap();
            for slots in [1, 16, 257] {
                let table = instance.fill(slots).unwrap();
                assert_eq!(table, model(&backends, slots as usize), "{language}: {backends:?}");
            }
        }
    }
}

/// The text form's own example knows no weights: everybody who is usable in turn.
#[test]
fn the_text_form_takes_turns() {
    let text = include_str!("../../plugins-sdk/templates/wat/plugin.wat")
        .replace("{{name}}", "example")
        .replace("{{name-length}}", "07");
    let mut instance = load("wat", text.as_bytes()).start(&[], 1).unwrap();
    for backends in services() {
        let mut equal = backends.clone();
        equal
            .iter_mut()
            .for_each(|known| known.weight = known.weight.min(1));
        instance.update(&backends).unwrap();
        assert_eq!(instance.fill(257).unwrap(), model(&equal, 257));
    }
}

#[test]
fn each_starts_from_kept_code_within_5_ms() {
    let state = tempfile::tempdir().unwrap();
    for language in KEPT {
        let cost = start(language, &kept(language), None, &[], &state.path().join(language)).unwrap();
        eprintln!("{language}: {:.2} ms", cost.kept.best_ns as f64 / 1e6);
        assert!(cost.kept.best_ns <= 5_000_000, "{language}: {cost:?}");
    }
}

fn sources_hash(language: &str) -> String {
    let mut files = Vec::new();
    for place in [
        format!("templates/{language}"),
        language.to_owned(),
        "wit".to_owned(),
    ] {
        for entry in std::fs::read_dir(sdk().join(place)).into_iter().flatten() {
            files.push(entry.unwrap().path());
        }
    }
    // Words about it are not what it is made from.
    files.retain(|file| file.file_name().unwrap() != "README.md");
    files.sort();
    let hex = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").unwrap();
            hex
        })
    };
    let all = files
        .iter()
        .map(|file| hex(&std::fs::read(file).unwrap()) + "\n")
        .collect::<String>();
    hex(all.as_bytes())
}

#[test]
fn what_is_kept_is_made_from_the_templates() {
    for language in KEPT {
        let recorded =
            std::fs::read_to_string(sdk().join(format!("examples/{language}.wasm.sources"))).unwrap();
        assert_eq!(
            recorded.trim(),
            sources_hash(language),
            "plugins-sdk/examples/{language}.wasm is older than its template: run scripts/test-languages --keep \
             {language}"
        );
    }
}

/// A module that asks WASI for all that a runtime asks for when it starts; its tables name nobody.
const RUNTIME: &str = include_str!("plugins/runtime.wat");

#[test]
fn a_runtime_gets_what_it_needs_of_wasi_when_it_is_packed() {
    let host = PluginHost::new(Limits::default()).unwrap();
    let refused = host.load("p", RUNTIME.as_bytes()).unwrap_err();
    assert!(matches!(refused, LoadPluginError::Import { .. }));
    assert!(refused.to_string().contains("`wvs plugin pack`"), "{refused}");
    let packed = pack("p", RUNTIME.as_bytes()).unwrap();
    let plugin = host.load("p", &packed).unwrap();
    // It says in its summary what WASI answered.
    assert_eq!(plugin.describe().summary, "args 0, env 0, open 52, exitable");
    let mut one = plugin.start(&[], 1).unwrap();
    for backends in services() {
        one.update(&backends).unwrap();
    }
    assert_eq!(one.fill(3).unwrap(), [None; 3]);
    // A component is as it is, and what a director takes is packed just as well.
    assert_eq!(pack("p", &packed).unwrap(), packed);
    assert!(host.load("c", &pack("c", &kept("c")).unwrap()).is_ok());
}

#[test]
fn what_is_no_scheduler_is_not_packed() {
    let unknown = RUNTIME.replace("\"fd_write\"", "\"fd_fly\"");
    let error = pack("p", unknown.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("fd_fly"), "{error}");
    let other = RUNTIME.replace("\"wasi_snapshot_preview1\"", "\"wasi_unstable\"");
    let error = pack("p", other.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("plugin p: imports wasi_unstable: a plugin may import"), "{error}");
    assert!(pack("p", b"\x7fELF").is_err());
    assert!(pack("p", b"(module)").is_err());
}
