//! `SECCOMP_RET_USER_NOTIF`: another process decides about a system call.

use super::filter::Filter;
use crate::{
    syscall::UserPtr,
    task::{CurrentTask, Task},
    wait::WaitError,
};
use parking_lot::Mutex;
use std::{any::Any, sync::Arc};
use tuxlet_sync::WaitQueue;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::{O_CLOEXEC, OpenFlags},
    prctl::{
        SECCOMP_ADDFD_FLAG_SEND, SECCOMP_ADDFD_FLAG_SETFD, SECCOMP_IOCTL_NOTIF_ADDFD,
        SECCOMP_IOCTL_NOTIF_ID_VALID, SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
        SECCOMP_USER_NOTIF_FLAG_CONTINUE, SeccompData, SeccompNotif, SeccompNotifAddfd,
        SeccompNotifResp,
    },
    resource::RLIMIT_NOFILE,
};
use tuxlet_vfs::{Attr, Cx, Events, File, FileOps, PollTable};
use zerocopy::IntoBytes;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// Nobody has seen it.
    Asked,
    /// A listener has received it.
    Received,
    /// What `x0` is to be; `None`: the call is to be performed.
    Answered(Option<u64>),
}

#[derive(Debug)]
struct Notification {
    id: u64,
    task: Arc<Task>,
    data: SeccompData,
    progress: Progress,
}

#[derive(Debug, Default)]
struct Pending {
    list: Vec<Notification>,
    last_id: u64,
    /// The listener's file is closed.
    closed: bool,
    /// No thread has the filter any more.
    unused: bool,
}

/// What a filter's notifications and its listener's file share.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    pending: Mutex<Pending>,
    /// Woken at every change.
    changed: WaitQueue,
}

impl Listener {
    /// The filter is gone.
    pub(super) fn unused(&self) {
        self.pending.lock().unused = true;
        self.changed.wake_all(!0);
    }

    /// Answers the received notification with an id. `ENOENT`, `EINPROGRESS` for one not received.
    fn answer(&self, id: u64, result: Option<u64>) -> Result<()> {
        {
            let mut pending = self.pending.lock();
            let found = pending.list.iter_mut().find(|n| n.id == id);
            let notification = found.ok_or(Errno::ENOENT)?;
            if notification.progress != Progress::Received {
                return Err(Errno::EINPROGRESS);
            }
            notification.progress = Progress::Answered(result);
        }
        self.changed.wake_all(!0);
        Ok(())
    }
}

impl CurrentTask {
    /// Asks the filter's listener: the result of the system call, or `None` to perform it.
    pub(super) fn seccomp_notify(
        &mut self,
        filter: &Arc<Filter>,
        data: &SeccompData,
    ) -> Option<u64> {
        let refused = Some(Errno::ENOSYS.to_ret());
        let Some(listener) = filter.listener.clone() else {
            return refused;
        };
        let id = {
            let mut pending = listener.pending.lock();
            if pending.closed {
                return refused;
            }
            pending.last_id += 1;
            let id = pending.last_id;
            pending.list.push(Notification {
                id,
                task: Arc::clone(&self.task),
                data: *data,
                progress: Progress::Asked,
            });
            id
        };
        listener.changed.wake_all(!0);
        let progress = || {
            let pending = listener.pending.lock();
            let found = pending.list.iter().find(|n| n.id == id);
            found.map_or(Progress::Answered(refused), |n| n.progress)
        };
        let answer = loop {
            let waited = self.wait_until(None, |_, table| {
                if let Some(table) = table {
                    table.add(&listener.changed);
                }
                match progress() {
                    Progress::Answered(result) => Some(result),
                    _ => None,
                }
            });
            match waited {
                Ok(result) => break result,
                // Once received, only the end of the thread counts, if the filter was made so.
                Err(WaitError::Interrupted)
                    if filter.wait_killable
                        && progress() == Progress::Received
                        && self.dying().is_none() =>
                {
                    self.wait_for_answer_or_death(&listener, progress);
                }
                Err(_) => break Some(Errno::ERESTARTSYS.to_ret()),
            }
        };
        listener.pending.lock().list.retain(|n| n.id != id);
        listener.changed.wake_all(!0);
        answer
    }

    fn wait_for_answer_or_death(&self, listener: &Listener, progress: impl Fn() -> Progress) {
        let waiter = Arc::clone(self.task.waiter());
        let mut table = PollTable::new(waiter.clone());
        table.add(&listener.changed);
        while progress() == Progress::Received && self.dying().is_none() {
            waiter.wait(None);
        }
    }

    /// A new listener with its file's descriptor.
    pub(crate) fn open_listener(&self) -> Result<(Arc<Listener>, i32)> {
        let listener = Arc::new(Listener::default());
        let cx = self.cx();
        let ops = Arc::new(ListenerFile {
            listener: Arc::clone(&listener),
            attr: crate::anon::attr(&cx),
        });
        let file = File::anonymous(&cx, ops, b"anon_inode:seccomp notify", OpenFlags::RDWR);
        let fd = self.install_fd(file, true)?;
        Ok((listener, fd))
    }
}

/// The file that seccomp(2) gives for `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
#[derive(Debug)]
pub(crate) struct ListenerFile {
    listener: Arc<Listener>,
    attr: Attr,
}

impl Drop for ListenerFile {
    fn drop(&mut self) {
        {
            let mut pending = self.listener.pending.lock();
            pending.closed = true;
            // Nobody is left to answer; what has been answered stays so.
            for notification in &mut pending.list {
                if !matches!(notification.progress, Progress::Answered(_)) {
                    notification.progress = Progress::Answered(Some(Errno::ENOSYS.to_ret()));
                }
            }
        }
        self.listener.changed.wake_all(!0);
    }
}

