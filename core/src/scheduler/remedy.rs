//! What to do about a plugin that is not taken or fails, for its author and for whoever uses it.

use super::catalog::CatalogError;
use super::contract::{PACKAGE, VERSION};
use super::find::ReadPluginError;
use super::{Breach, CallError, FindPluginError, LoadPluginError};

impl LoadPluginError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::TooLarge { .. } => SMALLER.into(),
            Self::Empty { .. } => "build it again: whatever wrote it did not get to its end".into(),
            Self::NotWasm { .. } => {
                "give the .wasm that your compiler writes for WebAssembly (Rust: --target wasm32-unknown-unknown), or a \
                 .wat; `wvs plugin new` makes a project that does"
                    .into()
            }
            Self::Damaged { .. } => {
                "build or copy it again, and compare its size with the original's".into()
            }
            Self::Version { found, .. } => format!(
                "build it anew against {PACKAGE} {VERSION}, which `wvs plugin new` writes into a project, or use the wvs that \
                 speaks {found}"
            ),
            Self::Import { hint, .. } => hint.clone(),
            Self::UnknownHost { .. } => format!(
                "leave them out; what a plugin may import stands in the interface `host` of {PACKAGE} {VERSION}"
            ),
            Self::Export { .. } => {
                "export it; `wvs plugin new` makes a scheduler that has all that is needed".into()
            }
            Self::Functions { .. } => {
                "export them too (an interface is there as a whole or not at all); what each does stands in \
                 scheduler.wit, which `wvs plugin new` writes into a project"
                    .into()
            }
            Self::Shape { .. } => {
                "declare it with these types, or leave that to a generator of bindings; `wvs plugin new` shows how in \
                 eight languages"
                    .into()
            }
            Self::Wrap { .. } => {
                "follow the canonical ABI: export `memory`, `cabi_realloc` and the functions of the contract with its \
                 types; `wvs plugin new` makes a module that does"
                    .into()
            }
            Self::Compile { reason, .. } if reason.contains("make memory executable") => {
                "systemd's MemoryDenyWriteExecute does that: run the director with --pulley".into()
            }
            Self::Compile { .. } => format!(
                "build it anew against {PACKAGE} {VERSION}, with the types and functions that this has and without \
                 features of WebAssembly beyond its third version"
            ),
            Self::Describe { source, .. } => source.remedy().into(),
            Self::Description { .. } => {
                "put right what its `describe` answers; `wvs plugin inspect` then shows it".into()
            }
        }
    }
}

const SMALLER: &str = "make it smaller: build it for release, without debug information (Rust: strip = true; any: `wasm-opt -Oz \
                       --strip-debug`), and without what it does not need";

impl ReadPluginError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Io(_) => None,
            Self::Directory => Some("name the .wasm or .wat in it, or build it first if there is none yet"),
            Self::Special { .. } => Some("copy what comes from there into a file, and name that"),
            Self::TooLarge { .. } => Some(SMALLER),
        }
    }
}

impl FindPluginError {
    /// What to do about it, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } => source.remedy().map(Into::into),
            Self::Unknown { name, plugin_dir, .. } => Some(format!(
                "put it there as {name}.wasm, or name a file by its path, as in \"{}/{name}.wasm\"",
                plugin_dir.display()
            )),
        }
    }
}

impl CatalogError {
    /// What to do about it, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Find(error) => error.remedy(),
            Self::Load(error) => Some(error.remedy()),
        }
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub fn in_full(&self) -> String {
        let reason = crate::chain(self);
        match self.remedy() {
            Some(remedy) => format!("{reason}; {remedy}"),
            None => reason,
        }
    }
}

impl CallError {
    /// What its author can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Trap { .. } => {
                "a trap is a panic, an index out of bounds or an `unreachable`; log at level error before it and the \
                 message stands here"
            }
            Self::Deadline { .. } => {
                "do less in one call: no loop over backends × backends, no waiting, no product of more than 64 bits"
            }
            Self::Memory { .. } => "allocate less, and free what a call allocated when the next one comes",
            Self::Contract { what, .. } => what.remedy(),
            Self::Refused {
                call: "configure", ..
            } => {
                "give it parameters that it takes, as its words say; `wvs plugin inspect` shows what it declares of them"
            }
            Self::Refused { .. } => "answer an error only to what an operator can put right",
            Self::Failed { .. } => "put right what failed before",
        }
    }
}

impl Breach {
    /// What the plugin's author can do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Length { .. } => {
                "answer exactly as many entries as were asked for, with 0xffffffff where nobody is to get the connection"
            }
            Self::Unknown { .. } => {
                "answer ids of the last update only: forget in `update` who is not in it any more; nobody is 0xffffffff in \
                 a table, and none for a connection"
            }
            Self::Unusable { .. } => {
                "pass over backends whose weight is 0 or whose state is not empty in the last update; who was usable in \
                 an earlier one may not be any more"
            }
            Self::Interface { .. } => {
                "let `configure` answer what the plugin has: cycle or hash goes with the interface `table`, per-flow \
                 with `flows`"
            }
            Self::TooLong { .. } => {
                "answer less; where it should be short, look whether its length is counted in elements and stands in \
                 the right place"
            }
            Self::Limits(_) => {
                "declare smaller memories and tables and fewer of them: all memories together have 64 MiB, all \
                 tables 20,000 elements"
            }
            Self::Unreadable(_) => {
                "let the result lie inside the memory, aligned, with texts in UTF-8 and only numbers that the type has \
                 where it is a choice, and let it stay there until `cabi_post_…` is called"
            }
        }
    }
}
