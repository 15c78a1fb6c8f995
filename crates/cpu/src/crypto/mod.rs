//! The cryptographic instructions' functions on 128-bit register values.

/// Functions that run on the host's instructions if a test finds them, else on the portable form.
macro_rules! detected {
    ($(#[$doc:meta] $name:ident($($arg:ident: $ty:ty),*) -> $result:ty,
        $host:ident $has:ident, else $portable:path;)*) => {$(
        #[$doc]
        #[inline]
        pub(crate) fn $name($($arg: $ty),*) -> $result {
            if $host::$has() {
                #[allow(unused_unsafe, reason = "hosts without the instructions")]
                // SAFETY: the host has the instructions.
                unsafe { $host::$name($($arg),*) }
            } else {
                $portable($($arg),*)
            }
        }
    )*};
}
use detected;

pub(crate) mod aes;
pub(crate) mod crc;
pub(crate) mod sha;
mod sha_host;
pub(crate) mod sm;

#[cfg(test)]
mod tests;
