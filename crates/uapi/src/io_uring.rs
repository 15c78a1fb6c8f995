//! Rings of requests and results: `io_uring`(7).

consts! {
    /// Flags of a submission.
    pub IOSQE: u8 {
        IOSQE_FIXED_FILE = 1,
        IOSQE_IO_DRAIN = 2,
        IOSQE_IO_LINK = 4,
        IOSQE_IO_HARDLINK = 8,
        IOSQE_ASYNC = 16,
        IOSQE_BUFFER_SELECT = 32,
        IOSQE_CQE_SKIP_SUCCESS = 64,
    }
}

consts! {
    /// Flags of `io_uring_setup`(2).
    pub IORING_SETUP: u32 {
        IORING_SETUP_IOPOLL = 1,
        IORING_SETUP_SQPOLL = 2,
        IORING_SETUP_SQ_AFF = 4,
        IORING_SETUP_CQSIZE = 8,
        IORING_SETUP_CLAMP = 16,
        IORING_SETUP_ATTACH_WQ = 32,
        IORING_SETUP_R_DISABLED = 64,
        IORING_SETUP_SUBMIT_ALL = 128,
        IORING_SETUP_COOP_TASKRUN = 0x100,
        IORING_SETUP_TASKRUN_FLAG = 0x200,
        IORING_SETUP_SQE128 = 0x400,
        IORING_SETUP_CQE32 = 0x800,
        IORING_SETUP_SINGLE_ISSUER = 0x1000,
        IORING_SETUP_DEFER_TASKRUN = 0x2000,
    }
}

consts! {
    /// Younger than the headers that the tables are compared with.
    pub IORING_NEWER: u32 {
        IORING_SETUP_NO_SQARRAY = 0x10000,
        IORING_FEAT_REG_REG_RING = 0x2000,
    }
}

consts! {
    /// Younger operations.
    pub IORING_OP_NEWER: u8 {
        IORING_OP_FTRUNCATE = 55,
    }
}

consts! {
    /// Operations.
    pub IORING_OP: u8 {
        IORING_OP_NOP = 0,
        IORING_OP_READV = 1,
        IORING_OP_WRITEV = 2,
        IORING_OP_FSYNC = 3,
        IORING_OP_READ_FIXED = 4,
        IORING_OP_WRITE_FIXED = 5,
        IORING_OP_POLL_ADD = 6,
        IORING_OP_POLL_REMOVE = 7,
        IORING_OP_SYNC_FILE_RANGE = 8,
        IORING_OP_SENDMSG = 9,
        IORING_OP_RECVMSG = 10,
        IORING_OP_TIMEOUT = 11,
        IORING_OP_TIMEOUT_REMOVE = 12,
        IORING_OP_ACCEPT = 13,
        IORING_OP_ASYNC_CANCEL = 14,
        IORING_OP_LINK_TIMEOUT = 15,
        IORING_OP_CONNECT = 16,
        IORING_OP_FALLOCATE = 17,
        IORING_OP_OPENAT = 18,
        IORING_OP_CLOSE = 19,
        IORING_OP_FILES_UPDATE = 20,
        IORING_OP_STATX = 21,
        IORING_OP_READ = 22,
        IORING_OP_WRITE = 23,
        IORING_OP_FADVISE = 24,
        IORING_OP_MADVISE = 25,
        IORING_OP_SEND = 26,
        IORING_OP_RECV = 27,
        IORING_OP_OPENAT2 = 28,
        IORING_OP_EPOLL_CTL = 29,
        IORING_OP_SPLICE = 30,
        IORING_OP_PROVIDE_BUFFERS = 31,
        IORING_OP_REMOVE_BUFFERS = 32,
        IORING_OP_TEE = 33,
        IORING_OP_SHUTDOWN = 34,
        IORING_OP_RENAMEAT = 35,
        IORING_OP_UNLINKAT = 36,
        IORING_OP_MKDIRAT = 37,
        IORING_OP_SYMLINKAT = 38,
        IORING_OP_LINKAT = 39,
        IORING_OP_MSG_RING = 40,
        IORING_OP_FSETXATTR = 41,
        IORING_OP_SETXATTR = 42,
        IORING_OP_FGETXATTR = 43,
        IORING_OP_GETXATTR = 44,
        IORING_OP_SOCKET = 45,
        IORING_OP_URING_CMD = 46,
        IORING_OP_SEND_ZC = 47,
        IORING_OP_SENDMSG_ZC = 48,
    }
}

