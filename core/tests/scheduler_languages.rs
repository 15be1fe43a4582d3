//! The examples of each language that are kept in the repository: they run, they all choose alike, and they start fast.
//! `make test-languages` builds these and the others anew, with the tool chains of their languages.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wvs_core::scheduler::bench::start;
use wvs_core::scheduler::conform::{Promises, Verdict, check};
use wvs_core::scheduler::{
    BackendId, CallError, Candidate, Dispatch, HashKey, Instance, Limits, Load, LoadPluginError, NewFlow,
    Plugin, PluginHost, pack,
};

/// Modules of a few kilobytes; those of the other languages bring megabytes of runtime along.
const KEPT: [&str; 3] = ["assemblyscript", "c", "zig"];
/// The kinds of `wvs plugin new`, and one that uses all that there is.
const KINDS: [&str; 3] = ["cycle", "flow", "everything"];

fn sdk() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins-sdk")
}

fn kept(language: &str, kind: &str) -> Vec<u8> {
    std::fs::read(sdk().join(format!("examples/{language}-{kind}.wasm"))).unwrap()
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

/// Connections for each of them, by chance.
fn loads(backends: &[Candidate], seed: u32) -> Vec<Load> {
    let load = |n: u32| Load {
        active: (n + seed).wrapping_mul(2_654_435_761) >> 28,
        inactive: n % 7,
    };
    (0..backends.len() as u32).map(load).collect()
}

fn conforms(name: &str, plugin: &Plugin, proportional: Option<u32>) {
    let promises = Promises {
        proportional,
        ..Promises::default()
    };
    let findings = check(plugin, &Default::default(), promises).unwrap();
    let failed = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Failed);
    assert_eq!(failed.count(), 0, "{name}: {findings:#?}");
}

/// Everybody in turn, as often as the weight says.
fn cycles(name: &str, plugin: &Plugin) {
    let mut instance = plugin.start(&[], 1).unwrap();
    assert_eq!(instance.dispatch(), Dispatch::Cycle, "{name}");
    assert_eq!(plugin.interfaces(), ["table"], "{name}");
    for backends in services() {
        instance.update(&backends).unwrap();
        for slots in [1, 16, 257] {
            let table = instance.fill(slots).unwrap();
            assert_eq!(table, model(&backends, slots as usize), "{name}: {backends:?}");
        }
    }
}

/// Whoever has the fewest connections for its weight gets the next, and has one more then.
fn flows(name: &str, plugin: &Plugin) {
    let mut instance = plugin.start(&[], 1).unwrap();
    assert_eq!(instance.dispatch(), Dispatch::Flow, "{name}");
    assert_eq!(plugin.interfaces(), ["flows", "load"], "{name}");
    let flow = NewFlow::new((Ipv4Addr::LOCALHOST, 1024).into(), (Ipv4Addr::LOCALHOST, 80).into(), 6, 0);
    for backends in services() {
        instance.update(&backends).unwrap();
        for seed in 0..3 {
            let observed = loads(&backends, seed);
            instance.observe(&observed).unwrap();
            let mut connections: Vec<f64> = observed.iter().map(|load| load.active.into()).collect();
            for _ in 0..100 {
                let cost = |at: usize| (connections[at] + 1.0) / f64::from(backends[at].weight);
                let usable = (0..backends.len()).filter(|&at| backends[at].usable());
                let best = usable.min_by(|&one, &other| cost(one).total_cmp(&cost(other)));
                let picked = instance.pick(&flow).unwrap();
                assert_eq!(picked, best.map(|at| backends[at].id), "{name}: {backends:?} {observed:?}");
                if let Some(at) = best {
                    connections[at] += 1.0;
                }
            }
        }
    }
}

/// One that uses all that the glue of its language offers to those who make tables.
fn everything(name: &str, plugin: &Plugin) {
    let about = plugin.describe();
    assert_eq!((about.name.as_str(), about.version.as_str()), ("everything", "1.2.3"), "{name}");
    assert_eq!(plugin.interfaces(), ["table", "load", "timer", "latency"], "{name}");
    let given = |pairs: &[(&str, &str)]| {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        plugin.check_params(&pairs.iter().map(owned).collect())
    };
    let start = |pairs| plugin.start(&given(pairs).unwrap(), 1);
    for wrong in [
        ("who", "last"),
        ("size", "-4"),
        ("size", "8"),
        ("hashed", "perhaps"),
    ] {
        assert_eq!(given(&[wrong]).unwrap_err().len(), 1, "{name}: {wrong:?}");
    }
    let refused = start(&[("note", "bad")]).unwrap_err();
    assert!(
        matches!(&refused, CallError::Refused { message, .. } if message == "note must not be bad"),
        "{name}"
    );

    let mut first = start(&[("who", "first"), ("hashed", "true"), ("size", "3")]).unwrap();
    assert_eq!(first.dispatch(), Dispatch::Hash(HashKey::SourceAndPort), "{name}");
    assert_eq!(first.due().unwrap(), Some(Duration::from_millis(300)), "{name}");
    let mut fastest = start(&[("size", "-3"), ("note", "ä")]).unwrap();
    assert_eq!(fastest.dispatch(), Dispatch::Cycle, "{name}");
    assert_eq!(fastest.due().unwrap(), None, "{name}");
    assert_eq!(fastest.interval().unwrap(), Some(Duration::from_millis(250)), "{name}");
    for backends in services() {
        let usable = || (0..backends.len()).filter(|&at| backends[at].usable());
        let expect = |instance: &mut Instance, best: Option<usize>| {
            let best = best.map(|at| backends[at].id);
            assert_eq!(instance.fill(33).unwrap(), vec![best; 33], "{name}: {backends:?}");
        };
        first.update(&backends).unwrap();
        expect(&mut first, usable().next());
        fastest.update(&backends).unwrap();
        expect(&mut fastest, usable().next());
        let observed = loads(&backends, 1);
        fastest.observe(&observed).unwrap();
        expect(&mut fastest, usable().min_by_key(|&at| observed[at].active));
        // Few values, so that connections matter; and those that mean most.
        let micros: Vec<u32> = (0..backends.len())
            .map(|at| [u32::MAX, 700, 1_000_000, u32::MAX - 1, 700][at * 7 % 5])
            .collect();
        fastest.observe_latency(&micros).unwrap();
        expect(&mut fastest, usable().min_by_key(|&at| (micros[at], observed[at].active)));
    }
}

