//! Schedulers where no memory may become executable. The denial holds for a whole process and for good, so this test
//! has one to itself.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use wvs_core::kernel::code::CodeStore;
use wvs_core::kernel::memory::deny_writable_code;
use wvs_core::scheduler::conform::sample_backends;
use wvs_core::scheduler::{BackendId, HostOptions, PluginEngine, PluginHost, builtin};

fn host(engine: PluginEngine, state: &std::path::Path) -> PluginHost {
    PluginHost::with(HostOptions {
        engine,
        code: Some(CodeStore::open(&state.join("c")).unwrap()),
        ..HostOptions::default()
    })
    .unwrap()
}

#[test]
fn interpreted_plugins_run_where_no_memory_becomes_executable() {
    let state = tempfile::tempdir().unwrap();
    let native = |name| host(PluginEngine::Native, state.path()).load(name, builtin(name).unwrap());
    native("rr").unwrap();
    if !deny_writable_code().unwrap() {
        eprintln!("SKIPPED: this kernel cannot keep memory from becoming executable; Linux 6.3 can");
        return;
    }
    // Neither what is kept nor what is compiled now, and it is said what to do.
    for name in ["rr", "sh"] {
        let error = native(name).unwrap_err();
        assert!(error.remedy().contains("run the director with --pulley"), "{error}: {}", error.remedy());
    }
    for kept in [false, true] {
        for name in ["rr", "wlc", "lblc"] {
            let plugin = host(PluginEngine::Pulley, state.path())
                .load(name, builtin(name).unwrap())
                .unwrap();
            assert_eq!(plugin.was_kept(), kept, "{name}");
            let params = plugin.check_params(&Default::default()).unwrap();
            plugin
                .start(&params, 1)
                .unwrap()
                .update(&sample_backends(1, 9))
                .unwrap();
        }
    }
    let mut rr = host(PluginEngine::Pulley, state.path())
        .load("rr", builtin("rr").unwrap())
        .unwrap()
        .start(&[], 1)
        .unwrap();
    rr.update(&sample_backends(4, 1)).unwrap();
    assert_eq!(rr.fill(2).unwrap(), [Some(BackendId(4)); 2]);
}
