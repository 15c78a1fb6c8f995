//! Control messages between the guest's bytes and open files: cmsg(3), unix(7).

use std::sync::Arc;
use tuxlet_uapi::{
    errno::{EINVAL, EPERM, ETOOMANYREFS, Result},
    socket::{
        Cmsghdr, MSG_CTRUNC, SCM_CREDENTIALS, SCM_MAX_FD, SCM_RIGHTS, SOL_SOCKET, Ucred, cmsg_align,
    },
};
use tuxlet_vfs::{
    Cx, File,
    cx::cap,
    socket::{Control, ControlMessage},
};
use zerocopy::{FromBytes, IntoBytes};

/// Size of the header.
const HEADER: usize = size_of::<Cmsghdr>();

/// Reads what a guest put into `msg_control`; `file_of` finds the open file of a descriptor (`EBADF`), `global` gives
/// credentials the ids of the initial namespaces (`EINVAL`, `ESRCH`).
///
/// Errors: `EINVAL` for bad framing or too many descriptors, `EPERM` for credentials that are not the
/// caller's.
pub fn parse(
    cx: &Cx,
    mut bytes: &[u8],
    mut file_of: impl FnMut(i32) -> Result<Arc<File>>,
    global: impl Fn(Ucred) -> Result<Ucred>,
) -> Result<Control> {
    let mut control = Control::default();
    while bytes.len() >= HEADER {
        let (header, _) = Cmsghdr::read_from_prefix(bytes).map_err(|_| EINVAL)?;
        let len = usize::try_from(header.cmsg_len).map_err(|_| EINVAL)?;
        let data = bytes.get(HEADER..len).ok_or(EINVAL)?;
        match (
            header.cmsg_level.cast_unsigned(),
            header.cmsg_type.cast_unsigned(),
        ) {
            (SOL_SOCKET, SCM_RIGHTS) => {
                if control.files.len() + data.len() / 4 > SCM_MAX_FD {
                    return Err(EINVAL);
                }
                for fd in data.chunks_exact(4) {
                    let fd = i32::read_from_bytes(fd).map_err(|_| EINVAL)?;
                    control.files.push(file_of(fd)?);
                }
            }
            (SOL_SOCKET, SCM_CREDENTIALS) => {
                if data.len() != size_of::<Ucred>() {
                    return Err(EINVAL);
                }
                let cred = global(Ucred::read_from_bytes(data).map_err(|_| EINVAL)?)?;
                check_cred(cx, &cred)?;
                control.cred = Some(cred);
            }
            (SOL_SOCKET, _) => return Err(EINVAL),
            _ => control.other.push(ControlMessage {
                level: header.cmsg_level,
                kind: header.cmsg_type,
                data: data.to_vec(),
            }),
        }
        bytes = bytes.get(cmsg_align(len)..).unwrap_or_default();
    }
    // A socket in a socket in a socket…: Linux bounds it, so do we.
    if control
        .files
        .iter()
        .any(|f| crate::unix::nesting(f) > crate::unix::MAX_NESTING)
    {
        return Err(ETOOMANYREFS);
    }
    Ok(control)
}

/// Whether the caller may say that it is `cred`: `EPERM` if not.
fn check_cred(cx: &Cx, cred: &Ucred) -> Result<()> {
    let me = &cx.cred;
    let pid = u32::try_from(cred.pid).is_ok_and(|pid| pid == cx.tgid);
    // Ids that the caller's namespace maps are all that get here.
    if (pid || me.has_cap(cap::SYS_ADMIN))
        && ([me.uid, me.euid, me.suid].contains(&cred.uid) || me.has_own_cap(cap::SETUID))
        && ([me.gid, me.egid, me.sgid].contains(&cred.gid) || me.has_own_cap(cap::SETGID))
    {
        Ok(())
    } else {
        Err(EPERM)
    }
}

/// Writes received ancillary data as the guest's bytes, at most `room` of them; `install` gives an open file a
/// descriptor, `shown` gives credentials the ids of the receiver's namespaces. Returns the bytes and `MSG_CTRUNC` if something did not fit (files that did not are closed).
pub fn encode(
    control: Control,
    room: usize,
    mut install: impl FnMut(Arc<File>) -> Result<i32>,
    shown: impl Fn(Ucred) -> Ucred,
) -> (Vec<u8>, u32) {
    let mut out = Vec::new();
    let mut flags = 0;
    if let Some(cred) = control.cred {
        put(
            &mut out,
            room,
            &mut flags,
            SOL_SOCKET as i32,
            SCM_CREDENTIALS as i32,
            shown(cred).as_bytes(),
        );
    }
    if !control.files.is_empty() {
        let fits = room.saturating_sub(out.len() + HEADER) / 4;
        let mut fds = Vec::new();
        let wanted = control.files.len();
        for file in control.files.into_iter().take(fits) {
            match install(file) {
                Ok(fd) => fds.extend_from_slice(&fd.to_le_bytes()),
                Err(_) => break,
            }
        }
        if fds.len() < wanted * 4 {
            flags |= MSG_CTRUNC;
        }
        if !fds.is_empty() {
            put(
                &mut out,
                room,
                &mut flags,
                SOL_SOCKET as i32,
                SCM_RIGHTS as i32,
                &fds,
            );
        }
    }
    for message in control.other {
        put(
            &mut out,
            room,
            &mut flags,
            message.level,
            message.kind,
            &message.data,
        );
    }
    (out, flags)
}

fn put(out: &mut Vec<u8>, room: usize, flags: &mut u32, level: i32, kind: i32, data: &[u8]) {
    let left = room.saturating_sub(out.len());
    if left < HEADER {
        *flags |= MSG_CTRUNC;
        return;
    }
    let len = (HEADER + data.len()).min(left);
    if len < HEADER + data.len() {
        *flags |= MSG_CTRUNC;
    }
    let header = Cmsghdr {
        cmsg_len: len as u64,
        cmsg_level: level,
        cmsg_type: kind,
    };
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(&data[..len - HEADER]);
    out.resize(cmsg_align(out.len()).min(room), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tuxlet_uapi::socket::{IP_TTL, IPPROTO_IP};

    #[test]
    fn messages_are_framed_and_cut() {
        let control = Control {
            cred: Some(Ucred {
                pid: 1,
                uid: 2,
                gid: 3,
            }),
            other: vec![ControlMessage {
                level: IPPROTO_IP as i32,
                kind: IP_TTL as i32,
                data: vec![64, 0, 0, 0],
            }],
            ..Control::default()
        };
        let (bytes, flags) = encode(control, 100, |_| Ok(0), |c| c);
        assert_eq!((bytes.len(), flags), (32 + 24, 0));
        assert_eq!(bytes[..8], 28u64.to_le_bytes());
        let control = Control {
            cred: Some(Ucred::default()),
            ..Control::default()
        };
        let (bytes, flags) = encode(control, 20, |_| Ok(0), |c| c);
        assert_eq!((bytes.len(), flags), (20, MSG_CTRUNC));
        let control = Control {
            cred: Some(Ucred::default()),
            ..Control::default()
        };
        assert_eq!(encode(control, 8, |_| Ok(0), |c| c), (vec![], MSG_CTRUNC));
    }
}
