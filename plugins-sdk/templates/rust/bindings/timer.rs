#[allow(dead_code, clippy::all)]
pub mod exports {
    pub mod wvs {
        pub mod scheduler {
            /// Optional: for tables that change with time alone, as while a backend's share grows.
            #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
            pub mod timer {
                #[used]
                #[doc(hidden)]
                static __FORCE_SECTION_REF: fn() = super::super::super::super::__link_custom_section_describing_imports;
                use super::super::super::super::_rt;
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_due_cabi<T_: Guest>() -> i32 {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        let result0 = { T_::due() };
                        _rt::as_i32(result0)
                    }
                }
                pub trait Guest {
                    /// Asked after each fill: in so many milliseconds the director fills again, if nothing happens before. 0: not before
                    /// something happens. It is never sooner than after 50 ms, and ten times what the last fill took.
                    #[allow(async_fn_in_trait)]
                    fn due() -> u32;
                }
                #[doc(hidden)]
                #[macro_export]
                macro_rules! __export_wvs_scheduler_timer_0_1_0_cabi {
                    ($ty:ident with_types_in $($path_to_types:tt)*) => {
                        const _ : () = { #[unsafe (export_name =
                        "wvs:scheduler/timer@0.1.0#due")] unsafe extern "C" fn
                        export_due() -> i32 { unsafe { $($path_to_types)*::
                        _export_due_cabi::<$ty > () } } };
                    };
                }
                #[doc(hidden)]
                pub use __export_wvs_scheduler_timer_0_1_0_cabi;
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
}
/// Generates `#[unsafe(no_mangle)]` functions to export the specified type as
/// the root implementation of all generated traits.
///
/// For more information see the documentation of `wit_bindgen::generate!`.
///
/// ```rust
/// # macro_rules! export_timer{ ($($t:tt)*) => (); }
/// # trait Guest {}
/// struct MyType;
///
/// impl Guest for MyType {
///     // ...
/// }
///
/// export_timer!(MyType);
/// ```
#[allow(unused_macros)]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_timer_extension_impl {
    ($ty:ident) => {
        wvs_plugin::bindings::timer::export_timer!($ty with_types_in
        wvs_plugin::bindings::timer);
    };
    ($ty:ident with_types_in $($path_to_types_root:tt)*) => {
        $($path_to_types_root)*::
        exports::wvs::scheduler::timer::__export_wvs_scheduler_timer_0_1_0_cabi!($ty
        with_types_in $($path_to_types_root)*:: exports::wvs::scheduler::timer); const _
        : () = { #[cfg(target_arch = "wasm32")] #[unsafe (link_section =
        "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:timer-extension:imports and exports")]
        #[doc(hidden)] #[allow(clippy::octal_escapes)] pub static
        __WIT_BINDGEN_COMPONENT_TYPE : [u8; 225] = *
        b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07\\\x01A\x02\x01A\x02\x01\
B\x02\x01@\0\0y\x04\0\x03due\x01\0\x04\0\x19wvs:scheduler/timer@0.1.0\x05\0\x04\0\
#wvs:scheduler/timer-extension@0.1.0\x04\0\x0b\x15\x01\0\x0ftimer-extension\x03\0\
\0\0G\x09producers\x01\x0cprocessed-by\x02\x0dwit-component\x070.258.3\x10wit-bi\
ndgen-rust\x060.61.1";
        };
    };
}
#[doc(inline)]
pub use __export_timer_extension_impl as export_timer;
#[cfg(target_arch = "wasm32")]
#[unsafe(
    link_section = "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:timer-extension-with-all-of-its-exports-removed:encoded world"
)]
#[doc(hidden)]
#[allow(clippy::octal_escapes)]
pub static __WIT_BINDGEN_COMPONENT_TYPE: [u8; 243] = *b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07N\x01A\x02\x01A\0\x04\
\0Cwvs:scheduler/timer-extension-with-all-of-its-exports-removed@0.1.0\x04\0\x0b\
5\x01\0/timer-extension-with-all-of-its-exports-removed\x03\0\0\0G\x09producers\x01\
\x0cprocessed-by\x02\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.61.1";
#[inline(never)]
#[doc(hidden)]
pub fn __link_custom_section_describing_imports() {
    wit_bindgen::rt::maybe_link_cabi_realloc();
}
