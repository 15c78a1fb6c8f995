//! Translation of the host's error numbers to Linux' arm64 numbers.

use rustix::io::Errno as HostErrno;
use tuxlet_uapi::errno::Errno;

/// The guest's errno for an error of a host call.
///
/// On Linux hosts the numbers of x86-64 and arm64 are the same (asm-generic); elsewhere they are mapped by
/// name, and what has no counterpart becomes `EIO`.
#[cfg(target_os = "linux")]
#[must_use]
pub fn from_host(e: HostErrno) -> Errno {
    Errno::from_raw(e.raw_os_error())
}

/// The guest's errno for an error of a host call; what has no counterpart becomes `EIO`.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn from_host(e: HostErrno) -> Errno {
    macro_rules! pairs {
        ($($host:ident $guest:ident),* $(,)?) => {
            $(if e == HostErrno::$host { return Errno::$guest; })*
        };
    }
    pairs!(
        PERM EPERM, NOENT ENOENT, SRCH ESRCH, INTR EINTR, IO EIO, NXIO ENXIO, TOOBIG E2BIG, BADF EBADF, CHILD ECHILD,
        DEADLK EDEADLK, NOMEM ENOMEM, ACCESS EACCES, FAULT EFAULT, BUSY EBUSY, EXIST EEXIST, XDEV EXDEV,
        NODEV ENODEV, NOTDIR ENOTDIR, ISDIR EISDIR, INVAL EINVAL, NFILE ENFILE, MFILE EMFILE, NOTTY ENOTTY,
        TXTBSY ETXTBSY, FBIG EFBIG, NOSPC ENOSPC, SPIPE ESPIPE, ROFS EROFS, MLINK EMLINK, PIPE EPIPE,
        DOM EDOM, RANGE ERANGE, AGAIN EAGAIN, INPROGRESS EINPROGRESS, ALREADY EALREADY, NOTSOCK ENOTSOCK,
        DESTADDRREQ EDESTADDRREQ, MSGSIZE EMSGSIZE, PROTOTYPE EPROTOTYPE, NOPROTOOPT ENOPROTOOPT,
        PROTONOSUPPORT EPROTONOSUPPORT, SOCKTNOSUPPORT ESOCKTNOSUPPORT, NOTSUP EOPNOTSUPP,
        OPNOTSUPP EOPNOTSUPP, PFNOSUPPORT EPFNOSUPPORT, AFNOSUPPORT EAFNOSUPPORT, ADDRINUSE EADDRINUSE,
        ADDRNOTAVAIL EADDRNOTAVAIL, NETDOWN ENETDOWN, NETUNREACH ENETUNREACH, NETRESET ENETRESET,
        CONNABORTED ECONNABORTED, CONNRESET ECONNRESET, NOBUFS ENOBUFS, ISCONN EISCONN, NOTCONN ENOTCONN,
        TIMEDOUT ETIMEDOUT, CONNREFUSED ECONNREFUSED, LOOP ELOOP, NAMETOOLONG ENAMETOOLONG,
        HOSTDOWN EHOSTDOWN, HOSTUNREACH EHOSTUNREACH, NOTEMPTY ENOTEMPTY, DQUOT EDQUOT, STALE ESTALE,
        NOLCK ENOLCK, NOSYS ENOSYS, OVERFLOW EOVERFLOW, CANCELED ECANCELED, ILSEQ EILSEQ,
        BADMSG EBADMSG, PROTO EPROTO,
    );
    Errno::EIO
}

/// The guest's errno for an error of the standard library; without a host number it becomes `EIO`.
#[must_use]
pub fn from_io(e: &std::io::Error) -> Errno {
    HostErrno::from_io_error(e).map_or(Errno::EIO, from_host)
}
