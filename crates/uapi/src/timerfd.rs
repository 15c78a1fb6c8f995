//! `timerfd_create`(2).

consts! {
    /// Flags of `timerfd_create`(2).
    pub TFD: u32 {
        TFD_CLOEXEC = 0o2000000,
        TFD_NONBLOCK = 0o4000,
    }
}

consts! {
    /// Flags of `timerfd_settime`(2).
    pub TFD_TIMER: u32 {
        TFD_TIMER_ABSTIME = 1,
        TFD_TIMER_CANCEL_ON_SET = 2,
    }
}

consts! {
    /// Requests of timerfd.
    pub TFD_IOCTLS: u32 {
        TFD_IOC_SET_TICKS = 0x40085400,
    }
}
