//! How the declarations of [`super`] become Rust and C.

/// How a field is declared in C.
pub(super) trait InC {
    fn declare(name: &str) -> String;
}

macro_rules! in_c {
    ($($rust:ty => $c:literal),*) => {$(
        impl InC for $rust {
            fn declare(name: &str) -> String {
                format!("{} {name}", $c)
            }
        }
    )*};
}
in_c!(u8 => "__u8", u16 => "__u16", u32 => "__u32", u64 => "__u64");

impl<T: InC, const N: usize> InC for [T; N] {
    fn declare(name: &str) -> String {
        format!("{}[{N}]", T::declare(name))
    }
}

macro_rules! layout {
    ($($(#[$doc:meta])* struct $name:ident = $c:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub struct $name {
                $($(#[$field_doc])* pub $field: $type,)*
            }

            impl Default for $name {
                fn default() -> Self {
                    // SAFETY: unsigned integers, arrays of them and other such types may be zero.
                    unsafe { std::mem::zeroed() }
                }
            }

            impl InC for $name {
                fn declare(name: &str) -> String {
                    format!("struct {} {name}", stringify!($c))
                }
            }

            // SAFETY: repr(C) of unsigned integers, arrays of them and other such types; the sum of the fields' sizes is asserted
            // to be the size of the whole, so there is no padding.
            unsafe impl Plain for $name {}
            const _: () = assert!(size_of::<$name>() == 0 $(+ size_of::<$type>())*);
        )*

        fn c_structs(out: &mut String) {
            $(
                let _ = writeln!(out, "\nstruct {} {{", stringify!($c));
                $(let _ = writeln!(out, "\t{};", <$type as InC>::declare(stringify!($field)));)*
                // Elements of maps and variables of the program may always be read by whole words.
                let align = if size_of::<$name>() % 8 == 0 { 8 } else { 4 };
                let _ = writeln!(out, "}} __attribute__((aligned({align})));");
                let _ = writeln!(
                    out, "_Static_assert(sizeof(struct {0}) == {1}, \"{0}\");", stringify!($c), size_of::<$name>());
                $(let _ = writeln!(
                    out, "_Static_assert(__builtin_offsetof(struct {0}, {1}) == {2}, \"{0}.{1}\");",
                    stringify!($c), stringify!($field), std::mem::offset_of!($name, $field));)*
            )*
        }
    };
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr;)*) => {
        $($(#[$doc])* pub const $name: $type = $value;)*

        fn c_numbers(out: &mut String) {
            $(let _ = writeln!(out, "#define {} {:#x}", stringify!($name), $name);)*
        }
    };
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $c:ident, $drop:literal, $text:literal;)*) => {
        /// What happens besides forwarding. Map `events` counts them for each CPU.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Event {
            $($(#[$doc])* $name,)*
        }

        impl Event {
            /// All of them, in the map's order.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// A name for metrics and tables.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Whether the packet was lost.
            #[must_use]
            pub const fn is_drop(self) -> bool {
                match self { $(Self::$name => $drop,)* }
            }
        }

        fn c_events(out: &mut String) {
            let _ = writeln!(out, "\nenum event {{");
            $(let _ = writeln!(out, "\t{} = {},", stringify!($c), Event::$name as u32);)*
            let _ = writeln!(out, "}};");
        }
    };
}

pub(super) use {events, layout, numbers};