consts! {
    /// Flags of timeouts, and of fsync.
    pub IORING_TIMEOUT_FLAGS: u32 {
        IORING_TIMEOUT_ABS = 1,
        IORING_TIMEOUT_UPDATE = 2,
        IORING_TIMEOUT_BOOTTIME = 4,
        IORING_TIMEOUT_REALTIME = 8,
        IORING_LINK_TIMEOUT_UPDATE = 16,
        IORING_TIMEOUT_ETIME_SUCCESS = 32,
        IORING_FSYNC_DATASYNC = 1,
    }
}

consts! {
    /// Flags of polls.
    pub IORING_POLL: u32 {
        IORING_POLL_ADD_MULTI = 1,
        IORING_POLL_UPDATE_EVENTS = 2,
        IORING_POLL_UPDATE_USER_DATA = 4,
        IORING_POLL_ADD_LEVEL = 8,
    }
}

consts! {
    /// Flags of a cancellation.
    pub IORING_ASYNC_CANCEL: u32 {
        IORING_ASYNC_CANCEL_ALL = 1,
        IORING_ASYNC_CANCEL_FD = 2,
        IORING_ASYNC_CANCEL_ANY = 4,
        IORING_ASYNC_CANCEL_FD_FIXED = 8,
    }
}

consts! {
    /// Flags of socket operations.
    pub IORING_SOCKET: u16 {
        IORING_RECVSEND_POLL_FIRST = 1,
        IORING_RECV_MULTISHOT = 2,
        IORING_ACCEPT_MULTISHOT = 1,
    }
}

consts! {
    /// Flags of a completion.
    pub IORING_CQE: u32 {
        IORING_CQE_F_BUFFER = 1,
        IORING_CQE_F_MORE = 2,
        IORING_CQE_F_SOCK_NONEMPTY = 4,
        IORING_CQE_BUFFER_SHIFT = 16,
    }
}

consts! {
    /// Where the parts of a ring are mapped.
    pub IORING_OFF: u64 {
        IORING_OFF_SQ_RING = 0,
        IORING_OFF_CQ_RING = 0x8000000,
        IORING_OFF_SQES = 0x10000000,
    }
}

consts! {
    /// Flags in the rings.
    pub IORING_RING_FLAGS: u32 {
        IORING_SQ_NEED_WAKEUP = 1,
        IORING_SQ_CQ_OVERFLOW = 2,
        IORING_SQ_TASKRUN = 4,
        IORING_CQ_EVENTFD_DISABLED = 1,
    }
}

consts! {
    /// Flags of `io_uring_enter`(2).
    pub IORING_ENTER: u32 {
        IORING_ENTER_GETEVENTS = 1,
        IORING_ENTER_SQ_WAKEUP = 2,
        IORING_ENTER_SQ_WAIT = 4,
        IORING_ENTER_EXT_ARG = 8,
        IORING_ENTER_REGISTERED_RING = 16,
    }
}

consts! {
    /// Features.
    pub IORING_FEAT: u32 {
        IORING_FEAT_SINGLE_MMAP = 1,
        IORING_FEAT_NODROP = 2,
        IORING_FEAT_SUBMIT_STABLE = 4,
        IORING_FEAT_RW_CUR_POS = 8,
        IORING_FEAT_CUR_PERSONALITY = 16,
        IORING_FEAT_FAST_POLL = 32,
        IORING_FEAT_POLL_32BITS = 64,
        IORING_FEAT_SQPOLL_NONFIXED = 128,
        IORING_FEAT_EXT_ARG = 0x100,
        IORING_FEAT_NATIVE_WORKERS = 0x200,
        IORING_FEAT_RSRC_TAGS = 0x400,
        IORING_FEAT_CQE_SKIP = 0x800,
        IORING_FEAT_LINKED_FILE = 0x1000,
    }
}

consts! {
    /// What `io_uring_register`(2) does.
    pub IORING_REGISTER: u32 {
        IORING_REGISTER_BUFFERS = 0,
        IORING_UNREGISTER_BUFFERS = 1,
        IORING_REGISTER_FILES = 2,
        IORING_UNREGISTER_FILES = 3,
        IORING_REGISTER_EVENTFD = 4,
        IORING_UNREGISTER_EVENTFD = 5,
        IORING_REGISTER_FILES_UPDATE = 6,
        IORING_REGISTER_EVENTFD_ASYNC = 7,
        IORING_REGISTER_PROBE = 8,
        IORING_REGISTER_PERSONALITY = 9,
        IORING_UNREGISTER_PERSONALITY = 10,
        IORING_REGISTER_RESTRICTIONS = 11,
        IORING_REGISTER_ENABLE_RINGS = 12,
        IORING_REGISTER_FILES2 = 13,
        IORING_REGISTER_FILES_UPDATE2 = 14,
        IORING_REGISTER_BUFFERS2 = 15,
        IORING_REGISTER_BUFFERS_UPDATE = 16,
        IORING_REGISTER_IOWQ_AFF = 17,
        IORING_UNREGISTER_IOWQ_AFF = 18,
        IORING_REGISTER_IOWQ_MAX_WORKERS = 19,
        IORING_REGISTER_RING_FDS = 20,
        IORING_UNREGISTER_RING_FDS = 21,
        IORING_REGISTER_PBUF_RING = 22,
        IORING_UNREGISTER_PBUF_RING = 23,
        IORING_REGISTER_SYNC_CANCEL = 24,
        IORING_REGISTER_FILE_ALLOC_RANGE = 25,
    }
}

