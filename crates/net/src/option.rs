//! Options of `SOL_SOCKET` that mean the same for every family: socket(7).

use std::{collections::BTreeMap, time::Duration};
use tuxlet_sync::Mutex;
use tuxlet_uapi::{
    errno::{EACCES, EDOM, EINVAL, ENOPROTOOPT, EPERM, Result},
    socket::*,
    time::Timeval,
};
use tuxlet_vfs::{Cx, cx::cap};
use zerocopy::{FromBytes, IntoBytes};

/// `net.core.wmem_default` and `wmem_max`.
const BUF_DEFAULT: u32 = 212_992;
/// `SOCK_MIN_SNDBUF`.
const SNDBUF_MIN: u32 = 4608;
/// `SOCK_MIN_RCVBUF`.
const RCVBUF_MIN: u32 = 2304;

/// Boolean options that are stored and shown.
const FLAGS: &[u32] = &[
    SO_REUSEADDR,
    SO_REUSEPORT,
    SO_DONTROUTE,
    SO_BROADCAST,
    SO_KEEPALIVE,
    SO_OOBINLINE,
    SO_NO_CHECK,
    SO_PASSCRED,
    SO_PASSSEC,
    SO_TIMESTAMP_OLD,
    SO_TIMESTAMPNS_OLD,
    SO_TIMESTAMP_NEW,
    SO_TIMESTAMPNS_NEW,
    SO_RXQ_OVFL,
    SO_SELECT_ERR_QUEUE,
];

#[derive(Debug)]
struct Values {
    sndbuf: u32,
    rcvbuf: u32,
    recv_timeout: Option<Duration>,
    send_timeout: Option<Duration>,
    linger: Linger,
    ints: BTreeMap<u32, i32>,
}

/// The stored options of a socket.
#[derive(Debug)]
pub(crate) struct Options(Mutex<Values>);

impl Default for Options {
    fn default() -> Self {
        Options(Mutex::new(Values {
            sndbuf: BUF_DEFAULT,
            rcvbuf: BUF_DEFAULT,
            recv_timeout: None,
            send_timeout: None,
            linger: Linger::default(),
            ints: BTreeMap::new(),
        }))
    }
}

/// The `int` that most options are. `EINVAL` if the value is too short.
pub(crate) fn int_of(value: &[u8]) -> Result<i32> {
    let (value, _) = i32::read_from_prefix(value).map_err(|_| EINVAL)?;
    Ok(value)
}

/// `value` as a guest sees it in at most `len` bytes.
pub(crate) fn int_value(value: i32, len: usize) -> Vec<u8> {
    cut(value.as_bytes(), len)
}

/// At most `len` bytes of `value`.
pub(crate) fn cut(value: &[u8], len: usize) -> Vec<u8> {
    value[..value.len().min(len)].to_vec()
}

fn timeout_of(value: &[u8]) -> Result<Option<Duration>> {
    let (tv, _) = Timeval::read_from_prefix(value).map_err(|_| EINVAL)?;
    let micros = u32::try_from(tv.tv_usec)
        .ok()
        .filter(|&us| us < 1_000_000)
        .ok_or(EDOM)?;
    Ok(match u64::try_from(tv.tv_sec) {
        // Linux takes a negative time for one that is over at once.
        Err(_) => Some(Duration::ZERO),
        Ok(0) if micros == 0 => None,
        Ok(secs) => Some(Duration::new(secs, micros * 1000)),
    })
}

fn timeout_value(timeout: Option<Duration>, len: usize) -> Vec<u8> {
    cut(Timeval::from(timeout.unwrap_or_default()).as_bytes(), len)
}

impl Options {
    /// Bytes that may wait to be received from this socket.
    pub(crate) fn sndbuf(&self) -> usize {
        self.0.lock().sndbuf as usize
    }

    /// Whether a flag or another integer option is set.
    pub(crate) fn is_set(&self, name: u32) -> bool {
        self.0.lock().ints.get(&name).is_some_and(|&v| v != 0)
    }

    /// `SO_RCVTIMEO`.
    pub(crate) fn recv_timeout(&self) -> Option<Duration> {
        self.0.lock().recv_timeout
    }

    /// `SO_SNDTIMEO`.
    pub(crate) fn send_timeout(&self) -> Option<Duration> {
        self.0.lock().send_timeout
    }

    /// `SO_RCVTIMEO` or `SO_SNDTIMEO`, which the kernel's waiting needs; `None` for any other option.
    pub(crate) fn set_timeout(&self, name: u32, value: &[u8]) -> Option<Result<()>> {
        match name {
            SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => {
                Some(timeout_of(value).map(|t| self.0.lock().recv_timeout = t))
            }
            SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => {
                Some(timeout_of(value).map(|t| self.0.lock().send_timeout = t))
            }
            _ => None,
        }
    }

