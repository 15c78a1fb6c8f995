//! `getrandom`(2).

consts! {
    /// Flags of `getrandom`(2).
    pub GRND: u32 {
        GRND_NONBLOCK = 0x1,
        GRND_RANDOM = 0x2,
        GRND_INSECURE = 0x4,
    }
}
