//! syslog(2), reboot(2), acct(2), name_to_handle_at(2), open_by_handle_at(2).

use super::{Flags, UserPath, UserPtr, statmount::UNIQUE_OFFSET};
use crate::{
    log::LOG_SIZE,
    ns::pid::PidNs,
    task::{CurrentTask, WaitStatus},
};
use std::sync::Arc;
use tuxlet_uapi::{
    capability::{CAP_SYS_PACCT, CAP_SYSLOG},
    errno::{Errno, Result},
    fcntl::{AT_EMPTY_PATH, AT_HANDLE_FID, AT_SYMLINK_FOLLOW, AT_SYMLINK_NOFOLLOW},
    reboot::{
        LINUX_REBOOT_CMD_CAD_OFF, LINUX_REBOOT_CMD_CAD_ON, LINUX_REBOOT_CMD_HALT,
        LINUX_REBOOT_CMD_POWER_OFF, LINUX_REBOOT_CMD_RESTART, LINUX_REBOOT_CMD_RESTART2,
        LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_MAGIC2A, LINUX_REBOOT_MAGIC2B,
        LINUX_REBOOT_MAGIC2C,
    },
    signal::Signal,
};
use tuxlet_vfs::cx::cap;

/// `SYSLOG_ACTION_*`.
const READ: u32 = 2;
const READ_ALL: u32 = 3;
const READ_CLEAR: u32 = 4;
const CLEAR: u32 = 5;
const CONSOLE_LEVEL: u32 = 8;
const SIZE_UNREAD: u32 = 9;
const SIZE_BUFFER: u32 = 10;