impl FileOps for ListenerFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn attr(&self, _cx: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }

    fn seekable(&self) -> bool {
        false
    }

    fn pollable(&self) -> bool {
        true
    }

    fn poll(&self, _cx: &Cx, table: Option<&mut PollTable>) -> Events {
        if let Some(table) = table {
            table.add(&self.listener.changed);
        }
        let pending = self.listener.pending.lock();
        let mut events = Events::empty();
        for notification in &pending.list {
            match notification.progress {
                Progress::Asked => events |= Events::READABLE,
                Progress::Received => events |= Events::WRITABLE,
                Progress::Answered(_) => {}
            }
        }
        if pending.unused {
            events |= Events::HUP;
        }
        events
    }
}

/// ioctl(2) on a listener.
pub(crate) fn ioctl(
    task: &mut CurrentTask,
    file: &ListenerFile,
    request: u32,
    arg: u64,
) -> Result<i64> {
    let listener = &file.listener;
    match request {
        SECCOMP_IOCTL_NOTIF_RECV => receive(task, listener, UserPtr::new(arg)).map(|()| 0),
        SECCOMP_IOCTL_NOTIF_SEND => {
            let answer: SeccompNotifResp = UserPtr::new(arg).read(task)?;
            if answer.flags & !SECCOMP_USER_NOTIF_FLAG_CONTINUE != 0 {
                return Err(Errno::EINVAL);
            }
            let perform = answer.flags != 0;
            if perform && (answer.error != 0 || answer.val != 0) {
                return Err(Errno::EINVAL);
            }
            // As Linux: an error counts before the value.
            let result = if answer.error == 0 {
                answer.val
            } else {
                answer.error.into()
            };
            let result = (!perform).then_some(result.cast_unsigned());
            listener.answer(answer.id, result).map(|()| 0)
        }
        SECCOMP_IOCTL_NOTIF_ID_VALID => {
            let id: u64 = UserPtr::new(arg).read(task)?;
            let pending = listener.pending.lock();
            let valid = |n: &Notification| n.id == id && n.progress == Progress::Received;
            if pending.list.iter().any(valid) {
                Ok(0)
            } else {
                Err(Errno::ENOENT)
            }
        }
        SECCOMP_IOCTL_NOTIF_ADDFD => add_descriptor(task, listener, UserPtr::new(arg)),
        _ => Err(Errno::EINVAL),
    }
}

fn receive(
    task: &mut CurrentTask,
    listener: &Arc<Listener>,
    to: UserPtr<SeccompNotif>,
) -> Result<()> {
    // Room for what later kernels put there must be zero.
    if to.read(task)?.as_bytes().iter().any(|b| *b != 0) {
        return Err(Errno::EINVAL);
    }
    let taken = task.wait_until(None, |task, table| {
        if let Some(table) = table {
            table.add(&listener.changed);
        }
        let mut pending = listener.pending.lock();
        let unused = pending.unused;
        let next = pending
            .list
            .iter_mut()
            .find(|n| n.progress == Progress::Asked);
        match next {
            Some(notification) => {
                notification.progress = Progress::Received;
                Some(Ok(SeccompNotif {
                    id: notification.id,
                    pid: task.shown_pid(notification.task.tid()),
                    flags: 0,
                    data: notification.data,
                }))
            }
            None => unused.then_some(Err(Errno::ENOENT)),
        }
    });
    let notif = match taken {
        Ok(notif) => notif?,
        Err(_) => return Err(Errno::ERESTARTSYS),
    };
    listener.changed.wake_all(!0);
    to.write(task, &notif).inspect_err(|_| {
        let mut pending = listener.pending.lock();
        let lost = pending.list.iter_mut().find(|n| n.id == notif.id);
        if let Some(lost) = lost {
            lost.progress = Progress::Asked;
        }
    })
}

/// `SECCOMP_IOCTL_NOTIF_ADDFD`: puts one of the caller's files among the descriptors of the asking thread.
fn add_descriptor(
    task: &mut CurrentTask,
    listener: &Arc<Listener>,
    from: UserPtr<SeccompNotifAddfd>,
) -> Result<i64> {
    let add = from.read(task)?;
    let send = add.flags & SECCOMP_ADDFD_FLAG_SEND != 0;
    let set = add.flags & SECCOMP_ADDFD_FLAG_SETFD != 0;
    if add.newfd_flags & !O_CLOEXEC != 0
        || add.flags & !(SECCOMP_ADDFD_FLAG_SETFD | SECCOMP_ADDFD_FLAG_SEND) != 0
        || (add.newfd != 0 && !set)
    {
        return Err(Errno::EINVAL);
    }
    let file = task.fds.get(add.srcfd.cast_signed())?;
    let target = {
        let pending = listener.pending.lock();
        let found = pending.list.iter().find(|n| n.id == add.id);
        let notification = found.ok_or(Errno::ENOENT)?;
        if notification.progress != Progress::Received {
            return Err(Errno::EINPROGRESS);
        }
        Arc::clone(&notification.task)
    };
    let fds = target.resources().ok_or(Errno::ENOENT)?.fds;
    let limit = target.group().rlimit(RLIMIT_NOFILE);
    let close_on_exec = add.newfd_flags & O_CLOEXEC != 0;
    let fd = if set {
        let fd = add.newfd.cast_signed();
        if let Some(old) = fds.replace(fd, file, close_on_exec, limit)? {
            // As dup2(2): an error of the implicit close is lost.
            let _ = old.flush(&task.cx());
        }
        fd
    } else {
        fds.install(file, close_on_exec, 0, limit)?
    };
    if send {
        listener.answer(add.id, Some(i64::from(fd).cast_unsigned()))?;
    }
    Ok(fd.into())
}
