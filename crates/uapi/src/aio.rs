//! Asynchronous input and output: `io_submit`(2).

consts! {
    /// What an `iocb` asks for.
    pub IOCB_CMD: u16 {
        IOCB_CMD_PREAD = 0,
        IOCB_CMD_PWRITE = 1,
        IOCB_CMD_FSYNC = 2,
        IOCB_CMD_FDSYNC = 3,
        IOCB_CMD_POLL = 5,
        IOCB_CMD_NOOP = 6,
        IOCB_CMD_PREADV = 7,
        IOCB_CMD_PWRITEV = 8,
    }
}

consts! {
    /// Flags of an `iocb`.
    pub IOCB_FLAG: u32 {
        IOCB_FLAG_RESFD = 1,
        IOCB_FLAG_IOPRIO = 2,
    }
}

abi! {
    /// `struct iocb`: a request.
    pub struct Iocb = "struct iocb" {
        aio_data: u64,
        aio_key: u32,
        aio_rw_flags: i32,
        aio_lio_opcode: u16,
        aio_reqprio: i16,
        aio_fildes: u32,
        aio_buf: u64,
        aio_nbytes: u64,
        aio_offset: i64,
        aio_reserved2: u64,
        aio_flags: u32,
        aio_resfd: u32,
    }

    /// `struct io_event`: the result of a request.
    pub struct IoEvent = "struct io_event" {
        data: u64,
        obj: u64,
        res: i64,
        res2: i64,
    }
}
