//! `eventfd`(2).

consts! {
    /// Flags of `eventfd2`(2).
    pub EFD: u32 {
        EFD_SEMAPHORE = 0o1,
        EFD_CLOEXEC = 0o2000000,
        EFD_NONBLOCK = 0o4000,
    }
}
