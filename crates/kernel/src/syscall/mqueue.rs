//! mq_open(2), mq_unlink(2), mq_timedsend(2), mq_timedreceive(2), mq_notify(2), mq_getsetattr(2).

use super::{Flags, UserPath, UserPtr};
use crate::{
    clock::timespec_ns,
    ipc::{
        mqueue::{COOKIE_LEN, MqFile, NOTIFY_WOKENUP, Notice, PRIORITIES, Registration},
        mqueue_fs::DEFAULT_SIZES,
    },
    signal::send_to_group,
    task::CurrentTask,
    wait::{Deadline, WaitError},
};
use std::sync::Arc;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{NAME_MAX, O_ACCMODE, O_CLOEXEC, O_CREAT, O_EXCL, O_NONBLOCK, OpenFlags},
    signal::{SI_MESGQ, SIGEV_NONE, SIGEV_SIGNAL, SIGEV_THREAD, SigEvent, SigInfo, Signal},
    time::Timespec,
};
use tuxlet_vfs::{Cx, File, LookupFlags, Path, access, create, cx::cap, resolver, unlink};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Limits without and with `CAP_SYS_RESOURCE`: `/proc/sys/fs/mqueue`.
const MAX_MESSAGES: usize = 10;
const HARD_MAX_MESSAGES: usize = 65_536;
const MAX_SIZE: usize = 8192;
const HARD_MAX_SIZE: usize = 16 << 20;

/// `struct mq_attr`.
#[derive(Clone, Copy, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct MqAttr {
    flags: i64,
    max_messages: i64,
    message_size: i64,
    messages: i64,
    reserved: [i64; 4],
}

fn read_name(task: &CurrentTask, name: UserPath) -> Result<Vec<u8>> {
    let name = name.read(task)?;
    match name.as_slice() {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        n if n.contains(&b'/') => Err(Errno::EACCES),
        n if n.len() > NAME_MAX => Err(Errno::ENAMETOOLONG),
        _ => Ok(name),
    }
}

