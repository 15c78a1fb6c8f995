//! Declaration macros: groups of constants and C-compatible structs.

/// Size and field offsets of a C-compatible struct, in bytes.
///
/// Tests compare it with what the C headers say.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The C spelling, for example `struct stat`.
    pub c_name: &'static str,
    /// `sizeof`, in bytes.
    pub size: usize,
    /// `(field, offsetof)` pairs in order.
    pub fields: &'static [(&'static str, usize)],
}

/// Declares constants of one type and the table of their names.
macro_rules! consts {
    ($(#[$doc:meta])* pub $table:ident: $ty:ty { $($name:ident = $value:expr,)* }) => {
        $(
            #[doc = concat!("`", stringify!($name), "`, see [`", stringify!($table), "`].")]
            pub const $name: $ty = $value;
        )*
        $(#[$doc])*
        pub const $table: &[(&str, $ty)] = &[$((stringify!($name), $value),)*];
    };
}

/// Declares structs with the layout of C on arm64.
///
/// Padding must be explicit (fields starting with `_`). Fields carry the names of the
/// Linux headers and manual pages, so they are not documented one by one.
macro_rules! abi {
    ($($(#[$doc:meta])* pub struct $name:ident = $c:literal {
        $($(#[$fdoc:meta])* $field:ident: $ty:ty,)*
    })*) => {
        $(
            $(#[$doc])*
            #[repr(C)]
            #[derive(
                Clone, Copy, Debug, PartialEq, Eq, zerocopy::FromBytes, zerocopy::IntoBytes,
                zerocopy::Immutable, zerocopy::KnownLayout,
            )]
            #[allow(missing_docs, reason = "fields are named as in the manual pages")]
            pub struct $name {
                $($(#[$fdoc])* pub $field: $ty,)*
            }

            impl $name {
                /// Size and field offsets.
                pub const LAYOUT: crate::Layout = crate::Layout {
                    c_name: $c,
                    size: size_of::<$name>(),
                    fields: &[$((stringify!($field), core::mem::offset_of!($name, $field)),)*],
                };
            }

            impl Default for $name {
                /// All bytes zero, as C programs get with `memset`.
                fn default() -> Self {
                    zerocopy::FromZeros::new_zeroed()
                }
            }
        )*
    };
}
