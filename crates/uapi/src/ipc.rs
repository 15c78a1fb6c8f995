//! System V IPC: shared memory, semaphores, message queues.

consts! {
    /// Flags of `shmget`(2), `semget`(2) and `msgget`(2).
    pub IPC: u32 {
        IPC_CREAT = 0o1000,
        IPC_EXCL = 0o2000,
        IPC_NOWAIT = 0o4000,
    }
}

consts! {
    /// Commands of the `*ctl` calls.
    pub IPC_CMDS: u32 {
        IPC_RMID = 0,
        IPC_SET = 1,
        IPC_STAT = 2,
        IPC_INFO = 3,
        SHM_LOCK = 11,
        SHM_UNLOCK = 12,
        SHM_STAT = 13,
        SHM_INFO = 14,
        SHM_STAT_ANY = 15,
        GETPID = 11,
        GETVAL = 12,
        GETALL = 13,
        GETNCNT = 14,
        GETZCNT = 15,
        SETVAL = 16,
        SETALL = 17,
        SEM_STAT = 18,
        SEM_INFO = 19,
        SEM_STAT_ANY = 20,
        MSG_STAT = 11,
        MSG_INFO = 12,
        MSG_STAT_ANY = 13,
    }
}

consts! {
    /// Special keys.
    pub IPC_KEYS: i32 {
        IPC_PRIVATE = 0,
    }
}

consts! {
    /// Flags of shared memory.
    pub SHM: u32 {
        SHM_R = 0o400,
        SHM_W = 0o200,
        SHM_HUGETLB = 0o4000,
        SHM_NORESERVE = 0o10000,
        SHM_RDONLY = 0o10000,
        SHM_RND = 0o20000,
        SHM_REMAP = 0o40000,
        SHM_EXEC = 0o100000,
        SHM_DEST = 0o1000,
        SHM_LOCKED = 0o2000,
    }
}

consts! {
    /// Flags of `semop`(2).
    pub SEM: u32 {
        SEM_UNDO = 0x1000,
    }
}

consts! {
    /// Limits of semaphores.
    pub SEM_LIMITS: u32 {
        SEMMNI = 32000,
        SEMMSL = 32000,
        SEMOPM = 500,
        SEMVMX = 32767,
    }
}

consts! {
    /// Flags of `msgrcv`(2).
    pub MSG_IPC: u32 {
        MSG_NOERROR = 0o10000,
        MSG_EXCEPT = 0o20000,
        MSG_COPY = 0o40000,
    }
}

consts! {
    /// Limits of message queues.
    pub MSG_LIMITS: u32 {
        MSGMNI = 32000,
        MSGMAX = 8192,
        MSGMNB = 16384,
    }
}

abi! {
    /// `struct ipc64_perm`.
    pub struct IpcPerm = "struct ipc64_perm" {
        key: i32,
        uid: u32,
        gid: u32,
        cuid: u32,
        cgid: u32,
        mode: u32,
        seq: u16,
        _pad2: u16,
        _pad3: u32,
        _unused: [u64; 2],
    }

    /// `struct shmid64_ds`.
    pub struct ShmidDs = "struct shmid64_ds" {
        shm_perm: IpcPerm,
        shm_segsz: u64,
        shm_atime: i64,
        shm_dtime: i64,
        shm_ctime: i64,
        shm_cpid: i32,
        shm_lpid: i32,
        shm_nattch: u64,
        _unused: [u64; 2],
    }

    /// `struct semid64_ds`.
    pub struct SemidDs = "struct semid64_ds" {
        sem_perm: IpcPerm,
        sem_otime: i64,
        sem_ctime: i64,
        sem_nsems: u64,
        _unused: [u64; 2],
    }

    /// `struct msqid64_ds`.
    pub struct MsqidDs = "struct msqid64_ds" {
        msg_perm: IpcPerm,
        msg_stime: i64,
        msg_rtime: i64,
        msg_ctime: i64,
        msg_cbytes: u64,
        msg_qnum: u64,
        msg_qbytes: u64,
        msg_lspid: i32,
        msg_lrpid: i32,
        _unused: [u64; 2],
    }

    /// `struct sembuf` of `semop`(2).
    pub struct Sembuf = "struct sembuf" {
        sem_num: u16,
        sem_op: i16,
        sem_flg: i16,
    }
}
