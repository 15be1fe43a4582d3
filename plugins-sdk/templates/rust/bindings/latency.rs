#[allow(dead_code, clippy::all)]
pub mod exports {
    pub mod wvs {
        pub mod scheduler {
            /// Optional: for policies that look at how fast backends answer. The director connects to each by TCP, now and then.
            #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
            pub mod latency {
                #[used]
                #[doc(hidden)]
                static __FORCE_SECTION_REF: fn() = super::super::super::super::__link_custom_section_describing_imports;
                use super::super::super::super::_rt;
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_interval_cabi<T_: Guest>() -> i32 {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        let result0 = { T_::interval() };
                        _rt::as_i32(result0)
                    }
                }
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_observe_latency_cabi<T_: Guest>(
                    arg0: *mut u8,
                    arg1: usize,
                ) {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        {
                            let len0 = arg1;
                            T_::observe_latency(
                                <_ as From<
                                    _rt::Vec<_>,
                                >>::from(_rt::Vec::from_raw_parts(arg0.cast(), len0, len0)),
                            )
                        };
                    }
                }
                pub trait Guest {
                    /// How often, in milliseconds; 100 at least. Asked once, after configure.
                    #[allow(async_fn_in_trait)]
                    fn interval() -> u32;
                    /// One entry per backend, in the order of the last update: how many microseconds it took just now until the backend
                    /// took the connection or refused it, at most a second; 0xffff_ffff if that is not known.
                    #[allow(async_fn_in_trait)]
                    fn observe_latency(micros: _rt::Vec<u32>) -> ();
                }
                #[doc(hidden)]
                #[macro_export]
                macro_rules! __export_wvs_scheduler_latency_0_1_0_cabi {
                    ($ty:ident with_types_in $($path_to_types:tt)*) => {
                        const _ : () = { #[unsafe (export_name =
                        "wvs:scheduler/latency@0.1.0#interval")] unsafe extern "C" fn
                        export_interval() -> i32 { unsafe { $($path_to_types)*::
                        _export_interval_cabi::<$ty > () } } #[unsafe (export_name =
                        "wvs:scheduler/latency@0.1.0#observe-latency")] unsafe extern "C"
                        fn export_observe_latency(arg0 : * mut u8, arg1 : usize,) {
                        unsafe { $($path_to_types)*:: _export_observe_latency_cabi::<$ty
                        > (arg0, arg1) } } };
                    };
                }
                #[doc(hidden)]
                pub use __export_wvs_scheduler_latency_0_1_0_cabi;
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
    pub fn as_i32<T: AsI32>(t: T) -> i32 {
        t.as_i32()
    }
    pub trait AsI32 {
        fn as_i32(self) -> i32;
    }
    impl<'a, T: Copy + AsI32> AsI32 for &'a T {
        fn as_i32(self) -> i32 {
            (*self).as_i32()
        }
    }
    impl AsI32 for i32 {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for u32 {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for i16 {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for u16 {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for i8 {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for u8 {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for char {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
    }
    impl AsI32 for usize {
        #[inline]
        fn as_i32(self) -> i32 {
            self as i32
        }
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
/// # macro_rules! export_latency{ ($($t:tt)*) => (); }
/// # trait Guest {}
/// struct MyType;
///
/// impl Guest for MyType {
///     // ...
/// }
///
/// export_latency!(MyType);
/// ```
#[allow(unused_macros)]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_latency_extension_impl {
    ($ty:ident) => {
        wvs_plugin::bindings::latency::export_latency!($ty with_types_in
        wvs_plugin::bindings::latency);
    };
    ($ty:ident with_types_in $($path_to_types_root:tt)*) => {
        $($path_to_types_root)*::
        exports::wvs::scheduler::latency::__export_wvs_scheduler_latency_0_1_0_cabi!($ty
        with_types_in $($path_to_types_root)*:: exports::wvs::scheduler::latency); const
        _ : () = { #[cfg(target_arch = "wasm32")] #[unsafe (link_section =
        "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:latency-extension:imports and exports")]
        #[doc(hidden)] #[allow(clippy::octal_escapes)] pub static
        __WIT_BINDGEN_COMPONENT_TYPE : [u8; 273] = *
        b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07\x89\x01\x01A\x02\x01\
A\x02\x01B\x05\x01@\0\0y\x04\0\x08interval\x01\0\x01py\x01@\x01\x06micros\x01\x01\
\0\x04\0\x0fobserve-latency\x01\x02\x04\0\x1bwvs:scheduler/latency@0.1.0\x05\0\x04\
\0%wvs:scheduler/latency-extension@0.1.0\x04\0\x0b\x17\x01\0\x11latency-extensio\
n\x03\0\0\0G\x09producers\x01\x0cprocessed-by\x02\x0dwit-component\x070.258.3\x10\
wit-bindgen-rust\x060.61.1";
        };
    };
}
#[doc(inline)]
pub use __export_latency_extension_impl as export_latency;
#[cfg(target_arch = "wasm32")]
#[unsafe(
    link_section = "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:latency-extension-with-all-of-its-exports-removed:encoded world"
)]
#[doc(hidden)]
#[allow(clippy::octal_escapes)]
pub static __WIT_BINDGEN_COMPONENT_TYPE: [u8; 247] = *b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07P\x01A\x02\x01A\0\x04\
\0Ewvs:scheduler/latency-extension-with-all-of-its-exports-removed@0.1.0\x04\0\x0b\
7\x01\01latency-extension-with-all-of-its-exports-removed\x03\0\0\0G\x09producer\
s\x01\x0cprocessed-by\x02\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.6\
1.1";
#[inline(never)]
#[doc(hidden)]
pub fn __link_custom_section_describing_imports() {
    wit_bindgen::rt::maybe_link_cabi_realloc();
}
