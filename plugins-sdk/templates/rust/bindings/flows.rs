#[allow(unfulfilled_lint_expectations, unused_imports)]
use crate::bindings::policy::wvs::scheduler::types as __with_name0;
#[allow(dead_code, clippy::all)]
pub mod exports {
    pub mod wvs {
        pub mod scheduler {
            /// For dispatch per-flow: the policy as a decision for each new connection.
            #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
            pub mod flows {
                #[used]
                #[doc(hidden)]
                static __FORCE_SECTION_REF: fn() = super::super::super::super::__link_custom_section_describing_imports;
                use super::super::super::super::_rt;
                pub type Flow = super::super::super::super::__with_name0::Flow;
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_pick_cabi<T_: Guest>(
                    arg0: i32,
                    arg1: i32,
                    arg2: i32,
                    arg3: i32,
                    arg4: i32,
                    arg5: i32,
                    arg6: i32,
                    arg7: i32,
                    arg8: i32,
                    arg9: i32,
                    arg10: i32,
                    arg11: i32,
                    arg12: i32,
                ) -> *mut u8 {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        let result0 = {
                            T_::pick(super::super::super::super::__with_name0::Flow {
                                src: super::super::super::super::__with_name0::Address {
                                    a: arg0 as u32,
                                    b: arg1 as u32,
                                    c: arg2 as u32,
                                    d: arg3 as u32,
                                },
                                dst: super::super::super::super::__with_name0::Address {
                                    a: arg4 as u32,
                                    b: arg5 as u32,
                                    c: arg6 as u32,
                                    d: arg7 as u32,
                                },
                                src_port: arg8 as u16,
                                dst_port: arg9 as u16,
                                protocol: arg10 as u8,
                                mark: arg11 as u32,
                                hash: arg12 as u32,
                            })
                        };
                        let ptr1 = (&raw mut _RET_AREA.0).cast::<u8>();
                        match result0 {
                            Some(e) => {
                                *ptr1.add(0).cast::<u8>() = (1i32) as u8;
                                *ptr1.add(4).cast::<i32>() = _rt::as_i32(e);
                            }
                            None => {
                                *ptr1.add(0).cast::<u8>() = (0i32) as u8;
                            }
                        };
                        ptr1
                    }
                }
                pub trait Guest {
                    /// The backend that gets it; none refuses the connection. It waits meanwhile, so do the work in update or observe.
                    /// The choices since the last observe are not in its counts yet.
                    #[allow(async_fn_in_trait)]
                    fn pick(flow: Flow) -> ::core::option::Option<u32>;
                }
                #[doc(hidden)]
                #[macro_export]
                macro_rules! __export_wvs_scheduler_flows_0_1_0_cabi {
                    ($ty:ident with_types_in $($path_to_types:tt)*) => {
                        const _ : () = { #[unsafe (export_name =
                        "wvs:scheduler/flows@0.1.0#pick")] unsafe extern "C" fn
                        export_pick(arg0 : i32, arg1 : i32, arg2 : i32, arg3 : i32, arg4
                        : i32, arg5 : i32, arg6 : i32, arg7 : i32, arg8 : i32, arg9 :
                        i32, arg10 : i32, arg11 : i32, arg12 : i32,) -> * mut u8 { unsafe
                        { $($path_to_types)*:: _export_pick_cabi::<$ty > (arg0, arg1,
                        arg2, arg3, arg4, arg5, arg6, arg7, arg8, arg9, arg10, arg11,
                        arg12) } } };
                    };
                }
                #[doc(hidden)]
                pub use __export_wvs_scheduler_flows_0_1_0_cabi;
                #[repr(align(4))]
                struct _RetArea([::core::mem::MaybeUninit<u8>; 8]);
                static mut _RET_AREA: _RetArea = _RetArea(
                    [::core::mem::MaybeUninit::uninit(); 8],
                );
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
/// # macro_rules! export_flows{ ($($t:tt)*) => (); }
/// # trait Guest {}
/// struct MyType;
///
/// impl Guest for MyType {
///     // ...
/// }
///
/// export_flows!(MyType);
/// ```
#[allow(unused_macros)]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_flow_extension_impl {
    ($ty:ident) => {
        wvs_plugin::bindings::flows::export_flows!($ty with_types_in
        wvs_plugin::bindings::flows);
    };
    ($ty:ident with_types_in $($path_to_types_root:tt)*) => {
        $($path_to_types_root)*::
        exports::wvs::scheduler::flows::__export_wvs_scheduler_flows_0_1_0_cabi!($ty
        with_types_in $($path_to_types_root)*:: exports::wvs::scheduler::flows); const _
        : () = { #[cfg(target_arch = "wasm32")] #[unsafe (link_section =
        "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:flow-extension:imports and exports")]
        #[doc(hidden)] #[allow(clippy::octal_escapes)] pub static
        __WIT_BINDGEN_COMPONENT_TYPE : [u8; 792] = *
        b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07\x93\x05\x01A\x02\x01\
A\x05\x01B\x18\x01r\x04\x01ay\x01by\x01cy\x01dy\x04\0\x07address\x03\0\0\x01n\x03\
\x08draining\x04down\x0aoverloaded\x04\0\x0dbackend-state\x03\0\x02\x01r\x05\x02\
idy\x06weighty\x07address\x01\x04port{\x05state\x03\x04\0\x07backend\x03\0\x04\x01\
r\x07\x03src\x01\x03dst\x01\x08src-port{\x08dst-port{\x08protocol}\x04marky\x04h\
ashy\x04\0\x04flow\x03\0\x06\x01m\x04\x06source\x0fsource-and-port\x0bdestinatio\
n\x04both\x04\0\x08hash-key\x03\0\x08\x01q\x03\x05cycle\0\0\x04hash\x01\x09\0\x08\
per-flow\0\0\x04\0\x08dispatch\x03\0\x0a\x01r\x02\x03keys\x05values\x04\0\x05par\
am\x03\0\x0c\x01r\x02\x03minz\x03maxz\x04\0\x05range\x03\0\x0e\x01ps\x01q\x04\x04\
text\0\0\x07boolean\0\0\x07integer\x01\x0f\0\x06choice\x01\x10\0\x04\0\x0aparam-\
kind\x03\0\x11\x01r\x04\x03keys\x04kind\x12\x07defaults\x04helps\x04\0\x0aparam-\
spec\x03\0\x13\x01p\x14\x01r\x04\x04names\x07versions\x07summarys\x06params\x15\x04\
\0\x0bdescription\x03\0\x16\x03\0\x19wvs:scheduler/types@0.1.0\x05\0\x02\x03\0\0\
\x04flow\x01B\x05\x02\x03\x02\x01\x01\x04\0\x04flow\x03\0\0\x01ky\x01@\x01\x04fl\
ow\x01\0\x02\x04\0\x04pick\x01\x03\x04\0\x19wvs:scheduler/flows@0.1.0\x05\x02\x04\
\0\"wvs:scheduler/flow-extension@0.1.0\x04\0\x0b\x14\x01\0\x0eflow-extension\x03\
\0\0\0G\x09producers\x01\x0cprocessed-by\x02\x0dwit-component\x070.258.3\x10wit-\
bindgen-rust\x060.61.1";
        };
    };
}
#[doc(inline)]
pub use __export_flow_extension_impl as export_flows;
#[cfg(target_arch = "wasm32")]
#[unsafe(
    link_section = "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:flow-extension-with-all-of-its-exports-removed:encoded world"
)]
#[doc(hidden)]
#[allow(clippy::octal_escapes)]
pub static __WIT_BINDGEN_COMPONENT_TYPE: [u8; 776] = *b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07\xe3\x04\x01A\x02\x01\
A\x02\x01B\x18\x01r\x04\x01ay\x01by\x01cy\x01dy\x04\0\x07address\x03\0\0\x01n\x03\
\x08draining\x04down\x0aoverloaded\x04\0\x0dbackend-state\x03\0\x02\x01r\x05\x02\
idy\x06weighty\x07address\x01\x04port{\x05state\x03\x04\0\x07backend\x03\0\x04\x01\
r\x07\x03src\x01\x03dst\x01\x08src-port{\x08dst-port{\x08protocol}\x04marky\x04h\
ashy\x04\0\x04flow\x03\0\x06\x01m\x04\x06source\x0fsource-and-port\x0bdestinatio\
n\x04both\x04\0\x08hash-key\x03\0\x08\x01q\x03\x05cycle\0\0\x04hash\x01\x09\0\x08\
per-flow\0\0\x04\0\x08dispatch\x03\0\x0a\x01r\x02\x03keys\x05values\x04\0\x05par\
am\x03\0\x0c\x01r\x02\x03minz\x03maxz\x04\0\x05range\x03\0\x0e\x01ps\x01q\x04\x04\
text\0\0\x07boolean\0\0\x07integer\x01\x0f\0\x06choice\x01\x10\0\x04\0\x0aparam-\
kind\x03\0\x11\x01r\x04\x03keys\x04kind\x12\x07defaults\x04helps\x04\0\x0aparam-\
spec\x03\0\x13\x01p\x14\x01r\x04\x04names\x07versions\x07summarys\x06params\x15\x04\
\0\x0bdescription\x03\0\x16\x03\0\x19wvs:scheduler/types@0.1.0\x05\0\x04\0Bwvs:s\
cheduler/flow-extension-with-all-of-its-exports-removed@0.1.0\x04\0\x0b4\x01\0.f\
low-extension-with-all-of-its-exports-removed\x03\0\0\0G\x09producers\x01\x0cpro\
cessed-by\x02\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.61.1";
#[inline(never)]
#[doc(hidden)]
pub fn __link_custom_section_describing_imports() {
    wit_bindgen::rt::maybe_link_cabi_realloc();
}
