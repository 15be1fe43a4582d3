//! What the host says to files that are no scheduler it can run, and the forms it takes.
#![allow(clippy::unwrap_used)]

use wvs_core::scheduler::{Dispatch, Limits, LoadPluginError, PluginHost, builtin};

fn host() -> PluginHost {
    PluginHost::new(Limits::default()).unwrap()
}

fn refusal(bytes: impl AsRef<[u8]>) -> String {
    host().load("p", bytes.as_ref()).unwrap_err().to_string()
}

/// What is said, and what to do.
fn told(bytes: impl AsRef<[u8]>) -> (String, String) {
    let error = host().load("p", bytes.as_ref()).unwrap_err();
    (error.to_string(), error.remedy())
}

#[test]
fn what_is_no_scheduler_is_refused_in_words() {
    let (said, remedy) = told(include_str!("plugins/next-version.wat"));
    assert_eq!(said, "plugin p: built against wvs:scheduler 0.2.0; this director speaks 0.1.x");
    assert!(remedy.starts_with("build it anew against wvs:scheduler 0.1.0"), "{remedy}");
    let (said, remedy) = told(include_str!("plugins/wasi.wat"));
    assert_eq!(
        said,
        "plugin p: imports wasi_snapshot_preview1.fd_write: a plugin may import wvs:scheduler/host only"
    );
    assert!(
        remedy.starts_with("`wvs plugin pack` gives a module's runtime what it needs of WASI"),
        "{remedy}"
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
}

#[test]
fn all_imports_that_nobody_has_are_named() {
    let imports = r#"(module (import "env" "cos" (func)) (import "wasi:cli" "x" (func)) (import "env" "memory" (memory 1))"#;
    let (said, remedy) = told(format!("{imports})"));
    assert_eq!(
        said,
        "plugin p: imports env.cos, wasi:cli.x, env.memory: a plugin may import wvs:scheduler/host only"
    );
    assert!(
        remedy.starts_with("a symbol was left undefined when it was linked; build without WASI"),
        "{remedy}"
    );
    let many: String = (0..11)
        .map(|n| format!("(import \"env\" \"f{n}\" (func))"))
        .collect();
    let said = refusal(format!("(module {many})"));
    assert!(said.contains("env.f6, env.f7 and 3 more: a plugin may"), "{said}");
}

/// The rest of the module is sound.
fn sound_but(from: &str, to: &str) -> (String, String) {
    let text = include_str!("plugins/fault.wat");
    assert!(text.contains(from), "{from}");
    told(text.replacen(from, to, 1))
}

#[test]
fn functions_that_are_missing_or_have_other_types_are_named() {
    let (said, remedy) = told(include_str!("plugins/no-such-function.wat"));
    assert_eq!(
        said,
        "plugin p: imports wvs:scheduler/host@0.1.9.read-file, which the host does not have; it has log, random, now"
    );
    assert!(remedy.starts_with("leave them out"), "{remedy}");
    let (said, remedy) = sound_but("(export \"update\")", "(export \"updated\")");
    assert_eq!(
        said,
        "plugin p: has the interface policy of wvs:scheduler@0.1.0, but does not export update"
    );
    assert!(remedy.starts_with("export them too"), "{remedy}");
    let (said, remedy) = told(include_str!("plugins/wrong-type.wat"));
    assert_eq!(said, "plugin p: exports fill as (i64) -> (i32); by the contract it is (i32) -> (i32)");
    assert!(remedy.starts_with("declare it with these types"), "{remedy}");
    let (said, _) =
        sound_but("\"log\" (func $log (param i32 i32 i32))", "\"now\" (func $log (param i32 i32 i32))");
    assert_eq!(
        said,
        "plugin p: imports wvs.now as (i32, i32, i32) -> (); by the contract it is () -> (f64)"
    );
    let (said, remedy) = sound_but("(export \"cabi_realloc\")", "(export \"realloc\")");
    assert!(said.starts_with("plugin p: cannot be made a component: "), "{said}");
    assert!(said.contains("realloc") && remedy.contains("`cabi_realloc`"), "{said}: {remedy}");
    let (said, remedy) =
        sound_but("(memory (export \"memory\") 2)", "(memory (export \"memory\") 2) (table 20001 funcref)");
    assert!(said.starts_with("plugin p: cannot describe itself"), "{said}");
    assert!(remedy.contains("20,000 elements"), "{remedy}");
}

#[test]
fn files_that_are_empty_cut_off_or_something_else_are_told_apart() {
    for nothing in ["", "\n \n"] {
        assert_eq!(refusal(nothing), "plugin p: the file is empty");
    }
    let whole = builtin("rr").unwrap();
    for end in [1, 3, 4, 6, 9, 100, whole.len() / 2, whole.len() - 1] {
        let (said, remedy) = told(&whole[..end]);
        assert!(
            said.starts_with("plugin p: it begins as WebAssembly, but is cut off or damaged: "),
            "{end}: {said}"
        );
        assert!(remedy.starts_with("build or copy it again"), "{remedy}");
    }
    let error = refusal("(module\n(func");
    assert!(
        error.starts_with("plugin p: neither WebAssembly nor its text form: expected `)`"),
        "{error}"
    );
    assert!(error.contains("p:2:6"), "{error}");
    let (said, remedy) = told(b"\x7fELF\x02\x01");
    assert_eq!(
        said,
        "plugin p: neither WebAssembly nor its text form: it does not begin with \\0asm, and has control characters"
    );
    assert!(remedy.contains("--target wasm32-unknown-unknown"), "{remedy}");
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
    let error = host.load("p", &[0; 11]).unwrap_err();
    assert_eq!(error.to_string(), "plugin p: 11 bytes, and at most 10 are allowed");
    assert!(error.remedy().contains("without debug information"), "{}", error.remedy());
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
