//! Directory entries: `getdents64`(2).

consts! {
    /// Types of directory entries.
    pub DT: u8 {
        DT_UNKNOWN = 0,
        DT_FIFO = 1,
        DT_CHR = 2,
        DT_DIR = 4,
        DT_BLK = 6,
        DT_REG = 8,
        DT_LNK = 10,
        DT_SOCK = 12,
        DT_WHT = 14,
    }
}

/// Bytes before the name in `struct linux_dirent64`.
pub const DIRENT64_NAME_OFFSET: usize = 19;

/// Length of an entry with a name of `name_len` bytes: with its NUL, padded to 8 bytes.
#[must_use]
pub const fn dirent64_len(name_len: usize) -> usize {
    (DIRENT64_NAME_OFFSET + name_len + 1).next_multiple_of(8)
}

/// Appends one `struct linux_dirent64`; `off` is the position after this entry.
pub fn push_dirent64(out: &mut Vec<u8>, ino: u64, off: i64, d_type: u8, name: &[u8]) {
    let start = out.len();
    let len = dirent64_len(name.len());
    out.extend_from_slice(&ino.to_le_bytes());
    out.extend_from_slice(&off.to_le_bytes());
    // Names are at most 255 bytes, so the length fits.
    out.extend_from_slice(&(len as u16).to_le_bytes());
    out.push(d_type);
    out.extend_from_slice(name);
    out.resize(start + len, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_padded_to_eight_bytes_with_a_nul() {
        let mut out = Vec::new();
        push_dirent64(&mut out, 1, 2, DT_DIR, b".");
        assert_eq!(out.len(), 24);
        push_dirent64(&mut out, 1, 3, DT_REG, b"abcde");
        assert_eq!(out.len(), 24 + 32);
        assert_eq!(out[24 + 16], 32);
        assert_eq!(out[18], DT_DIR);
    }
}
