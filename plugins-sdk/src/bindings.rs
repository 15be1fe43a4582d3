//! What wit-bindgen makes of `wit/scheduler.wit`: one module per world, sharing the types.
#![allow(missing_docs, missing_debug_implementations)]

pub use flows::exports::wvs::scheduler::flows::Flow;
pub use policy::exports::wvs::scheduler::policy::Description;
pub use policy::wvs::scheduler::types::{
    Address, Backend, BackendState, Dispatch, HashKey, Param, ParamKind, ParamSpec, Range,
};

pub mod policy {
    wit_bindgen::generate!({
        path: "wit",
        world: "every-scheduler",
        pub_export_macro: true,
        export_macro_name: "export_policy",
        default_bindings_module: "wvs_plugin::bindings::policy",
        generate_all,
    });
}

pub mod table {
    wit_bindgen::generate!({
        path: "wit",
        world: "table-extension",
        pub_export_macro: true,
        export_macro_name: "export_table",
        default_bindings_module: "wvs_plugin::bindings::table",
    });
}

pub mod flows {
    wit_bindgen::generate!({
        path: "wit",
        world: "flow-extension",
        pub_export_macro: true,
        export_macro_name: "export_flows",
        default_bindings_module: "wvs_plugin::bindings::flows",
        with: { "wvs:scheduler/types@0.1.0": crate::bindings::policy::wvs::scheduler::types },
    });
}

pub mod timer {
    wit_bindgen::generate!({
        path: "wit",
        world: "timer-extension",
        pub_export_macro: true,
        export_macro_name: "export_timer",
        default_bindings_module: "wvs_plugin::bindings::timer",
    });
}

pub mod latency {
    wit_bindgen::generate!({
        path: "wit",
        world: "latency-extension",
        pub_export_macro: true,
        export_macro_name: "export_latency",
        default_bindings_module: "wvs_plugin::bindings::latency",
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
