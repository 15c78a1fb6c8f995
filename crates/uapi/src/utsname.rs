//! `uname`(2).

abi! {
    /// `struct new_utsname`: six NUL-terminated strings of at most 64 bytes.
    pub struct Utsname = "struct new_utsname" {
        sysname: [u8; 65],
        nodename: [u8; 65],
        release: [u8; 65],
        version: [u8; 65],
        machine: [u8; 65],
        domainname: [u8; 65],
    }
}

/// Longest string in a [`Utsname`], in bytes.
pub const UTS_LEN: usize = 64;

/// `text` as a field of [`Utsname`], cut to 64 bytes.
#[must_use]
pub fn uts_field(text: &[u8]) -> [u8; UTS_LEN + 1] {
    let mut field = [0; UTS_LEN + 1];
    let n = text.len().min(UTS_LEN);
    field[..n].copy_from_slice(&text[..n]);
    field
}