fn answers_as_its_model(name: &str, kind: &str, plugin: &Plugin) {
    match kind {
        "cycle" => cycles(name, plugin),
        "flow" => flows(name, plugin),
        "everything" => everything(name, plugin),
        _ => panic!("{name} is of no kind"),
    }
}

#[test]
fn each_conforms_and_honours_weights() {
    for language in KEPT {
        for (kind, proportional) in [("cycle", Some(2)), ("flow", Some(2)), ("everything", None)] {
            conforms(language, &load(language, &kept(language, kind)), proportional);
        }
    }
}

#[test]
fn all_languages_choose_as_the_models_do() {
    for language in KEPT {
        for kind in KINDS {
            answers_as_its_model(language, kind, &load(language, &kept(language, kind)));
        }
    }
}

/// Also those of the languages whose modules are too large to be kept.
#[test]
#[ignore = "scripts/test-languages builds them, and runs it"]
fn what_was_built_chooses_as_the_models_do() {
    let dir = std::env::var_os("WVS_LANGUAGES").expect("WVS_LANGUAGES names no directory");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "nothing was built");
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap();
        // The text form's turns go by no weights, and are compared below; Rust's are the SDK's, which its tests compare.
        if ["wat-cycle", "rust-cycle"].contains(&name) {
            continue;
        }
        let kind = name.rsplit('-').next().unwrap();
        answers_as_its_model(name, kind, &load(name, &std::fs::read(&file).unwrap()));
        eprintln!("{name}: as the model");
    }
}

/// The text form as `wvs plugin new` completes it.
fn text(template: &str) -> Plugin {
    let text = template
        .replace("{{name}}", "example")
        .replace("{{name-length}}", "07");
    load("wat", text.as_bytes())
}

#[test]
fn the_text_form_decides_for_each_connection() {
    let plugin = text(include_str!("../../plugins-sdk/templates/wat/flow.wat"));
    conforms("wat", &plugin, Some(2));
    flows("wat", &plugin);
}

#[test]
fn the_text_form_may_have_everything() {
    let plugin = text(include_str!("../../plugins-sdk/everything/wat/plugin.wat"));
    conforms("wat", &plugin, None);
    everything("wat", &plugin);
}

/// The text form's own example knows no weights: everybody who is usable in turn.
#[test]
fn the_text_form_takes_turns() {
    let mut instance = text(include_str!("../../plugins-sdk/templates/wat/plugin.wat"))
        .start(&[], 1)
        .unwrap();
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
        for kind in KINDS {
            let cost =
                start(language, &kept(language, kind), None, &[], &state.path().join(language)).unwrap();
            eprintln!("{language}, {kind}: {:.2} ms", cost.kept.best_ns as f64 / 1e6);
            assert!(cost.kept.best_ns <= 5_000_000, "{language}, {kind}: {cost:?}");
        }
    }
}

fn sources_hash(language: &str) -> String {
    let mut files = Vec::new();
    for place in [
        format!("templates/{language}"),
        language.to_owned(),
        format!("everything/{language}"),
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
        for kind in KINDS {
            let recorded = sdk().join(format!("examples/{language}-{kind}.wasm.sources"));
            assert_eq!(
                std::fs::read_to_string(recorded).unwrap().trim(),
                sources_hash(language),
                "plugins-sdk/examples/{language}-{kind}.wasm is older than its sources: run scripts/test-languages \
                 --keep {language}"
            );
        }
    }
}

/// A module that asks WASI for all that a runtime asks for when it starts; its tables name nobody.
const RUNTIME: &str = include_str!("plugins/runtime.wat");

#[test]
fn a_runtime_gets_what_it_needs_of_wasi_when_it_is_packed() {
    let host = PluginHost::new(Limits::default()).unwrap();
    let refused = host.load("p", RUNTIME.as_bytes()).unwrap_err();
    assert!(matches!(refused, LoadPluginError::Import { .. }));
    assert!(refused.remedy().contains("`wvs plugin pack`"), "{}", refused.remedy());
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
    assert!(host.load("c", &pack("c", &kept("c", "cycle")).unwrap()).is_ok());
}

#[test]
fn what_is_no_scheduler_is_not_packed() {
    let unknown = RUNTIME.replace("\"fd_write\"", "\"fd_fly\"");
    let error = pack("p", unknown.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("fd_fly"), "{error}");
    let other = RUNTIME.replace("\"wasi_snapshot_preview1\"", "\"wasi_unstable\"");
    let error = pack("p", other.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("plugin p: imports wasi_unstable.args_sizes_get, "), "{error}");
    assert!(pack("p", b"\x7fELF").is_err());
    assert!(pack("p", b"(module)").is_err());
}
