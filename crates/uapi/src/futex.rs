//! `futex`(2).

consts! {
    /// Operations of `futex`(2).
    pub FUTEX_OPS: u32 {
        FUTEX_WAIT = 0,
        FUTEX_WAKE = 1,
        FUTEX_FD = 2,
        FUTEX_REQUEUE = 3,
        FUTEX_CMP_REQUEUE = 4,
        FUTEX_WAKE_OP = 5,
        FUTEX_LOCK_PI = 6,
        FUTEX_UNLOCK_PI = 7,
        FUTEX_TRYLOCK_PI = 8,
        FUTEX_WAIT_BITSET = 9,
        FUTEX_WAKE_BITSET = 10,
        FUTEX_WAIT_REQUEUE_PI = 11,
        FUTEX_CMP_REQUEUE_PI = 12,
        FUTEX_LOCK_PI2 = 13,
    }
}

consts! {
    /// Flags of the operation of `futex`(2).
    pub FUTEX_FLAGS: u32 {
        FUTEX_PRIVATE_FLAG = 0x80,
        FUTEX_CLOCK_REALTIME = 0x100,
        FUTEX_CMD_MASK = 0xfffffe7f,
    }
}

consts! {
    /// Bits of a robust or priority-inheritance futex word.
    pub FUTEX_WORD: u32 {
        FUTEX_WAITERS = 0x80000000,
        FUTEX_OWNER_DIED = 0x40000000,
        FUTEX_TID_MASK = 0x3fffffff,
        FUTEX_BITSET_MATCH_ANY = 0xffffffff,
    }
}

consts! {
    /// Operations of `FUTEX_WAKE_OP`.
    pub FUTEX_OP: u32 {
        FUTEX_OP_SET = 0,
        FUTEX_OP_ADD = 1,
        FUTEX_OP_OR = 2,
        FUTEX_OP_ANDN = 3,
        FUTEX_OP_XOR = 4,
        FUTEX_OP_OPARG_SHIFT = 8,
    }
}

consts! {
    /// Comparisons of `FUTEX_WAKE_OP`.
    pub FUTEX_OP_CMP: u32 {
        FUTEX_OP_CMP_EQ = 0,
        FUTEX_OP_CMP_NE = 1,
        FUTEX_OP_CMP_LT = 2,
        FUTEX_OP_CMP_LE = 3,
        FUTEX_OP_CMP_GT = 4,
        FUTEX_OP_CMP_GE = 5,
    }
}

consts! {
    /// Flags of `futex_waitv`(2) and the `futex_*` calls.
    pub FUTEX2: u32 {
        FUTEX_32 = 0x2,
        FUTEX2_SIZE_U8 = 0x0,
        FUTEX2_SIZE_U16 = 0x1,
        FUTEX2_SIZE_U64 = 0x3,
        FUTEX2_NUMA = 0x4,
        FUTEX2_PRIVATE = 0x80,
    }
}

consts! {
    /// Limits.
    pub FUTEX_LIMITS: usize {
        FUTEX_WAITV_MAX = 128,
        ROBUST_LIST_LIMIT = 2048,
    }
}

abi! {
    /// `struct robust_list`.
    pub struct RobustList = "struct robust_list" {
        next: u64,
    }

    /// `struct robust_list_head` of `set_robust_list`(2), 24 bytes.
    pub struct RobustListHead = "struct robust_list_head" {
        list: RobustList,
        futex_offset: i64,
        list_op_pending: u64,
    }

    /// `struct futex_waitv` of `futex_waitv`(2).
    pub struct FutexWaitv = "struct futex_waitv" {
        val: u64,
        uaddr: u64,
        flags: u32,
        _reserved: u32,
    }
}
