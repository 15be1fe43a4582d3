//! What the host says to files that are no scheduler it can run, and the forms it takes.
#![allow(clippy::unwrap_used)]

use wvs_core::scheduler::{Dispatch, Limits, LoadPluginError, PluginHost, builtin};

fn host() -> PluginHost {
    PluginHost::new(Limits::default()).unwrap()
}

fn refusal(bytes: impl AsRef<[u8]>) -> String {
    host().load("p", bytes.as_ref()).unwrap_err().to_string()
}

#[test]
fn what_is_no_scheduler_is_refused_in_words() {
    assert_eq!(
        refusal(include_str!("plugins/next-version.wat")),
        "plugin p: built against wvs:scheduler 0.2.0; this director speaks 0.1.x"
    );
    assert_eq!(
        refusal(include_str!("plugins/wasi.wat")),
        "plugin p: imports wasi_snapshot_preview1: a plugin may import wvs:scheduler/host only; `wvs plugin pack` \
         gives a module's runtime what it needs of WASI (or build without: Rust has the target \
         wasm32-unknown-unknown)"
    );
    assert!(
        refusal(include_str!("plugins/wasi-component.wat"))
            .starts_with("plugin p: imports wasi:sockets/network@0.2.0: a plugin may import")
    );
    assert_eq!(
        refusal("(module)"),
        "plugin p: does not export wvs:scheduler/policy@0.1.0, which every scheduler needs"
    );
    assert_eq!(
        refusal(r#"(module (func (export "describe")))"#),
        "plugin p: does not export wvs:scheduler/table@0.1.0 (or flows, to decide for each connection), which every \
         scheduler needs"
    );
    let error = refusal(include_str!("plugins/wrong-type.wat"));
    assert!(error.contains("type mismatch for function `fill`"), "{error}");
    let error = refusal(include_str!("plugins/no-such-function.wat"));
    assert!(error.contains("read-file"), "{error}");
    let error = refusal("(module\n(func");
    assert!(
        error.starts_with("plugin p: neither WebAssembly nor its text form: expected `)`"),
        "{error}"
    );
    assert!(error.contains("p:2:6"), "{error}");
    assert_eq!(
        refusal(b"\x7fELF\x02\x01"),
        "plugin p: neither WebAssembly nor its text form: it does not begin with \\0asm, and has control characters"
    );
    assert!(refusal(b"\0asm\x01\0\0\0\xff").starts_with("plugin p: neither WebAssembly nor its text form"));
    assert!(refusal(b"").starts_with("plugin p: "));
}

#[test]
fn a_description_is_checked() {
    let error = refusal(include_str!("plugins/nameless.wat"));
    assert_eq!(error, "plugin p: its description is wrong: its name has 0 bytes; 1 to 64 are allowed");
    let error = host()
        .load("p", include_bytes!("plugins/bad-utf8.wat"))
        .unwrap_err();
    let LoadPluginError::Describe { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(
        source
            .to_string()
            .starts_with("plugin p: describe broke the contract: "),
        "{source}"
    );
}

/// What is answered must be exported: a decision for each connection, or a table.
#[test]
fn an_answer_without_its_interface_is_refused() {
    let flow_without_flows = include_str!("plugins/per-flow.wat");
    let plugin = host().load("p", flow_without_flows.as_bytes()).unwrap();
    assert_eq!(
        plugin.start(&[], 1).unwrap_err().to_string(),
        "plugin p: configure broke the contract: it answers per-flow, but does not export wvs:scheduler/flows@0.1.0"
    );
    let answer = "(i32.store8 offset=260 (i32.const 0) (i32.const 2))";
    assert!(flow_without_flows.contains(answer));
    let renamed = |dispatch: u8| {
        let text = flow_without_flows
            .replace(answer, &answer.replace("(i32.const 2)", &format!("(i32.const {dispatch})")))
            .replace(
                "\"fill\") (param i32)",
                "\"pick\") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)",
            );
        host().load("p", text.as_bytes()).unwrap().start(&[], 1)
    };
    assert_eq!(renamed(2).unwrap().dispatch(), Dispatch::Flow);
    for (dispatch, name) in [(0, "cycle"), (1, "hash")] {
        assert_eq!(
            renamed(dispatch).unwrap_err().to_string(),
            format!(
                "plugin p: configure broke the contract: it answers {name}, but does not export \
                 wvs:scheduler/table@0.1.0"
            )
        );
    }
}

#[test]
fn a_file_may_not_be_too_large() {
    let host = PluginHost::new(Limits {
        file_size: 10,
        ..Limits::default()
    })
    .unwrap();
    let error = host.load("p", &[0; 11]).unwrap_err().to_string();
    assert_eq!(error, "plugin p: 11 bytes, and at most 10 are allowed");
}

/// A module may be shipped as the component that it becomes.
#[test]
fn a_component_is_taken_too() {
    let component = wit_component::ComponentEncoder::default()
        .validate(true)
        .module(builtin("wlc").unwrap())
        .and_then(|mut encoder| encoder.encode())
        .unwrap();
    let plugin = host().load("wlc", &component).unwrap();
    assert_eq!(plugin.describe().name, "wlc");
    assert!(plugin.wants_load());
}

/// Names in full, as a generator of bindings writes them, but without its section of types; and a
/// later version of the same series.
#[test]
fn a_module_with_long_names_is_taken_too() {
    let fault = include_str!("plugins/fault.wat").replace("\"wvs\"", "\"wvs:scheduler/host@0.1.7\"");
    let long = ["describe", "configure", "update"]
        .iter()
        .fold(fault, |text, name| {
            text.replace(
                &format!("(export \"{name}\")"),
                &format!("(export \"wvs:scheduler/policy@0.1.7#{name}\")"),
            )
        });
    let long = long.replace("(export \"fill\")", "(export \"wvs:scheduler/table@0.1.7#fill\")");
    // It keeps its bare `pick`, which then is a function like any other.
    assert_eq!(host().load("long", long.as_bytes()).unwrap().describe().name, "fault");
}

/// One byte in the wrong place, many times over: refused, or loaded and harmless.
#[test]
fn a_damaged_file_is_no_danger() {
    let host = host();
    let (mut random, mut loaded) = (1_u32, 0);
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    let whole = builtin("rr").unwrap();
    for _ in 0..80 {
        let mut damaged = whole.to_vec();
        // Most of the file is code; half of the damage goes where the structure is.
        let reach = if next(2) == 0 { 1500 } else { damaged.len() };
        damaged[next(reach)] = next(256) as u8;
        loaded += usize::from(host.load("damaged", &damaged).is_ok());
    }
    for end in (0..whole.len()).step_by(1999) {
        assert!(host.load("cut off", &whole[..end]).is_err());
    }
    assert!((1..79).contains(&loaded), "{loaded} of 80 were loaded: the damage is not varied");
}

#[test]
fn the_hash_is_that_of_the_file() {
    let host = host();
    let text = include_str!("plugins/fault.wat");
    let one = host.load("a", text.as_bytes()).unwrap();
    assert_eq!(one.hash(), host.load("b", text.as_bytes()).unwrap().hash());
    let other = host.load("a", format!("{text};; changed").as_bytes()).unwrap();
    assert_ne!(one.hash(), other.hash());
}
