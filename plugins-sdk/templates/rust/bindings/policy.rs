#[allow(dead_code, clippy::all)]
pub mod wvs {
    pub mod scheduler {
        /// Everything a plugin can reach. There is no WASI.
        #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
        pub mod host {
            #[used]
            #[doc(hidden)]
            static __FORCE_SECTION_REF: fn() = super::super::super::__link_custom_section_describing_imports;
            #[repr(u8)]
            #[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
            pub enum Level {
                Error,
                Warn,
                Info,
                Debug,
            }
            impl ::core::fmt::Debug for Level {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    match self {
                        Level::Error => f.debug_tuple("Level::Error").finish(),
                        Level::Warn => f.debug_tuple("Level::Warn").finish(),
                        Level::Info => f.debug_tuple("Level::Info").finish(),
                        Level::Debug => f.debug_tuple("Level::Debug").finish(),
                    }
                }
            }
            impl Level {
                #[doc(hidden)]
                pub unsafe fn _lift(val: u8) -> Level {
                    if !cfg!(debug_assertions) {
                        return unsafe { ::core::mem::transmute(val) };
                    }
                    match val {
                        0 => Level::Error,
                        1 => Level::Warn,
                        2 => Level::Info,
                        3 => Level::Debug,
                        _ => panic!("invalid enum discriminant"),
                    }
                }
            }
            #[allow(unused_unsafe, clippy::all)]
            /// Rate-limited and cut by the director.
            #[allow(async_fn_in_trait)]
            pub fn log(level: Level, message: &str) -> () {
                unsafe {
                    let vec0 = message;
                    let ptr0 = vec0.as_ptr().cast::<u8>();
                    let len0 = vec0.len();
                    #[cfg(target_arch = "wasm32")]
                    #[link(wasm_import_module = "wvs:scheduler/host@0.1.0")]
                    unsafe extern "C" {
                        #[link_name = "log"]
                        fn wit_import1(_: i32, _: *mut u8, _: usize);
                    }
                    #[cfg(not(target_arch = "wasm32"))]
                    unsafe extern "C" fn wit_import1(_: i32, _: *mut u8, _: usize) {
                        unreachable!()
                    }
                    wit_import1(level.clone() as i32, ptr0.cast_mut(), len0);
                }
            }
            #[allow(unused_unsafe, clippy::all)]
            /// Seeded by the director; the same seed gives the same numbers, so simulations repeat.
            #[allow(async_fn_in_trait)]
            pub fn random() -> u32 {
                unsafe {
                    #[cfg(target_arch = "wasm32")]
                    #[link(wasm_import_module = "wvs:scheduler/host@0.1.0")]
                    unsafe extern "C" {
                        #[link_name = "random"]
                        fn wit_import0() -> i32;
                    }
                    #[cfg(not(target_arch = "wasm32"))]
                    unsafe extern "C" fn wit_import0() -> i32 {
                        unreachable!()
                    }
                    let ret = wit_import0();
                    ret as u32
                }
            }
            #[allow(unused_unsafe, clippy::all)]
            /// Seconds since the plugin was loaded, monotonic; virtual time in a simulation.
            #[allow(async_fn_in_trait)]
            pub fn now() -> f64 {
                unsafe {
                    #[cfg(target_arch = "wasm32")]
                    #[link(wasm_import_module = "wvs:scheduler/host@0.1.0")]
                    unsafe extern "C" {
                        #[link_name = "now"]
                        fn wit_import0() -> f64;
                    }
                    #[cfg(not(target_arch = "wasm32"))]
                    unsafe extern "C" fn wit_import0() -> f64 {
                        unreachable!()
                    }
                    let ret = wit_import0();
                    ret
                }
            }
        }
        /// Data that both sides share.
        #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
        pub mod types {
            #[used]
            #[doc(hidden)]
            static __FORCE_SECTION_REF: fn() = super::super::super::__link_custom_section_describing_imports;
            use super::super::super::_rt;
            /// An IP address as four 32-bit words, most significant first.
            /// IPv4 is IPv4-mapped (0, 0, 0xffff, a.b.c.d), so `d` alone is the IPv4 address.
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct Address {
                pub a: u32,
                pub b: u32,
                pub c: u32,
                pub d: u32,
            }
            impl ::core::fmt::Debug for Address {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("Address")
                        .field("a", &self.a)
                        .field("b", &self.b)
                        .field("c", &self.c)
                        .field("d", &self.d)
                        .finish()
                }
            }
            wit_bindgen::rt::bitflags::bitflags! {
                #[derive(PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Clone, Copy)] pub
                struct BackendState : u8 { #[doc =
                " keeps its flows, should get no new ones"] const DRAINING = 1 << 0;
                #[doc = " failed its health check"] const DOWN = 1 << 1; #[doc =
                " at its connection threshold: keeps its flows, gets no new ones for now"]
                const OVERLOADED = 1 << 2; }
            }
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct Backend {
                /// Chosen by the director; stable for the life of the backend in its service.
                /// 0xffff_ffff is never a backend: in a table it means "no backend".
                pub id: u32,
                /// 0 means: no new flows.
                pub weight: u32,
                pub address: Address,
                pub port: u16,
                pub state: BackendState,
            }
            impl ::core::fmt::Debug for Backend {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("Backend")
                        .field("id", &self.id)
                        .field("weight", &self.weight)
                        .field("address", &self.address)
                        .field("port", &self.port)
                        .field("state", &self.state)
                        .finish()
                }
            }
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct Flow {
                pub src: Address,
                pub dst: Address,
                pub src_port: u16,
                pub dst_port: u16,
                /// IP protocol number: 6 TCP, 17 UDP, 132 SCTP.
                pub protocol: u8,
                /// Firewall mark of the packet, 0 if none.
                pub mark: u32,
                /// The director's own hash of the flow, the same on every node with the same seed.
                pub hash: u32,
            }
            impl ::core::fmt::Debug for Flow {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("Flow")
                        .field("src", &self.src)
                        .field("dst", &self.dst)
                        .field("src-port", &self.src_port)
                        .field("dst-port", &self.dst_port)
                        .field("protocol", &self.protocol)
                        .field("mark", &self.mark)
                        .field("hash", &self.hash)
                        .finish()
                }
            }
            /// What the data path hashes to index a table.
            #[repr(u8)]
            #[derive(Clone, Copy, Eq, Ord, PartialEq, PartialOrd)]
            pub enum HashKey {
                Source,
                SourceAndPort,
                Destination,
                Both,
            }
            impl ::core::fmt::Debug for HashKey {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    match self {
                        HashKey::Source => f.debug_tuple("HashKey::Source").finish(),
                        HashKey::SourceAndPort => {
                            f.debug_tuple("HashKey::SourceAndPort").finish()
                        }
                        HashKey::Destination => {
                            f.debug_tuple("HashKey::Destination").finish()
                        }
                        HashKey::Both => f.debug_tuple("HashKey::Both").finish(),
                    }
                }
            }
            impl HashKey {
                #[doc(hidden)]
                pub unsafe fn _lift(val: u8) -> HashKey {
                    if !cfg!(debug_assertions) {
                        return unsafe { ::core::mem::transmute(val) };
                    }
                    match val {
                        0 => HashKey::Source,
                        1 => HashKey::SourceAndPort,
                        2 => HashKey::Destination,
                        3 => HashKey::Both,
                        _ => panic!("invalid enum discriminant"),
                    }
                }
            }
            /// How the data path uses the policy.
            #[derive(Clone, Copy)]
            pub enum Dispatch {
                /// new connections walk the table in order
                Cycle,
                /// the table is indexed by a hash of the key
                Hash(HashKey),
                /// the plugin is asked for each new connection
                PerFlow,
            }
            impl ::core::fmt::Debug for Dispatch {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    match self {
                        Dispatch::Cycle => f.debug_tuple("Dispatch::Cycle").finish(),
                        Dispatch::Hash(e) => {
                            f.debug_tuple("Dispatch::Hash").field(e).finish()
                        }
                        Dispatch::PerFlow => f.debug_tuple("Dispatch::PerFlow").finish(),
                    }
                }
            }
            #[derive(Clone)]
            pub struct Param {
                pub key: _rt::String,
                pub value: _rt::String,
            }
            impl ::core::fmt::Debug for Param {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("Param")
                        .field("key", &self.key)
                        .field("value", &self.value)
                        .finish()
                }
            }
            #[repr(C)]
            #[derive(Clone, Copy)]
            pub struct Range {
                pub min: i32,
                pub max: i32,
            }
            impl ::core::fmt::Debug for Range {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("Range")
                        .field("min", &self.min)
                        .field("max", &self.max)
                        .finish()
                }
            }
            #[derive(Clone)]
            pub enum ParamKind {
                Text,
                Boolean,
                /// lowest and highest value allowed
                Integer(Range),
                Choice(_rt::Vec<_rt::String>),
            }
            impl ::core::fmt::Debug for ParamKind {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    match self {
                        ParamKind::Text => f.debug_tuple("ParamKind::Text").finish(),
                        ParamKind::Boolean => {
                            f.debug_tuple("ParamKind::Boolean").finish()
                        }
                        ParamKind::Integer(e) => {
                            f.debug_tuple("ParamKind::Integer").field(e).finish()
                        }
                        ParamKind::Choice(e) => {
                            f.debug_tuple("ParamKind::Choice").field(e).finish()
                        }
                    }
                }
            }
            #[derive(Clone)]
            pub struct ParamSpec {
                pub key: _rt::String,
                pub kind: ParamKind,
                pub default: _rt::String,
                pub help: _rt::String,
            }
            impl ::core::fmt::Debug for ParamSpec {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("ParamSpec")
                        .field("key", &self.key)
                        .field("kind", &self.kind)
                        .field("default", &self.default)
                        .field("help", &self.help)
                        .finish()
                }
            }
            #[derive(Clone)]
            pub struct Description {
                pub name: _rt::String,
                pub version: _rt::String,
                pub summary: _rt::String,
                pub params: _rt::Vec<ParamSpec>,
            }
            impl ::core::fmt::Debug for Description {
                fn fmt(
                    &self,
                    f: &mut ::core::fmt::Formatter<'_>,
                ) -> ::core::fmt::Result {
                    f.debug_struct("Description")
                        .field("name", &self.name)
                        .field("version", &self.version)
                        .field("summary", &self.summary)
                        .field("params", &self.params)
                        .finish()
                }
            }
        }
    }
}
#[allow(dead_code, clippy::all)]
pub mod exports {
    pub mod wvs {
        pub mod scheduler {
            /// Required.
            #[allow(dead_code, async_fn_in_trait, unused_imports, clippy::all)]
            pub mod policy {
                #[used]
                #[doc(hidden)]
                static __FORCE_SECTION_REF: fn() = super::super::super::super::__link_custom_section_describing_imports;
                use super::super::super::super::_rt;
                pub type Backend = super::super::super::super::wvs::scheduler::types::Backend;
                pub type Param = super::super::super::super::wvs::scheduler::types::Param;
                pub type Description = super::super::super::super::wvs::scheduler::types::Description;
                pub type Dispatch = super::super::super::super::wvs::scheduler::types::Dispatch;
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_describe_cabi<T_: Guest>() -> *mut u8 {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        let result0 = { T_::describe() };
                        let ptr1 = (&raw mut _RET_AREA.0).cast::<u8>();
                        let super::super::super::super::wvs::scheduler::types::Description {
                            name: name2,
                            version: version2,
                            summary: summary2,
                            params: params2,
                        } = result0;
                        let vec3 = (name2.into_bytes()).into_boxed_slice();
                        let ptr3 = vec3.as_ptr().cast::<u8>();
                        let len3 = vec3.len();
                        ::core::mem::forget(vec3);
                        *ptr1.add(::core::mem::size_of::<*const u8>()).cast::<usize>() = len3;
                        *ptr1.add(0).cast::<*mut u8>() = ptr3.cast_mut();
                        let vec4 = (version2.into_bytes()).into_boxed_slice();
                        let ptr4 = vec4.as_ptr().cast::<u8>();
                        let len4 = vec4.len();
                        ::core::mem::forget(vec4);
                        *ptr1
                            .add(3 * ::core::mem::size_of::<*const u8>())
                            .cast::<usize>() = len4;
                        *ptr1
                            .add(2 * ::core::mem::size_of::<*const u8>())
                            .cast::<*mut u8>() = ptr4.cast_mut();
                        let vec5 = (summary2.into_bytes()).into_boxed_slice();
                        let ptr5 = vec5.as_ptr().cast::<u8>();
                        let len5 = vec5.len();
                        ::core::mem::forget(vec5);
                        *ptr1
                            .add(5 * ::core::mem::size_of::<*const u8>())
                            .cast::<usize>() = len5;
                        *ptr1
                            .add(4 * ::core::mem::size_of::<*const u8>())
                            .cast::<*mut u8>() = ptr5.cast_mut();
                        let vec14 = params2;
                        let len14 = vec14.len();
                        let layout14 = _rt::alloc::Layout::from_size_align(
                                vec14.len() * (9 * ::core::mem::size_of::<*const u8>()),
                                ::core::mem::size_of::<*const u8>(),
                            )
                            .unwrap();
                        let (result14, _cleanup14) = wit_bindgen::rt::Cleanup::new(
                            layout14,
                        );
                        if let Some(cleanup) = _cleanup14 {
                            cleanup.forget();
                        }
                        for (i, e) in vec14.into_iter().enumerate() {
                            let base = result14
                                .add(i * (9 * ::core::mem::size_of::<*const u8>()));
                            {
                                let super::super::super::super::wvs::scheduler::types::ParamSpec {
                                    key: key6,
                                    kind: kind6,
                                    default: default6,
                                    help: help6,
                                } = e;
                                let vec7 = (key6.into_bytes()).into_boxed_slice();
                                let ptr7 = vec7.as_ptr().cast::<u8>();
                                let len7 = vec7.len();
                                ::core::mem::forget(vec7);
                                *base
                                    .add(::core::mem::size_of::<*const u8>())
                                    .cast::<usize>() = len7;
                                *base.add(0).cast::<*mut u8>() = ptr7.cast_mut();
                                use super::super::super::super::wvs::scheduler::types::ParamKind as V11;
                                match kind6 {
                                    V11::Text => {
                                        *base
                                            .add(2 * ::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (0i32) as u8;
                                    }
                                    V11::Boolean => {
                                        *base
                                            .add(2 * ::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (1i32) as u8;
                                    }
                                    V11::Integer(e) => {
                                        *base
                                            .add(2 * ::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (2i32) as u8;
                                        let super::super::super::super::wvs::scheduler::types::Range {
                                            min: min8,
                                            max: max8,
                                        } = e;
                                        *base
                                            .add(3 * ::core::mem::size_of::<*const u8>())
                                            .cast::<i32>() = _rt::as_i32(min8);
                                        *base
                                            .add(4 + 3 * ::core::mem::size_of::<*const u8>())
                                            .cast::<i32>() = _rt::as_i32(max8);
                                    }
                                    V11::Choice(e) => {
                                        *base
                                            .add(2 * ::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (3i32) as u8;
                                        let vec10 = e;
                                        let len10 = vec10.len();
                                        let layout10 = _rt::alloc::Layout::from_size_align(
                                                vec10.len() * (2 * ::core::mem::size_of::<*const u8>()),
                                                ::core::mem::size_of::<*const u8>(),
                                            )
                                            .unwrap();
                                        let (result10, _cleanup10) = wit_bindgen::rt::Cleanup::new(
                                            layout10,
                                        );
                                        if let Some(cleanup) = _cleanup10 {
                                            cleanup.forget();
                                        }
                                        for (i, e) in vec10.into_iter().enumerate() {
                                            let base = result10
                                                .add(i * (2 * ::core::mem::size_of::<*const u8>()));
                                            {
                                                let vec9 = (e.into_bytes()).into_boxed_slice();
                                                let ptr9 = vec9.as_ptr().cast::<u8>();
                                                let len9 = vec9.len();
                                                ::core::mem::forget(vec9);
                                                *base
                                                    .add(::core::mem::size_of::<*const u8>())
                                                    .cast::<usize>() = len9;
                                                *base.add(0).cast::<*mut u8>() = ptr9.cast_mut();
                                            }
                                        }
                                        *base
                                            .add(4 * ::core::mem::size_of::<*const u8>())
                                            .cast::<usize>() = len10;
                                        *base
                                            .add(3 * ::core::mem::size_of::<*const u8>())
                                            .cast::<*mut u8>() = result10;
                                    }
                                }
                                let vec12 = (default6.into_bytes()).into_boxed_slice();
                                let ptr12 = vec12.as_ptr().cast::<u8>();
                                let len12 = vec12.len();
                                ::core::mem::forget(vec12);
                                *base
                                    .add(6 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>() = len12;
                                *base
                                    .add(5 * ::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>() = ptr12.cast_mut();
                                let vec13 = (help6.into_bytes()).into_boxed_slice();
                                let ptr13 = vec13.as_ptr().cast::<u8>();
                                let len13 = vec13.len();
                                ::core::mem::forget(vec13);
                                *base
                                    .add(8 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>() = len13;
                                *base
                                    .add(7 * ::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>() = ptr13.cast_mut();
                            }
                        }
                        *ptr1
                            .add(7 * ::core::mem::size_of::<*const u8>())
                            .cast::<usize>() = len14;
                        *ptr1
                            .add(6 * ::core::mem::size_of::<*const u8>())
                            .cast::<*mut u8>() = result14;
                        ptr1
                    }
                }
                #[doc(hidden)]
                #[allow(non_snake_case)]
                pub unsafe fn __post_return_describe<T_: Guest>(arg0: *mut u8) {
                    unsafe {
                        let l0 = *arg0.add(0).cast::<*mut u8>();
                        let l1 = *arg0
                            .add(::core::mem::size_of::<*const u8>())
                            .cast::<usize>();
                        _rt::cabi_dealloc(l0, l1, 1);
                        let l2 = *arg0
                            .add(2 * ::core::mem::size_of::<*const u8>())
                            .cast::<*mut u8>();
                        let l3 = *arg0
                            .add(3 * ::core::mem::size_of::<*const u8>())
                            .cast::<usize>();
                        _rt::cabi_dealloc(l2, l3, 1);
                        let l4 = *arg0
                            .add(4 * ::core::mem::size_of::<*const u8>())
                            .cast::<*mut u8>();
                        let l5 = *arg0
                            .add(5 * ::core::mem::size_of::<*const u8>())
                            .cast::<usize>();
                        _rt::cabi_dealloc(l4, l5, 1);
                        let l6 = *arg0
                            .add(6 * ::core::mem::size_of::<*const u8>())
                            .cast::<*mut u8>();
                        let l7 = *arg0
                            .add(7 * ::core::mem::size_of::<*const u8>())
                            .cast::<usize>();
                        let base20 = l6;
                        let len20 = l7;
                        for i in 0..len20 {
                            let base = base20
                                .add(i * (9 * ::core::mem::size_of::<*const u8>()));
                            {
                                let l8 = *base.add(0).cast::<*mut u8>();
                                let l9 = *base
                                    .add(::core::mem::size_of::<*const u8>())
                                    .cast::<usize>();
                                _rt::cabi_dealloc(l8, l9, 1);
                                let l10 = i32::from(
                                    *base
                                        .add(2 * ::core::mem::size_of::<*const u8>())
                                        .cast::<u8>(),
                                );
                                match l10 {
                                    0 => {}
                                    1 => {}
                                    2 => {}
                                    _ => {
                                        let l11 = *base
                                            .add(3 * ::core::mem::size_of::<*const u8>())
                                            .cast::<*mut u8>();
                                        let l12 = *base
                                            .add(4 * ::core::mem::size_of::<*const u8>())
                                            .cast::<usize>();
                                        let base15 = l11;
                                        let len15 = l12;
                                        for i in 0..len15 {
                                            let base = base15
                                                .add(i * (2 * ::core::mem::size_of::<*const u8>()));
                                            {
                                                let l13 = *base.add(0).cast::<*mut u8>();
                                                let l14 = *base
                                                    .add(::core::mem::size_of::<*const u8>())
                                                    .cast::<usize>();
                                                _rt::cabi_dealloc(l13, l14, 1);
                                            }
                                        }
                                        _rt::cabi_dealloc(
                                            base15,
                                            len15 * (2 * ::core::mem::size_of::<*const u8>()),
                                            ::core::mem::size_of::<*const u8>(),
                                        );
                                    }
                                }
                                let l16 = *base
                                    .add(5 * ::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>();
                                let l17 = *base
                                    .add(6 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>();
                                _rt::cabi_dealloc(l16, l17, 1);
                                let l18 = *base
                                    .add(7 * ::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>();
                                let l19 = *base
                                    .add(8 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>();
                                _rt::cabi_dealloc(l18, l19, 1);
                            }
                        }
                        _rt::cabi_dealloc(
                            base20,
                            len20 * (9 * ::core::mem::size_of::<*const u8>()),
                            ::core::mem::size_of::<*const u8>(),
                        );
                    }
                }
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_configure_cabi<T_: Guest>(
                    arg0: *mut u8,
                    arg1: usize,
                ) -> *mut u8 {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        let result7 = {
                            let base6 = arg0;
                            let len6 = arg1;
                            let mut result6 = _rt::Vec::with_capacity(len6);
                            for i in 0..len6 {
                                let base = base6
                                    .add(i * (4 * ::core::mem::size_of::<*const u8>()));
                                let e6 = {
                                    let l0 = *base.add(0).cast::<*mut u8>();
                                    let l1 = *base
                                        .add(::core::mem::size_of::<*const u8>())
                                        .cast::<usize>();
                                    let len2 = l1;
                                    let bytes2 = _rt::Vec::from_raw_parts(
                                        l0.cast(),
                                        len2,
                                        len2,
                                    );
                                    let l3 = *base
                                        .add(2 * ::core::mem::size_of::<*const u8>())
                                        .cast::<*mut u8>();
                                    let l4 = *base
                                        .add(3 * ::core::mem::size_of::<*const u8>())
                                        .cast::<usize>();
                                    let len5 = l4;
                                    let bytes5 = _rt::Vec::from_raw_parts(
                                        l3.cast(),
                                        len5,
                                        len5,
                                    );
                                    super::super::super::super::wvs::scheduler::types::Param {
                                        key: _rt::string_lift(bytes2),
                                        value: _rt::string_lift(bytes5),
                                    }
                                };
                                result6.push(e6);
                            }
                            _rt::cabi_dealloc(
                                base6,
                                len6 * (4 * ::core::mem::size_of::<*const u8>()),
                                ::core::mem::size_of::<*const u8>(),
                            );
                            T_::configure(result6)
                        };
                        let ptr8 = (&raw mut _RET_AREA.0).cast::<u8>();
                        match result7 {
                            Ok(e) => {
                                *ptr8.add(0).cast::<u8>() = (0i32) as u8;
                                use super::super::super::super::wvs::scheduler::types::Dispatch as V9;
                                match e {
                                    V9::Cycle => {
                                        *ptr8
                                            .add(::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (0i32) as u8;
                                    }
                                    V9::Hash(e) => {
                                        *ptr8
                                            .add(::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (1i32) as u8;
                                        *ptr8
                                            .add(1 + 1 * ::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (e.clone() as i32) as u8;
                                    }
                                    V9::PerFlow => {
                                        *ptr8
                                            .add(::core::mem::size_of::<*const u8>())
                                            .cast::<u8>() = (2i32) as u8;
                                    }
                                }
                            }
                            Err(e) => {
                                *ptr8.add(0).cast::<u8>() = (1i32) as u8;
                                let vec10 = (e.into_bytes()).into_boxed_slice();
                                let ptr10 = vec10.as_ptr().cast::<u8>();
                                let len10 = vec10.len();
                                ::core::mem::forget(vec10);
                                *ptr8
                                    .add(2 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>() = len10;
                                *ptr8
                                    .add(::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>() = ptr10.cast_mut();
                            }
                        };
                        ptr8
                    }
                }
                #[doc(hidden)]
                #[allow(non_snake_case)]
                pub unsafe fn __post_return_configure<T_: Guest>(arg0: *mut u8) {
                    unsafe {
                        let l0 = i32::from(*arg0.add(0).cast::<u8>());
                        match l0 {
                            0 => {}
                            _ => {
                                let l1 = *arg0
                                    .add(::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>();
                                let l2 = *arg0
                                    .add(2 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>();
                                _rt::cabi_dealloc(l1, l2, 1);
                            }
                        }
                    }
                }
                #[doc(hidden)]
                #[allow(non_snake_case, unused_unsafe)]
                pub unsafe fn _export_update_cabi<T_: Guest>(
                    arg0: *mut u8,
                    arg1: usize,
                ) -> *mut u8 {
                    unsafe {
                        #[cfg(target_arch = "wasm32")] _rt::run_ctors_once();
                        let result9 = {
                            let base8 = arg0;
                            let len8 = arg1;
                            let mut result8 = _rt::Vec::with_capacity(len8);
                            for i in 0..len8 {
                                let base = base8.add(i * 28);
                                let e8 = {
                                    let l0 = *base.add(0).cast::<i32>();
                                    let l1 = *base.add(4).cast::<i32>();
                                    let l2 = *base.add(8).cast::<i32>();
                                    let l3 = *base.add(12).cast::<i32>();
                                    let l4 = *base.add(16).cast::<i32>();
                                    let l5 = *base.add(20).cast::<i32>();
                                    let l6 = i32::from(*base.add(24).cast::<u16>());
                                    let l7 = i32::from(*base.add(26).cast::<u8>());
                                    super::super::super::super::wvs::scheduler::types::Backend {
                                        id: l0 as u32,
                                        weight: l1 as u32,
                                        address: super::super::super::super::wvs::scheduler::types::Address {
                                            a: l2 as u32,
                                            b: l3 as u32,
                                            c: l4 as u32,
                                            d: l5 as u32,
                                        },
                                        port: l6 as u16,
                                        state: super::super::super::super::wvs::scheduler::types::BackendState::empty()
                                            | super::super::super::super::wvs::scheduler::types::BackendState::from_bits_retain(
                                                ((l7 as u8) << 0) as _,
                                            ),
                                    }
                                };
                                result8.push(e8);
                            }
                            _rt::cabi_dealloc(base8, len8 * 28, 4);
                            T_::update(result8)
                        };
                        let ptr10 = (&raw mut _RET_AREA.0).cast::<u8>();
                        match result9 {
                            Ok(_) => {
                                *ptr10.add(0).cast::<u8>() = (0i32) as u8;
                            }
                            Err(e) => {
                                *ptr10.add(0).cast::<u8>() = (1i32) as u8;
                                let vec11 = (e.into_bytes()).into_boxed_slice();
                                let ptr11 = vec11.as_ptr().cast::<u8>();
                                let len11 = vec11.len();
                                ::core::mem::forget(vec11);
                                *ptr10
                                    .add(2 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>() = len11;
                                *ptr10
                                    .add(::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>() = ptr11.cast_mut();
                            }
                        };
                        ptr10
                    }
                }
                #[doc(hidden)]
                #[allow(non_snake_case)]
                pub unsafe fn __post_return_update<T_: Guest>(arg0: *mut u8) {
                    unsafe {
                        let l0 = i32::from(*arg0.add(0).cast::<u8>());
                        match l0 {
                            0 => {}
                            _ => {
                                let l1 = *arg0
                                    .add(::core::mem::size_of::<*const u8>())
                                    .cast::<*mut u8>();
                                let l2 = *arg0
                                    .add(2 * ::core::mem::size_of::<*const u8>())
                                    .cast::<usize>();
                                _rt::cabi_dealloc(l1, l2, 1);
                            }
                        }
                    }
                }
                pub trait Guest {
                    /// No side effects; may be called at any time after instantiation.
                    #[allow(async_fn_in_trait)]
                    fn describe() -> Description;
                    /// Called once, before anything else but describe, with every parameter filled in from defaults.
                    #[allow(async_fn_in_trait)]
                    fn configure(
                        params: _rt::Vec<Param>,
                    ) -> ::core::result::Result<Dispatch, _rt::String>;
                    /// The full set of backends, whenever membership, weight, or state changes.
                    #[allow(async_fn_in_trait)]
                    fn update(
                        backends: _rt::Vec<Backend>,
                    ) -> ::core::result::Result<(), _rt::String>;
                }
                #[doc(hidden)]
                #[macro_export]
                macro_rules! __export_wvs_scheduler_policy_0_1_0_cabi {
                    ($ty:ident with_types_in $($path_to_types:tt)*) => {
                        const _ : () = { #[unsafe (export_name =
                        "wvs:scheduler/policy@0.1.0#describe")] unsafe extern "C" fn
                        export_describe() -> * mut u8 { unsafe { $($path_to_types)*::
                        _export_describe_cabi::<$ty > () } } #[unsafe (export_name =
                        "cabi_post_wvs:scheduler/policy@0.1.0#describe")] unsafe extern
                        "C" fn _post_return_describe(arg0 : * mut u8,) { unsafe {
                        $($path_to_types)*:: __post_return_describe::<$ty > (arg0) } }
                        #[unsafe (export_name = "wvs:scheduler/policy@0.1.0#configure")]
                        unsafe extern "C" fn export_configure(arg0 : * mut u8, arg1 :
                        usize,) -> * mut u8 { unsafe { $($path_to_types)*::
                        _export_configure_cabi::<$ty > (arg0, arg1) } } #[unsafe
                        (export_name = "cabi_post_wvs:scheduler/policy@0.1.0#configure")]
                        unsafe extern "C" fn _post_return_configure(arg0 : * mut u8,) {
                        unsafe { $($path_to_types)*:: __post_return_configure::<$ty >
                        (arg0) } } #[unsafe (export_name =
                        "wvs:scheduler/policy@0.1.0#update")] unsafe extern "C" fn
                        export_update(arg0 : * mut u8, arg1 : usize,) -> * mut u8 {
                        unsafe { $($path_to_types)*:: _export_update_cabi::<$ty > (arg0,
                        arg1) } } #[unsafe (export_name =
                        "cabi_post_wvs:scheduler/policy@0.1.0#update")] unsafe extern "C"
                        fn _post_return_update(arg0 : * mut u8,) { unsafe {
                        $($path_to_types)*:: __post_return_update::<$ty > (arg0) } } };
                    };
                }
                #[doc(hidden)]
                pub use __export_wvs_scheduler_policy_0_1_0_cabi;
                #[cfg_attr(target_pointer_width = "64", repr(align(8)))]
                #[cfg_attr(target_pointer_width = "32", repr(align(4)))]
                struct _RetArea(
                    [::core::mem::MaybeUninit<
                        u8,
                    >; 8 * ::core::mem::size_of::<*const u8>()],
                );
                static mut _RET_AREA: _RetArea = _RetArea(
                    [::core::mem::MaybeUninit::uninit(); 8
                        * ::core::mem::size_of::<*const u8>()],
                );
            }
        }
    }
}
mod _rt {
    #![allow(dead_code, unused_imports, clippy::all)]
    pub use alloc_crate::string::String;
    pub use alloc_crate::vec::Vec;
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
    pub use alloc_crate::alloc;
    pub unsafe fn cabi_dealloc(ptr: *mut u8, size: usize, align: usize) {
        if size == 0 {
            return;
        }
        unsafe {
            let layout = alloc::Layout::from_size_align_unchecked(size, align);
            alloc::dealloc(ptr, layout);
        }
    }
    pub unsafe fn string_lift(bytes: Vec<u8>) -> String {
        if cfg!(debug_assertions) {
            String::from_utf8(bytes).unwrap()
        } else {
            unsafe { String::from_utf8_unchecked(bytes) }
        }
    }
    extern crate alloc as alloc_crate;
}
/// Generates `#[unsafe(no_mangle)]` functions to export the specified type as
/// the root implementation of all generated traits.
///
/// For more information see the documentation of `wit_bindgen::generate!`.
///
/// ```rust
/// # macro_rules! export_policy{ ($($t:tt)*) => (); }
/// # trait Guest {}
/// struct MyType;
///
/// impl Guest for MyType {
///     // ...
/// }
///
/// export_policy!(MyType);
/// ```
#[allow(unused_macros)]
#[doc(hidden)]
#[macro_export]
macro_rules! __export_every_scheduler_impl {
    ($ty:ident) => {
        wvs_plugin::bindings::policy::export_policy!($ty with_types_in
        wvs_plugin::bindings::policy);
    };
    ($ty:ident with_types_in $($path_to_types_root:tt)*) => {
        $($path_to_types_root)*::
        exports::wvs::scheduler::policy::__export_wvs_scheduler_policy_0_1_0_cabi!($ty
        with_types_in $($path_to_types_root)*:: exports::wvs::scheduler::policy); const _
        : () = { #[cfg(target_arch = "wasm32")] #[unsafe (link_section =
        "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:every-scheduler:imports and exports")]
        #[doc(hidden)] #[allow(clippy::octal_escapes)] pub static
        __WIT_BINDGEN_COMPONENT_TYPE : [u8; 1088] = *
        b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07\xba\x07\x01A\x02\x01\
A\x0a\x01B\x08\x01m\x04\x05error\x04warn\x04info\x05debug\x04\0\x05level\x03\0\0\
\x01@\x02\x05level\x01\x07messages\x01\0\x04\0\x03log\x01\x02\x01@\0\0y\x04\0\x06\
random\x01\x03\x01@\0\0u\x04\0\x03now\x01\x04\x03\0\x18wvs:scheduler/host@0.1.0\x05\
\0\x01B\x18\x01r\x04\x01ay\x01by\x01cy\x01dy\x04\0\x07address\x03\0\0\x01n\x03\x08\
draining\x04down\x0aoverloaded\x04\0\x0dbackend-state\x03\0\x02\x01r\x05\x02idy\x06\
weighty\x07address\x01\x04port{\x05state\x03\x04\0\x07backend\x03\0\x04\x01r\x07\
\x03src\x01\x03dst\x01\x08src-port{\x08dst-port{\x08protocol}\x04marky\x04hashy\x04\
\0\x04flow\x03\0\x06\x01m\x04\x06source\x0fsource-and-port\x0bdestination\x04bot\
h\x04\0\x08hash-key\x03\0\x08\x01q\x03\x05cycle\0\0\x04hash\x01\x09\0\x08per-flo\
w\0\0\x04\0\x08dispatch\x03\0\x0a\x01r\x02\x03keys\x05values\x04\0\x05param\x03\0\
\x0c\x01r\x02\x03minz\x03maxz\x04\0\x05range\x03\0\x0e\x01ps\x01q\x04\x04text\0\0\
\x07boolean\0\0\x07integer\x01\x0f\0\x06choice\x01\x10\0\x04\0\x0aparam-kind\x03\
\0\x11\x01r\x04\x03keys\x04kind\x12\x07defaults\x04helps\x04\0\x0aparam-spec\x03\
\0\x13\x01p\x14\x01r\x04\x04names\x07versions\x07summarys\x06params\x15\x04\0\x0b\
description\x03\0\x16\x03\0\x19wvs:scheduler/types@0.1.0\x05\x01\x02\x03\0\x01\x07\
backend\x02\x03\0\x01\x05param\x02\x03\0\x01\x0bdescription\x02\x03\0\x01\x08dis\
patch\x01B\x12\x02\x03\x02\x01\x02\x04\0\x07backend\x03\0\0\x02\x03\x02\x01\x03\x04\
\0\x05param\x03\0\x02\x02\x03\x02\x01\x04\x04\0\x0bdescription\x03\0\x04\x02\x03\
\x02\x01\x05\x04\0\x08dispatch\x03\0\x06\x01@\0\0\x05\x04\0\x08describe\x01\x08\x01\
p\x03\x01j\x01\x07\x01s\x01@\x01\x06params\x09\0\x0a\x04\0\x09configure\x01\x0b\x01\
p\x01\x01j\0\x01s\x01@\x01\x08backends\x0c\0\x0d\x04\0\x06update\x01\x0e\x04\0\x1a\
wvs:scheduler/policy@0.1.0\x05\x06\x04\0#wvs:scheduler/every-scheduler@0.1.0\x04\
\0\x0b\x15\x01\0\x0fevery-scheduler\x03\0\0\0G\x09producers\x01\x0cprocessed-by\x02\
\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.61.1";
        };
    };
}
#[doc(inline)]
pub use __export_every_scheduler_impl as export_policy;
#[cfg(target_arch = "wasm32")]
#[unsafe(
    link_section = "component-type:wit-bindgen:0.61.1:wvs:scheduler@0.1.0:every-scheduler-with-all-of-its-exports-removed:encoded world"
)]
#[doc(hidden)]
#[allow(clippy::octal_escapes)]
pub static __WIT_BINDGEN_COMPONENT_TYPE: [u8; 904] = *b"\
\0asm\x0d\0\x01\0\0\x19\x16wit-component-encoding\x04\0\x07\xe2\x05\x01A\x02\x01\
A\x04\x01B\x08\x01m\x04\x05error\x04warn\x04info\x05debug\x04\0\x05level\x03\0\0\
\x01@\x02\x05level\x01\x07messages\x01\0\x04\0\x03log\x01\x02\x01@\0\0y\x04\0\x06\
random\x01\x03\x01@\0\0u\x04\0\x03now\x01\x04\x03\0\x18wvs:scheduler/host@0.1.0\x05\
\0\x01B\x18\x01r\x04\x01ay\x01by\x01cy\x01dy\x04\0\x07address\x03\0\0\x01n\x03\x08\
draining\x04down\x0aoverloaded\x04\0\x0dbackend-state\x03\0\x02\x01r\x05\x02idy\x06\
weighty\x07address\x01\x04port{\x05state\x03\x04\0\x07backend\x03\0\x04\x01r\x07\
\x03src\x01\x03dst\x01\x08src-port{\x08dst-port{\x08protocol}\x04marky\x04hashy\x04\
\0\x04flow\x03\0\x06\x01m\x04\x06source\x0fsource-and-port\x0bdestination\x04bot\
h\x04\0\x08hash-key\x03\0\x08\x01q\x03\x05cycle\0\0\x04hash\x01\x09\0\x08per-flo\
w\0\0\x04\0\x08dispatch\x03\0\x0a\x01r\x02\x03keys\x05values\x04\0\x05param\x03\0\
\x0c\x01r\x02\x03minz\x03maxz\x04\0\x05range\x03\0\x0e\x01ps\x01q\x04\x04text\0\0\
\x07boolean\0\0\x07integer\x01\x0f\0\x06choice\x01\x10\0\x04\0\x0aparam-kind\x03\
\0\x11\x01r\x04\x03keys\x04kind\x12\x07defaults\x04helps\x04\0\x0aparam-spec\x03\
\0\x13\x01p\x14\x01r\x04\x04names\x07versions\x07summarys\x06params\x15\x04\0\x0b\
description\x03\0\x16\x03\0\x19wvs:scheduler/types@0.1.0\x05\x01\x04\0Cwvs:sched\
uler/every-scheduler-with-all-of-its-exports-removed@0.1.0\x04\0\x0b5\x01\0/ever\
y-scheduler-with-all-of-its-exports-removed\x03\0\0\0G\x09producers\x01\x0cproce\
ssed-by\x02\x0dwit-component\x070.258.3\x10wit-bindgen-rust\x060.61.1";
#[inline(never)]
#[doc(hidden)]
pub fn __link_custom_section_describing_imports() {
    wit_bindgen::rt::maybe_link_cabi_realloc();
}