    /// The counterpart of [`set_timeout`](Self::set_timeout).
    pub(crate) fn timeout(&self, name: u32, len: usize) -> Option<Vec<u8>> {
        match name {
            SO_RCVTIMEO_OLD | SO_RCVTIMEO_NEW => Some(timeout_value(self.recv_timeout(), len)),
            SO_SNDTIMEO_OLD | SO_SNDTIMEO_NEW => Some(timeout_value(self.send_timeout(), len)),
            _ => None,
        }
    }

    /// setsockopt(2) at `SOL_SOCKET`.
    pub(crate) fn set(&self, cx: &Cx, name: u32, value: &[u8]) -> Result<()> {
        if let Some(done) = self.set_timeout(name, value) {
            return done;
        }
        let int = int_of(value)?;
        let mut values = self.0.lock();
        match name {
            SO_DEBUG if int != 0 && !cx.cred.has_cap(cap::NET_ADMIN) => return Err(EACCES),
            SO_DEBUG => {
                values.ints.insert(name, int);
            }
            SO_SNDBUF | SO_SNDBUFFORCE | SO_RCVBUF | SO_RCVBUFFORCE => {
                let force = matches!(name, SO_SNDBUFFORCE | SO_RCVBUFFORCE);
                if force && !cx.cred.has_cap(cap::NET_ADMIN) {
                    return Err(EPERM);
                }
                let limit = if force { u32::MAX / 4 } else { BUF_DEFAULT };
                // Linux doubles the value, for its bookkeeping.
                let double = 2 * int.max(0).cast_unsigned().min(limit);
                if matches!(name, SO_SNDBUF | SO_SNDBUFFORCE) {
                    values.sndbuf = double.max(SNDBUF_MIN);
                } else {
                    values.rcvbuf = double.max(RCVBUF_MIN);
                }
            }
            SO_LINGER => {
                (values.linger, _) = Linger::read_from_prefix(value).map_err(|_| EINVAL)?;
            }
            SO_PRIORITY => {
                if !(0..=6).contains(&int) && !cx.cred.has_cap(cap::NET_ADMIN) {
                    return Err(EPERM);
                }
                values.ints.insert(name, int);
            }
            SO_MARK => {
                if !cx.cred.has_cap(cap::NET_ADMIN) && !cx.cred.has_cap(cap::NET_RAW) {
                    return Err(EPERM);
                }
                values.ints.insert(name, int);
            }
            SO_RCVLOWAT => {
                values
                    .ints
                    .insert(name, if int == 0 { 1 } else { int.max(0) });
            }
            _ if FLAGS.contains(&name) => {
                values.ints.insert(name, i32::from(int != 0));
            }
            _ => return Err(ENOPROTOOPT),
        }
        Ok(())
    }

    /// getsockopt(2) at `SOL_SOCKET`; `None` if the option is the family's to answer.
    pub(crate) fn get(&self, name: u32, len: usize) -> Option<Vec<u8>> {
        if let Some(value) = self.timeout(name, len) {
            return Some(value);
        }
        let values = self.0.lock();
        let int = match name {
            SO_SNDBUF => values.sndbuf.cast_signed(),
            SO_RCVBUF => values.rcvbuf.cast_signed(),
            SO_LINGER => return Some(cut(values.linger.as_bytes(), len)),
            SO_RCVLOWAT | SO_SNDLOWAT => values.ints.get(&name).copied().unwrap_or(1),
            SO_DEBUG | SO_PRIORITY | SO_MARK => values.ints.get(&name).copied().unwrap_or(0),
            _ if FLAGS.contains(&name) => values.ints.get(&name).copied().unwrap_or(0),
            _ => return None,
        };
        Some(int_value(int, len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_checked_as_linux_does() {
        let tv = |tv_sec, tv_usec| Timeval { tv_sec, tv_usec };
        assert_eq!(timeout_of(tv(0, 0).as_bytes()), Ok(None));
        assert_eq!(
            timeout_of(tv(1, 500_000).as_bytes()),
            Ok(Some(Duration::from_millis(1500)))
        );
        assert_eq!(timeout_of(tv(-1, 0).as_bytes()), Ok(Some(Duration::ZERO)));
        assert_eq!(timeout_of(tv(1, 1_000_000).as_bytes()), Err(EDOM));
        assert_eq!(timeout_of(&[0; 8]), Err(EINVAL));
    }
}
