//! Restartable sequences: `rseq`(2).

consts! {
    /// Flags of `rseq`(2).
    pub RSEQ_FLAGS: u32 {
        RSEQ_FLAG_UNREGISTER = 1,
    }
}

consts! {
    /// Flags of a critical section.
    pub RSEQ_CS_FLAGS: u32 {
        RSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT = 0x1,
        RSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL = 0x2,
        RSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE = 0x4,
    }
}

consts! {
    /// Special values of `cpu_id`.
    pub RSEQ_CPU_IDS: i32 {
        RSEQ_CPU_ID_UNINITIALIZED = -1,
        RSEQ_CPU_ID_REGISTRATION_FAILED = -2,
    }
}

abi! {
    /// `struct rseq`, the original 32 bytes.
    pub struct Rseq = "struct rseq" {
        cpu_id_start: u32,
        cpu_id: u32,
        rseq_cs: u64,
        flags: u32,
        _reserved: [u32; 3],
    }

    /// `struct rseq_cs`: a critical section, aligned to 32 bytes.
    pub struct RseqCs = "struct rseq_cs" {
        version: u32,
        flags: u32,
        start_ip: u64,
        post_commit_offset: u64,
        abort_ip: u64,
    }
}
