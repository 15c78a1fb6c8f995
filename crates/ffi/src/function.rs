//! The frame of the interface's functions.

/// Declares functions of the interface that can fail. Each gets an `error` as its last parameter and gives 0 or a code; its body gives
/// a `Result<()>` and may use what is only sound because of the caller's promise.
macro_rules! functions {
    ($(
        $(#[doc = $doc:literal])+
        fn $name:ident($($param:ident: $kind:ty),* $(,)?) $body:block
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// # Safety
        /// As the header says of handles, texts, bytes, functions and errors; places for results are null or point to what they are for.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $($param: $kind,)*
            error: *mut $crate::error::Error,
        ) -> ::std::ffi::c_int {
            // SAFETY: the caller's promise.
            unsafe { $crate::error::guard_int(error, || $body) }
        }
    )+};
}

/// Declares functions that free handles.
macro_rules! frees {
    ($(
        $(#[doc = $doc:literal])+
        fn $name:ident($handle:ident: *mut $kind:ty);
    )+) => {$(
        $(#[doc = $doc])+
        ///
        /// # Safety
        /// As the header says of handles.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($handle: *mut $kind) {
            // SAFETY: the caller's promise.
            drop(unsafe { $crate::error::take($handle) });
        }
    )+};
}