consts! {
    /// Values of fields.
    pub IORING_MISC: u32 {
        IORING_FILE_INDEX_ALLOC = 0xffffffff,
        IORING_REGISTER_FILES_SKIP = 0xfffffffe,
        IO_URING_OP_SUPPORTED = 1,
        SPLICE_F_FD_IN_FIXED = 0x80000000,
    }
}

abi! {
    /// `struct io_uring_sqe`: a submission.
    pub struct IoUringSqe = "struct io_uring_sqe" {
        opcode: u8,
        flags: u8,
        ioprio: u16,
        fd: i32,
        off: u64,
        addr: u64,
        len: u32,
        rw_flags: u32,
        user_data: u64,
        buf_index: u16,
        personality: u16,
        file_index: u32,
        addr3: u64,
        _pad: u64,
    }

    /// `struct io_sqring_offsets`: where the parts of the submission ring are.
    pub struct IoSqringOffsets = "struct io_sqring_offsets" {
        head: u32,
        tail: u32,
        ring_mask: u32,
        ring_entries: u32,
        flags: u32,
        dropped: u32,
        array: u32,
        resv1: u32,
        resv2: u64,
    }

    /// `struct io_cqring_offsets`: where the parts of the completion ring are.
    pub struct IoCqringOffsets = "struct io_cqring_offsets" {
        head: u32,
        tail: u32,
        ring_mask: u32,
        ring_entries: u32,
        overflow: u32,
        cqes: u32,
        flags: u32,
        resv1: u32,
        resv2: u64,
    }

    /// `struct io_uring_params`: of `io_uring_setup`(2).
    pub struct IoUringParams = "struct io_uring_params" {
        sq_entries: u32,
        cq_entries: u32,
        flags: u32,
        sq_thread_cpu: u32,
        sq_thread_idle: u32,
        features: u32,
        wq_fd: u32,
        resv: [u32; 3],
        sq_off: IoSqringOffsets,
        cq_off: IoCqringOffsets,
    }

    /// `struct io_uring_files_update`: new registered files.
    pub struct IoUringFilesUpdate = "struct io_uring_files_update" {
        offset: u32,
        resv: u32,
        fds: u64,
    }

    /// `struct io_uring_rsrc_register`: files or buffers with tags.
    pub struct IoUringRsrcRegister = "struct io_uring_rsrc_register" {
        nr: u32,
        flags: u32,
        resv2: u64,
        data: u64,
        tags: u64,
    }

    /// `struct io_uring_rsrc_update2`: new files or buffers with tags.
    pub struct IoUringRsrcUpdate2 = "struct io_uring_rsrc_update2" {
        offset: u32,
        resv: u32,
        data: u64,
        tags: u64,
        nr: u32,
        resv2: u32,
    }

    /// `struct io_uring_rsrc_update`: a ring's registered descriptor.
    pub struct IoUringRsrcUpdate = "struct io_uring_rsrc_update" {
        offset: u32,
        resv: u32,
        data: u64,
    }

    /// `struct io_uring_probe_op`: an operation in a probe.
    pub struct IoUringProbeOp = "struct io_uring_probe_op" {
        op: u8,
        resv: u8,
        flags: u16,
        resv2: u32,
    }

    /// `struct io_uring_buf`: a buffer in a shared ring.
    pub struct IoUringBuf = "struct io_uring_buf" {
        addr: u64,
        len: u32,
        bid: u16,
        resv: u16,
    }

    /// `struct io_uring_buf_reg`: a shared ring of buffers.
    pub struct IoUringBufReg = "struct io_uring_buf_reg" {
        ring_addr: u64,
        ring_entries: u32,
        bgid: u16,
        pad: u16,
        resv: [u64; 3],
    }

    /// `struct io_uring_getevents_arg`: more arguments of `io_uring_enter`(2).
    pub struct IoUringGeteventsArg = "struct io_uring_getevents_arg" {
        sigmask: u64,
        sigmask_sz: u32,
        pad: u32,
        ts: u64,
    }

    /// `struct io_uring_cqe`: a result.
    pub struct IoUringCqe = "struct io_uring_cqe" {
        user_data: u64,
        res: i32,
        flags: u32,
    }
}