pub(super) fn sys_syslog(
    task: &mut CurrentTask,
    action: u32,
    buf: UserPtr<u8>,
    len: i32,
) -> Result<usize> {
    // Whether this is an action that is known comes last.
    if !matches!(action, READ_ALL | SIZE_BUFFER) && !task.task.cred().has_cap(CAP_SYSLOG) {
        return Err(Errno::EPERM);
    }
    if matches!(action, READ | READ_ALL | READ_CLEAR) {
        let room = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        if buf.is_null() {
            return Err(Errno::EINVAL);
        }
        if room == 0 {
            return Ok(0);
        }
        let text = read_log(task, action, room)?;
        task.mm.space.write_bytes(buf.addr(), &text)?;
        return Ok(text.len());
    }
    let log = &task.kernel.log;
    match action {
        CLEAR => log.clear(),
        CONSOLE_LEVEL if !(1..=8).contains(&len) => return Err(Errno::EINVAL),
        // Opening and closing do nothing, and there is no console.
        0..=CONSOLE_LEVEL => {}
        SIZE_UNREAD => return Ok(log.unread_len()),
        SIZE_BUFFER => return Ok(LOG_SIZE),
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn read_log(task: &mut CurrentTask, action: u32, room: usize) -> Result<Vec<u8>> {
    if action != READ {
        let text = task.kernel.log.read_all(room);
        if action == READ_CLEAR {
            task.kernel.log.clear();
        }
        return Ok(text);
    }
    let kernel = Arc::clone(&task.kernel);
    let waited = task.wait_until(None, |_, table| {
        if let Some(table) = table {
            table.add(kernel.log.changed());
        }
        Some(kernel.log.read(room)).filter(|text| !text.is_empty())
    });
    waited.map_err(|_| Errno::ERESTARTSYS)
}

pub(super) fn sys_reboot(
    task: &mut CurrentTask,
    magic1: u32,
    magic2: u32,
    command: u32,
    _arg: UserPtr<u8>,
) -> Result<()> {
    let ns = Arc::clone(&task.task.group().pid_ns);
    if !task.task.cred().has_cap_in(&ns.id.owner, cap::SYS_BOOT) {
        return Err(Errno::EPERM);
    }
    let magics = [
        LINUX_REBOOT_MAGIC2,
        LINUX_REBOOT_MAGIC2A,
        LINUX_REBOOT_MAGIC2B,
        LINUX_REBOOT_MAGIC2C,
    ];
    if magic1 != LINUX_REBOOT_MAGIC1 || !magics.contains(&magic2) {
        return Err(Errno::EINVAL);
    }
    if ns.level() > 0 {
        return reboot_namespace(task, &ns, command);
    }
    match command {
        LINUX_REBOOT_CMD_CAD_ON | LINUX_REBOOT_CMD_CAD_OFF => Ok(()),
        LINUX_REBOOT_CMD_HALT
        | LINUX_REBOOT_CMD_POWER_OFF
        | LINUX_REBOOT_CMD_RESTART
        | LINUX_REBOOT_CMD_RESTART2 => {
            // The machine ends; whether another one starts is the embedder's decision.
            task.kernel.kill_all();
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// In a process id namespace of its own, the namespace ends, and its first process seems to have been killed by a signal that says
/// what was asked for: reboot(2).
fn reboot_namespace(task: &CurrentTask, ns: &PidNs, command: u32) -> Result<()> {
    let signal = match command {
        LINUX_REBOOT_CMD_RESTART | LINUX_REBOOT_CMD_RESTART2 => Signal::SIGHUP,
        LINUX_REBOOT_CMD_HALT | LINUX_REBOOT_CMD_POWER_OFF => Signal::SIGINT,
        _ => return Err(Errno::EINVAL),
    };
    let init = ns
        .init()
        .and_then(|tgid| Some(Arc::clone(&task.kernel.tree.lock().node(tgid)?.group)));
    if let Some(init) = init {
        let killed = WaitStatus::Signaled(signal, false);
        task.kernel.begin_group_exit(&init, killed);
    }
    // The call does not return.
    let group = task.task.group();
    task.kernel.begin_group_exit(group, WaitStatus::Exited(0));
    Ok(())
}

pub(super) fn sys_acct(task: &mut CurrentTask, _path: UserPtr<u8>) -> Result<()> {
    if task.task.cred().has_cap(CAP_SYS_PACCT) {
        Err(Errno::ENOSYS)
    } else {
        Err(Errno::EPERM)
    }
}

/// `AT_HANDLE_MNT_ID_UNIQUE`.
const HANDLE_MNT_ID_UNIQUE: u32 = 1;
/// `MAX_HANDLE_SZ`.
const MAX_HANDLE: u32 = 128;
/// The type of a handle that is a 64-bit inode number and a generation: `FILEID_INO64_GEN`.
const FILEID_INO64_GEN: u32 = 0x81;
/// Bytes of such a handle.
const INO64_GEN_LEN: u32 = 12;

/// No file system here has handles to open, only such as tell files apart (`AT_HANDLE_FID`).
pub(super) fn sys_name_to_handle_at(
    task: &mut CurrentTask,
    dirfd: i32,
    path: UserPath,
    handle: UserPtr<[u32; 2]>,
    mount_id: u64,
    flags: Flags,
) -> Result<()> {
    flags.only(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH | AT_HANDLE_FID | HANDLE_MNT_ID_UNIQUE)?;
    let follow = if flags.has(AT_SYMLINK_FOLLOW) {
        0
    } else {
        AT_SYMLINK_NOFOLLOW
    };
    let name = path.read(task)?;
    let found = task.path_at(dirfd, &name, Flags(follow | flags.0 & AT_EMPTY_PATH))?;
    if !flags.has(AT_HANDLE_FID) {
        return Err(Errno::EOPNOTSUPP);
    }
    let [room, _] = handle.read(task)?;
    if room > MAX_HANDLE {
        return Err(Errno::EINVAL);
    }
    let id = found.mount.id();
    if flags.has(HANDLE_MNT_ID_UNIQUE) {
        UserPtr::<u64>::new(mount_id).write(task, &(id + UNIQUE_OFFSET))?;
    } else {
        UserPtr::<u32>::new(mount_id).write(task, &(id as u32))?;
    }
    if room < INO64_GEN_LEN {
        // The caller learns how much room it takes.
        handle.write(task, &[INO64_GEN_LEN, 0])?;
        return Err(Errno::EOVERFLOW);
    }
    handle.write(task, &[INO64_GEN_LEN, FILEID_INO64_GEN])?;
    let ino = found.inode().id().ino;
    let words = [ino as u32, (ino >> 32) as u32, 0];
    UserPtr::<[u32; 3]>::new(handle.offset(1).addr()).write(task, &words)
}

pub(super) fn sys_open_by_handle_at(
    task: &mut CurrentTask,
    _mount: i32,
    _handle: u64,
    _flags: Flags,
) -> Result<i32> {
    if task.task.cred().has_cap(cap::DAC_READ_SEARCH) {
        Err(Errno::EOPNOTSUPP)
    } else {
        Err(Errno::EPERM)
    }
}
