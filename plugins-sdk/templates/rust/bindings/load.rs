#[allow(dead_code, clippy::all)]
pub mod exports {
    pub mod wvs {
        pub mod scheduler {
            /// Optional: for policies that look at load. One entry per backend, in the order of the last update.
            #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
            pub mod load {
                #[used]
                #[doc(hidden)]
                static __FORCE_SECTION_REF: fn() = super::super::super::super::__link_custom_section_describing_imports;
                use super::super::super::super::_rt;
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_observe_cabi<T_: Guest>(
                    arg0: *mut u8,
                    arg1: usize,
                    arg2: *mut u8,
                    arg3: usize,
                ) {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        {
                            let len0 = arg1;
                            let len1 = arg3;
                            T_::observe(
                                <_ as From<
                                    _rt::Vec<_>,
                                >>::from(_rt::Vec::from_raw_parts(arg0.cast(), len0, len0)),
                                <_ as From<
                                    _rt::Vec<_>,
                                >>::from(_rt::Vec::from_raw_parts(arg2.cast(), len1, len1)),
                            )
                        };
                    }
                }
                pub trait Guest {
                    #[allow(async_fn_in_trait)]
                    fn observe(active: _rt::Vec<u32>, inactive: _rt::Vec<u32>) -> ();
                }
                #[doc(hidden)]
                #[macro_export]
                macro_rules! __export_wvs_scheduler_load_0_1_0_cabi {
                    ($ty:ident with_types_in $($path_to_types:tt)*) => {
                        const _ : () = { #[unsafe (export_name =
                        "wvs:scheduler/load@0.1.0#observe")] unsafe extern "C" fn
                        export_observe(arg0 : * mut u8, arg1 : usize, arg2 : * mut u8,
                        arg3 : usize,) { unsafe { $($path_to_types)*::
                        _export_observe_cabi::<$ty > (arg0, arg1, arg2, arg3) } } };
                    };
                }
                #[doc(hidden)]
                pub use __export_wvs_scheduler_load_0_1_0_cabi;
            }
        }
    }
}
mod _rt {
    #![allow(dead_code, unused_imports, clippy::all)]
    #[cfg(target_arch = "wasm32")]
    pub fn run_ctors_once() {
        wit_bindgen::rt::run_ctors_once();
    }
    pub use alloc_crate::vec::Vec;
    extern crate alloc as alloc_crate;
}
/// Generates `#[unsafe(no_mangle)]` functions to export the specified type as
/// the root implementation of all generated traits.
///
/// For more information see the documentation of `wit_bindgen::generate!`.
///
/// ```rust
/// # macro_rules! export_load{ ($($t:tt)*) => (); }
/// # trait Guest {}
/// struct MyType;
///
/// impl Guest for MyType {
///     // ...
/// }
///
/// export_load!(MyType);
/// ```
#[allow(unused_macros)]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_load_extension_impl {
    ($ty:ident) => {
        wvs_plugin::bindings::load::export_load!($ty with_types_in
        wvs_plugin::bindings::load);
    };
    ($ty:ident with_types_in $($path_to_types_root:tt)*) => {
        $($path_to_types_root)*::
        exports::wvs::scheduler::load::__export_wvs_scheduler_load_0_1_0_cabi!($ty
        with_types_in $($path_to_types_root)*:: exports::wvs::scheduler::load); const _ :
        () = { #[cfg(target_arch = "wasm32")] #[unsafe (link_section =
        "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:load-extension:imports and exports")]
        #[doc(hidden)] #[allow(clippy::octal_escapes)] pub static
        __WIT_BINDGEN_COMPONENT_TYPE : [u8; 247] = *
        b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07s\x01A\x02\x01A\x02\x01\
B\x03\x01py\x01@\x02\x06active\0\x08inactive\0\x01\0\x04\0\x07observe\x01\x01\x04\
\0\x18wvs:scheduler/load@0.1.0\x05\0\x04\0\"wvs:scheduler/load-extension@0.1.0\x04\
\0\x0b\x14\x01\0\x0eload-extension\x03\0\0\0G\x09producers\x01\x0cprocessed-by\x02\
\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.61.1";
        };
    };
}
#[doc(inline)]
pub use __export_load_extension_impl as export_load;
#[cfg(target_arch = "wasm32")]
#[unsafe(
    link_section = "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:load-extension-with-all-of-its-exports-removed:encoded world"
)]
#[doc(hidden)]
#[allow(clippy::octal_escapes)]
pub static __WIT_BINDGEN_COMPONENT_TYPE: [u8; 241] = *b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07M\x01A\x02\x01A\0\x04\
\0Bwvs:scheduler/load-extension-with-all-of-its-exports-removed@0.1.0\x04\0\x0b4\
\x01\0.load-extension-with-all-of-its-exports-removed\x03\0\0\0G\x09producers\x01\
\x0cprocessed-by\x02\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.61.1";
#[inline(never)]
#[doc(hidden)]
pub fn __link_custom_section_describing_imports() {
    wit_bindgen::rt::maybe_link_cabi_realloc();
}
