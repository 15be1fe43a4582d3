//! What wit-bindgen makes of `wit/scheduler.wit`: one module per world, sharing the types.
#![allow(missing_docs, missing_debug_implementations)]

pub use table::exports::wvs::scheduler::policy::Description;
pub use table::wvs::scheduler::types::{
    Address, Backend, BackendState, Dispatch, HashKey, Param, ParamKind, ParamSpec, Range,
};

pub mod table {
    wit_bindgen::generate!({
        path: "wit",
        world: "table-scheduler",
        pub_export_macro: true,
        export_macro_name: "export_table",
        default_bindings_module: "wvs_plugin::bindings::table",
        generate_all,
    });
}

pub mod load {
    wit_bindgen::generate!({
        path: "wit",
        world: "load-extension",
        pub_export_macro: true,
        export_macro_name: "export_load",
        default_bindings_module: "wvs_plugin::bindings::load",
    });
}
