//! Calls into a plugin under its limits, and why one failed.

use wasmtime::{AsContextMut, Store, Trap};

use super::deadline::CallTime;
use super::host::Plugin;
use super::sandbox::Sandbox;
use super::{Breach, CallError};

pub(super) fn new_store(plugin: &Plugin, seed: u64) -> Store<Sandbox> {
    let limits = plugin.shared.limits;
    let mut store = Store::new(&plugin.shared.engine, Sandbox::new(plugin.name.clone(), limits, seed));
    store.limiter(|sandbox| sandbox);
    store.set_hostcall_fuel(limits.answer_size);
    store.epoch_deadline_callback(|mut store| Ok(store.data_mut().time.at_deadline()));
    store
}

/// Runs something of the plugin under its limits, and explains how it failed.
pub(super) fn guarded<R>(
    plugin: &Plugin,
    store: &mut Store<Sandbox>,
    call: &'static str,
    time: CallTime,
    f: impl FnOnce(&mut Store<Sandbox>) -> wasmtime::Result<R>,
) -> Result<R, CallError> {
    let sandbox = store.data_mut();
    (sandbox.refused_memory, sandbox.last_words) = (None, None);
    sandbox.time = time;
    store.as_context_mut().set_epoch_deadline(time.ticks());
    let _ticking = plugin.shared.ticker.during_call();
    f(store).map_err(|error| explain(plugin, store.data(), call, &error))
}

fn explain(plugin: &Plugin, sandbox: &Sandbox, call: &'static str, error: &wasmtime::Error) -> CallError {
    let name = plugin.name().to_owned();
    let trap = error.downcast_ref::<Trap>();
    if matches!(trap, Some(Trap::Interrupt)) {
        return CallError::Deadline {
            plugin: name,
            call,
            limit: sandbox.time.limit(),
        };
    }
    if let Some(wanted) = sandbox.refused_memory {
        return CallError::Memory {
            plugin: name,
            call,
            limit: plugin.shared.limits.memory,
            wanted,
        };
    }
    // Without a trap it is the lifting of the answer that failed.
    let Some(trap) = trap else {
        return CallError::Contract {
            plugin: name,
            call,
            what: unreadable(error, plugin),
        };
    };
    let cause = match trap {
        Trap::StackOverflow => format!("the stack of {} B is exhausted", plugin.shared.limits.stack),
        Trap::UnreachableCodeReached => "it gave up (`unreachable`, as after a panic)".to_owned(),
        // The trap prints itself as "wasm trap: ...".
        other => other.to_string().trim_start_matches("wasm trap: ").to_owned(),
    };
    let cause = match &sandbox.last_words {
        Some(words) => format!("{cause}; its last words: {words}"),
        None => cause,
    };
    CallError::Trap {
        plugin: name,
        call,
        cause,
    }
}

/// Why an answer could not be taken out of the module, or no module be made. The engine has no types for these.
fn unreadable(error: &wasmtime::Error, plugin: &Plugin) -> Breach {
    let reason = error.root_cause().to_string();
    // The engine's words for it speak of fuel.
    if reason.contains("fuel allocated for hostcalls") {
        let limit = plugin.shared.limits.answer_size;
        return Breach::TooLong { limit };
    }
    if reason.contains("exceeds table limits") || reason.starts_with("resource limit exceeded") {
        return Breach::Limits(reason);
    }
    Breach::Unreadable(reason)
}

/// What the plugin answered, or its own words for no.
pub(super) fn accepted<R>(
    plugin: &Plugin,
    call: &'static str,
    answer: Result<R, String>,
) -> Result<R, CallError> {
    answer.map_err(|message| CallError::Refused {
        plugin: plugin.name().to_owned(),
        call,
        message: message
            .chars()
            .take(200)
            .collect::<String>()
            .replace(char::is_control, " "),
    })
}