fn sizes(task: &CurrentTask, attr: Option<MqAttr>) -> Result<(usize, usize)> {
    let Some(attr) = attr else {
        return Ok(DEFAULT_SIZES);
    };
    let privileged = task.task.cred().has_cap(cap::SYS_RESOURCE);
    let (messages, size) = if privileged {
        (HARD_MAX_MESSAGES, HARD_MAX_SIZE)
    } else {
        (MAX_MESSAGES, MAX_SIZE)
    };
    let within = |value: i64, max: usize| {
        usize::try_from(value)
            .ok()
            .filter(|v| (1..=max).contains(v))
    };
    let sizes = (
        within(attr.max_messages, messages),
        within(attr.message_size, size),
    );
    match sizes {
        (Some(messages), Some(size)) => Ok((messages, size)),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_mq_open(
    task: &mut CurrentTask,
    name: UserPath,
    flags: Flags,
    mode: u32,
    attr: UserPtr<MqAttr>,
) -> Result<i32> {
    let creates = flags.has(O_CREAT);
    let attr = if creates { attr.read_opt(task)? } else { None };
    let name = read_name(task, name)?;
    let namespaces = Arc::clone(&task.ns);
    let queues = &namespaces.ipc.objects.queues;
    let (cx, at) = (task.cx(), queues.at());
    let status = OpenFlags::from_bits_truncate(flags.0 & (O_ACCMODE | O_NONBLOCK));
    let file = loop {
        match resolver::lookup(&cx, &at, &name, LookupFlags::empty()) {
            Ok(_) if creates && flags.has(O_EXCL) => return Err(Errno::EEXIST),
            Ok(found) => {
                access::permission(&cx, found.inode(), wanted(flags.0)?)?;
                break open(&cx, found, status)?;
            }
            Err(Errno::ENOENT) if creates => {}
            Err(errno) => return Err(errno),
        }
        let made = create::mkobj(&cx, &at, &name, mode, |_, name, new| {
            queues.add(&cx, name, new, || sizes(task, attr))
        });
        match made {
            // Somebody else was quicker.
            Err(Errno::EEXIST) => {}
            // Its maker may use it in every way, whatever the mode says.
            made => break open(&cx, made?, status)?,
        }
    };
    task.install_fd(file, flags.has(O_CLOEXEC))
}

fn open(cx: &Cx, path: Path, status: OpenFlags) -> Result<Arc<File>> {
    let ops = path.inode().open(cx, status.bits())?;
    Ok(File::new(cx, ops, path, status))
}

/// The permissions that the access mode needs.
fn wanted(flags: u32) -> Result<u32> {
    match flags & O_ACCMODE {
        0 => Ok(access::READ),
        1 => Ok(access::WRITE),
        2 => Ok(access::READ | access::WRITE),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_mq_unlink(task: &mut CurrentTask, name: UserPath) -> Result<()> {
    let name = read_name(task, name)?;
    let at = task.ns.ipc.objects.queues.at();
    unlink::unlink(&task.cx(), &at, &name)
}

fn deadline(task: &CurrentTask, timeout: UserPtr<Timespec>) -> Result<Deadline> {
    let Some(ts) = timeout.read_opt(task)? else {
        return Ok(Deadline::Never);
    };
    let ns = i64::try_from(timespec_ns(&ts)?).unwrap_or(i64::MAX);
    Ok(Deadline::Realtime(ns))
}

fn outcome<T>(waited: std::result::Result<Result<T>, WaitError>) -> Result<T> {
    match waited {
        Ok(result) => result,
        Err(WaitError::TimedOut) => Err(Errno::ETIMEDOUT),
        Err(WaitError::Interrupted) => Err(Errno::ERESTARTSYS),
    }
}

pub(super) fn sys_mq_timedsend(
    task: &mut CurrentTask,
    fd: i32,
    text: u64,
    len: usize,
    priority: u32,
    timeout: UserPtr<Timespec>,
) -> Result<()> {
    if priority >= PRIORITIES {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline(task, timeout)?;
    let file = task.fds.get(fd)?;
    let queue = Arc::clone(
        &file
            .ops_as::<MqFile>()
            .filter(|_| file.writable())
            .ok_or(Errno::EBADF)?
            .0,
    );
    if len > queue.message_size {
        return Err(Errno::EMSGSIZE);
    }
    let mut bytes = vec![0; len];
    task.mm.space.read_bytes(text, &mut bytes)?;
    let told = match queue.send(&bytes, priority) {
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            outcome(task.wait_until(deadline, |_, table| {
                if let Some(table) = table {
                    table.add(queue.changed());
                }
                match queue.send(&bytes, priority) {
                    Err(Errno::EAGAIN) => None,
                    other => Some(other),
                }
            }))
        }
        other => other,
    }?;
    queue.touch(&task.cx());
    if let Some(told) = told {
        notify(task, told);
    }
    Ok(())
}

fn notify(task: &CurrentTask, told: Registration) {
    told.notice.send_cookie(NOTIFY_WOKENUP);
    let Notice::Signal(signal, value) = told.notice else {
        return;
    };
    let group = task
        .kernel
        .tree
        .lock()
        .node(told.tgid)
        .map(|n| Arc::clone(&n.group));
    let Some(group) = group else { return };
    let pid = group.pid_ns.shown(task.task.tgid()).cast_signed();
    let receiver = task.kernel.user_ns_of(&group);
    let uid = receiver.shown_uid(task.task.cred().uid);
    // A full queue of signals loses it.
    let _ = send_to_group(
        &task.kernel,
        &group,
        SigInfo::queue(signal, SI_MESGQ, pid, uid, value),
    );
}

pub(super) fn sys_mq_timedreceive(
    task: &mut CurrentTask,
    fd: i32,
    to: u64,
    room: usize,
    priority: UserPtr<u32>,
    timeout: UserPtr<Timespec>,
) -> Result<usize> {
    let deadline = deadline(task, timeout)?;
    let file = task.fds.get(fd)?;
    let queue = Arc::clone(
        &file
            .ops_as::<MqFile>()
            .filter(|_| file.readable())
            .ok_or(Errno::EBADF)?
            .0,
    );
    if room < queue.message_size {
        return Err(Errno::EMSGSIZE);
    }
    let received = match queue.receive() {
        Err(Errno::EAGAIN) if !file.nonblocking() => {
            queue.sleeping(1);
            let waited = task.wait_until(deadline, |_, table| {
                if let Some(table) = table {
                    table.add(queue.changed());
                }
                match queue.receive() {
                    Err(Errno::EAGAIN) => None,
                    other => Some(other),
                }
            });
            queue.sleeping(-1);
            outcome(waited)
        }
        other => other,
    };
    let (text, found) = received?;
    queue.touch(&task.cx());
    task.mm.space.write_bytes(to, &text)?;
    priority.write_opt(task, &found)?;
    Ok(text.len())
}

pub(super) fn sys_mq_notify(
    task: &mut CurrentTask,
    fd: i32,
    event: UserPtr<SigEvent>,
) -> Result<()> {
    let event = event.read_opt(task)?;
    let tgid = task.task.tgid();
    let registration = match event {
        None => None,
        Some(event) => Some(Registration {
            tgid,
            notice: notice_of(task, &event)?,
            kernel: Arc::downgrade(&task.kernel),
        }),
    };
    let file = task.fds.get(fd)?;
    file.ops_as::<MqFile>()
        .ok_or(Errno::EBADF)?
        .0
        .register(tgid, registration)
}

fn notice_of(task: &CurrentTask, event: &SigEvent) -> Result<Notice> {
    match event.sigev_notify {
        SIGEV_NONE => Ok(Notice::Nothing),
        // Signal 0 keeps others from registering, and nothing is sent.
        SIGEV_SIGNAL if event.sigev_signo == 0 => Ok(Notice::Nothing),
        SIGEV_SIGNAL => {
            let signal = Signal::new(event.sigev_signo)?;
            Ok(Notice::Signal(signal, event.sigev_value))
        }
        SIGEV_THREAD => {
            let mut cookie = [0; COOKIE_LEN];
            task.mm.space.read_bytes(event.sigev_value, &mut cookie)?;
            let file = task.fds.get(event.sigev_signo)?;
            file.ops().as_socket().ok_or(Errno::ENOTSOCK)?;
            if !tuxlet_net::netlink::is_netlink(&**file.ops()) {
                return Err(Errno::EINVAL);
            }
            Ok(Notice::Thread(Arc::clone(file.ops()), cookie))
        }
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_mq_getsetattr(
    task: &mut CurrentTask,
    fd: i32,
    new: UserPtr<MqAttr>,
    old: UserPtr<MqAttr>,
) -> Result<()> {
    let new = new.read_opt(task)?;
    if new.is_some_and(|n| n.flags & !i64::from(O_NONBLOCK) != 0) {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(fd)?;
    let queue = &file.ops_as::<MqFile>().ok_or(Errno::EBADF)?.0;
    let before = MqAttr {
        flags: i64::from((file.flags() & OpenFlags::NONBLOCK).bits()),
        max_messages: queue.max_messages as i64,
        message_size: queue.message_size as i64,
        messages: queue.len() as i64,
        reserved: [0; 4],
    };
    if let Some(new) = new {
        let mut flags = file.flags();
        flags.set(OpenFlags::NONBLOCK, new.flags != 0);
        file.set_flags(&task.cx(), flags)?;
    }
    old.write_opt(task, &before)
}
