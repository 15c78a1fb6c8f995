//! Memory mapping: `mman.h`, `memfd_create`(2), memory policies, `membarrier`(2).

consts! {
    /// Page protections.
    pub PROT: u32 {
        PROT_NONE = 0x0,
        PROT_READ = 0x1,
        PROT_WRITE = 0x2,
        PROT_EXEC = 0x4,
        PROT_SEM = 0x8,
        PROT_BTI = 0x10,
        PROT_MTE = 0x20,
        PROT_GROWSDOWN = 0x1000000,
        PROT_GROWSUP = 0x2000000,
    }
}

consts! {
    /// Types of mappings.
    pub MAP_TYPES: u32 {
        MAP_SHARED = 0x1,
        MAP_PRIVATE = 0x2,
        MAP_SHARED_VALIDATE = 0x3,
    }
}

consts! {
    /// Flags of `mmap`(2) beside the type.
    pub MAP: u32 {
        MAP_FIXED = 0x10,
        MAP_ANONYMOUS = 0x20,
        MAP_GROWSDOWN = 0x100,
        MAP_DENYWRITE = 0x800,
        MAP_EXECUTABLE = 0x1000,
        MAP_LOCKED = 0x2000,
        MAP_NORESERVE = 0x4000,
        MAP_POPULATE = 0x8000,
        MAP_NONBLOCK = 0x10000,
        MAP_STACK = 0x20000,
        MAP_HUGETLB = 0x40000,
        MAP_SYNC = 0x80000,
        MAP_FIXED_NOREPLACE = 0x100000,
        MAP_DROPPABLE = 0x8,
    }
}

consts! {
    /// Fields in the flags of `mmap`(2).
    pub MAP_MASKS: u32 {
        MAP_TYPE = 0xf,
        MAP_HUGE_SHIFT = 0x1a,
        MAP_HUGE_MASK = 0x3f,
    }
}

consts! {
    /// Flags of `mremap`(2).
    pub MREMAP: u32 {
        MREMAP_MAYMOVE = 0x1,
        MREMAP_FIXED = 0x2,
        MREMAP_DONTUNMAP = 0x4,
    }
}

consts! {
    /// Advice of `madvise`(2).
    pub MADV: u32 {
        MADV_NORMAL = 0,
        MADV_RANDOM = 1,
        MADV_SEQUENTIAL = 2,
        MADV_WILLNEED = 3,
        MADV_DONTNEED = 4,
        MADV_FREE = 8,
        MADV_REMOVE = 9,
        MADV_DONTFORK = 10,
        MADV_DOFORK = 11,
        MADV_HWPOISON = 100,
        MADV_SOFT_OFFLINE = 101,
        MADV_MERGEABLE = 12,
        MADV_UNMERGEABLE = 13,
        MADV_HUGEPAGE = 14,
        MADV_NOHUGEPAGE = 15,
        MADV_DONTDUMP = 16,
        MADV_DODUMP = 17,
        MADV_WIPEONFORK = 18,
        MADV_KEEPONFORK = 19,
        MADV_COLD = 20,
        MADV_PAGEOUT = 21,
        MADV_POPULATE_READ = 22,
        MADV_POPULATE_WRITE = 23,
        MADV_DONTNEED_LOCKED = 24,
        MADV_COLLAPSE = 25,
    }
}

consts! {
    /// Flags of `msync`(2).
    pub MS: u32 {
        MS_ASYNC = 0x1,
        MS_INVALIDATE = 0x2,
        MS_SYNC = 0x4,
    }
}

consts! {
    /// Flags of `mlockall`(2).
    pub MCL: u32 {
        MCL_CURRENT = 0x1,
        MCL_FUTURE = 0x2,
        MCL_ONFAULT = 0x4,
    }
}

consts! {
    /// Flags of `mlock2`(2).
    pub MLOCK: u32 {
        MLOCK_ONFAULT = 0x1,
    }
}

consts! {
    /// Flags of `memfd_create`(2).
    pub MFD: u32 {
        MFD_CLOEXEC = 0x1,
        MFD_ALLOW_SEALING = 0x2,
        MFD_HUGETLB = 0x4,
        MFD_NOEXEC_SEAL = 0x8,
        MFD_EXEC = 0x10,
    }
}

consts! {
    /// Memory policies.
    pub MPOL: u32 {
        MPOL_DEFAULT = 0,
        MPOL_PREFERRED = 1,
        MPOL_BIND = 2,
        MPOL_INTERLEAVE = 3,
        MPOL_LOCAL = 4,
        MPOL_PREFERRED_MANY = 5,
    }
}

consts! {
    /// Flags of `get_mempolicy`(2) and `mbind`(2).
    pub MPOL_FLAGS: u32 {
        MPOL_F_NODE = 0x1,
        MPOL_F_ADDR = 0x2,
        MPOL_F_MEMS_ALLOWED = 0x4,
        MPOL_F_STATIC_NODES = 0x8000,
        MPOL_F_RELATIVE_NODES = 0x4000,
    }
}

consts! {
    /// Commands of `membarrier`(2).
    pub MEMBARRIER: u32 {
        MEMBARRIER_CMD_QUERY = 0x0,
        MEMBARRIER_CMD_GLOBAL = 0x1,
        MEMBARRIER_CMD_GLOBAL_EXPEDITED = 0x2,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED = 0x4,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED = 0x8,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED = 0x10,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE = 0x20,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE = 0x40,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ = 0x80,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ = 0x100,
        MEMBARRIER_CMD_GET_REGISTRATIONS = 0x200,
    }
}
