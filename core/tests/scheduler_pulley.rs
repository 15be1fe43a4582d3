//! Plugins that are interpreted answer as compiled ones do, and are held to the same limits.
#![allow(clippy::unwrap_used)]

use wvs_core::kernel::code::CodeStore;
use wvs_core::scheduler::conform::{sample_backends, sample_flow};
use wvs_core::scheduler::stage::backend;
use wvs_core::scheduler::{
    BUILTIN, Dispatch, HostOptions, Instance, Load, PluginEngine, PluginHost, builtin,
};

fn host(engine: PluginEngine) -> PluginHost {
    PluginHost::with(HostOptions {
        engine,
        ..HostOptions::default()
    })
    .unwrap()
}

fn start(host: &PluginHost, name: &str) -> Instance {
    let plugin = host.load(name, builtin(name).unwrap()).unwrap();
    let params = plugin.check_params(&Default::default()).unwrap();
    let mut instance = plugin.start(&params, 7).unwrap();
    instance.set_time(0.0);
    instance
}

#[test]
fn they_answer_as_compiled_ones_do() {
    let (native, pulley) = (host(PluginEngine::Native), host(PluginEngine::Pulley));
    for (name, _) in BUILTIN {
        let (mut one, mut other) = (start(&native, name), start(&pulley, name));
        assert_eq!(one.dispatch(), other.dispatch(), "{name}");
        for count in [0, 1, 5, 40] {
            let backends = sample_backends(1, count);
            let loads: Vec<Load> = (0..u32::from(count))
                .map(|n| Load {
                    active: n * 13 % 50,
                    inactive: n * 7 % 400,
                })
                .collect();
            for instance in [&mut one, &mut other] {
                instance.update(&backends).unwrap();
                instance.observe(&loads).unwrap();
            }
            if one.dispatch() == Dispatch::Flow {
                for n in 0..500 {
                    let flow = sample_flow(n);
                    assert_eq!(
                        one.pick(&flow).unwrap(),
                        other.pick(&flow).unwrap(),
                        "{name}, {count} backends"
                    );
                }
            } else {
                assert_eq!(one.fill(256).unwrap(), other.fill(256).unwrap(), "{name}, {count} backends");
            }
        }
    }
}

#[test]
fn their_faults_are_caught() {
    let plugin = host(PluginEngine::Pulley)
        .load("fault", include_bytes!("plugins/fault.wat"))
        .unwrap();
    for (fault, expected) in [
        (
            "trap",
            "fill trapped: it gave up (`unreachable`, as after a panic); its last words: as it was told",
        ),
        ("loop", "fill was stopped after its 250 ms"),
        ("memory", "fill failed: memory limit 67108864 B reached"),
        ("deep", "fill trapped: the stack of 1048576 B is exhausted"),
        (
            "wrong-id",
            "fill broke the contract: slot 0 holds backend 4711, which was not in the last update",
        ),
        ("huge", "fill broke the contract: its answer takes more than 4194304 B"),
    ] {
        let given = [("fault".to_owned(), fault.to_owned())].into();
        let mut instance = plugin.start(&plugin.check_params(&given).unwrap(), 1).unwrap();
        instance.update(&[backend(3, 1), backend(5, 1)]).unwrap();
        let error = instance.fill(4).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn what_is_compiled_for_both_lies_side_by_side() {
    let state = tempfile::tempdir().unwrap();
    let dir = state.path().join("c");
    for (engine, kept) in [
        (PluginEngine::Native, false),
        (PluginEngine::Pulley, false),
        (PluginEngine::Native, true),
        (PluginEngine::Pulley, true),
    ] {
        let host = PluginHost::with(HostOptions {
            engine,
            code: Some(CodeStore::open(&dir).unwrap()),
            ..HostOptions::default()
        });
        let plugin = host.unwrap().load("rr", builtin("rr").unwrap()).unwrap();
        assert_eq!(plugin.was_kept(), kept, "{engine:?}");
        let mut instance = plugin.start(&[], 1).unwrap();
        instance.update(&sample_backends(1, 2)).unwrap();
        instance.fill(16).unwrap();
    }
    // The code of each, and what is known of it.
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 4);
}
