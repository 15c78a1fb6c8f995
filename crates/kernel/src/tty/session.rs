//! Sessions and job control: who may use a terminal, and whom its signals reach. tty_ioctl(4), setsid(2).

use super::{Terminals, Tty, file::SlaveFile};
use crate::{
    kernel::Kernel,
    signal::{send_to_group, send_to_process_group},
    task::CurrentTask,
};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
    signal::{SigInfo, Signal},
};
use tuxlet_vfs::{Cx, File, cx::cap};

/// A session's controlling terminal.
#[derive(Clone, Debug)]
pub(super) struct Controlling {
    tty: Arc<Tty>,
    /// The foreground process group.
    foreground: u32,
}

/// A process's place among sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    tgid: u32,
    pgid: u32,
    sid: u32,
    /// It has given up the session's terminal (`TIOCNOTTY`).
    gave_up: bool,
}

impl Caller {
    /// The process that `cx` acts for; `None` for the host.
    fn of(kernel: &Kernel, cx: &Cx) -> Option<Self> {
        Self::process(kernel, cx.tgid)
    }

    fn process(kernel: &Kernel, tgid: u32) -> Option<Self> {
        let tree = kernel.tree.lock();
        let node = tree.node(tgid)?;
        Some(Self {
            tgid,
            pgid: node.pgid,
            sid: node.sid,
            gave_up: node.group.gave_up_tty.load(Ordering::Relaxed),
        })
    }

    fn is_leader(self) -> bool {
        self.sid == self.tgid
    }
}

impl Terminals {
    pub(super) fn foreground_of(&self, tty: &Arc<Tty>) -> Option<u32> {
        self.session_of(tty).map(|(_, c)| c.foreground)
    }

    fn session_of(&self, tty: &Arc<Tty>) -> Option<(u32, Controlling)> {
        let sessions = self.sessions.lock();
        let found = sessions.iter().find(|(_, c)| Arc::ptr_eq(&c.tty, tty));
        found.map(|(sid, c)| (*sid, c.clone()))
    }

    fn controlling(&self, caller: Caller) -> Option<Controlling> {
        if caller.gave_up {
            return None;
        }
        self.sessions.lock().get(&caller.sid).cloned()
    }

    /// A session's terminal as `/proc/PID/stat` shows it: encoded device number and foreground process group.
    #[must_use]
    pub(crate) fn of_session(&self, sid: u32) -> Option<(u64, u32)> {
        let found = self.sessions.lock().get(&sid).cloned()?;
        Some((found.tty.device().encode(), found.foreground))
    }

    /// The terminal of a process: what `/dev/tty` opens.
    pub(super) fn of_process(&self, kernel: &Kernel, cx: &Cx) -> Option<Arc<Tty>> {
        let caller = Caller::of(kernel, cx)?;
        self.controlling(caller).map(|c| c.tty)
    }

    fn take(&self, tty: &Arc<Tty>, caller: Caller) {
        let controlling = Controlling {
            tty: Arc::clone(tty),
            foreground: caller.pgid,
        };
        let old = self.sessions.lock().insert(caller.sid, controlling);
        drop(old);
    }
}

/// Called after each open: a session leader's first terminal becomes its controlling one.
pub(crate) fn opened(task: &CurrentTask, file: &Arc<File>, flags: OpenFlags) {
    let Some(slave) = file.ops_as::<SlaveFile>() else {
        return;
    };
    if flags.contains(OpenFlags::NOCTTY) || !flags.readable() || !slave.may_control() {
        return;
    }
    let kernel = &task.kernel;
    let Some(caller) = Caller::of(kernel, &task.cx()) else {
        return;
    };
    let terminals = &kernel.terminals;
    if caller.is_leader()
        && terminals.controlling(caller).is_none()
        && terminals.session_of(slave.tty()).is_none()
    {
        task.task
            .group()
            .gave_up_tty
            .store(false, Ordering::Relaxed);
        terminals.take(slave.tty(), caller);
    }
}

/// Makes the terminal behind `file` the controlling one of the new session `sid`, and the session's user its
/// owner. Nothing happens if the file is not a terminal's slave.
pub(crate) fn acquire_controlling(kernel: &Kernel, file: &Arc<File>, sid: u32) {
    let Some(slave) = file.ops_as::<SlaveFile>() else {
        return;
    };
    let (caller, uid) = {
        let tree = kernel.tree.lock();
        let Some(node) = tree.node(sid) else { return };
        let caller = Caller {
            tgid: sid,
            pgid: node.pgid,
            sid: node.sid,
            gave_up: false,
        };
        (caller, node.group.owner_uid.load(Ordering::Relaxed))
    };
    slave.tty().inode.give_to(&kernel.host_cx(), uid);
    kernel.terminals.take(slave.tty(), caller);
}

impl Tty {
    /// Stops a background process that reads (`SIGTTIN`) or changes (`SIGTTOU`) its controlling terminal:
    /// `ERESTARTSYS` after the signal is sent, `EIO` if it would be of no use.
    pub(super) fn check_job_control(self: &Arc<Self>, cx: &Cx, signal: Signal) -> Result<()> {
        let Some(kernel) = self.kernel.upgrade() else {
            return Ok(());
        };
        let Some(caller) = Caller::of(&kernel, cx) else {
            return Ok(());
        };
        let Some(own) = kernel.terminals.controlling(caller) else {
            return Ok(());
        };
        if !Arc::ptr_eq(&own.tty, self) || own.foreground == caller.pgid {
            return Ok(());
        }
        let (task, orphaned) = {
            let tree = kernel.tree.lock();
            (
                tree.task(cx.tid).cloned(),
                tree.is_orphaned(caller.pgid, None),
            )
        };
        let ignored = task.is_some_and(|t| {
            t.signals.lock().blocked.contains(signal)
                || t.group().sighand.read().get(signal).is_ignore()
        });
        if ignored {
            return if signal == Signal::SIGTTIN {
                Err(Errno::EIO)
            } else {
                Ok(())
            };
        }
        if orphaned {
            return Err(Errno::EIO);
        }
        send_to_process_group(&kernel, caller.pgid, SigInfo::kernel(signal));
        Err(Errno::ERESTARTSYS)
    }

    /// Whether this is the controlling terminal of the caller.
    pub(super) fn controls(self: &Arc<Self>, kernel: &Kernel, cx: &Cx) -> bool {
        kernel
            .terminals
            .of_process(kernel, cx)
            .is_some_and(|t| Arc::ptr_eq(&t, self))
    }

    /// `TIOCSCTTY`.
    pub(super) fn set_controlling(
        self: &Arc<Self>,
        kernel: &Kernel,
        cx: &Cx,
        steal: bool,
        readable: bool,
    ) -> Result<()> {
        let caller = Caller::of(kernel, cx).ok_or(Errno::EPERM)?;
        let terminals = &kernel.terminals;
        let session = terminals.session_of(self).map(|(sid, _)| sid);
        if caller.is_leader() && session == Some(caller.sid) {
            return Ok(());
        }
        if !caller.is_leader() || terminals.controlling(caller).is_some() {
            return Err(Errno::EPERM);
        }
        let admin = cx.cred.has_cap(cap::SYS_ADMIN);
        if let Some(sid) = session {
            if !steal || !admin {
                return Err(Errno::EPERM);
            }
            let old = terminals.sessions.lock().remove(&sid);
            drop(old);
        }
        if !readable && !admin {
            return Err(Errno::EPERM);
        }
        if let Some(node) = kernel.tree.lock().node(caller.tgid) {
            node.group.gave_up_tty.store(false, Ordering::Relaxed);
        }
        terminals.take(self, caller);
        Ok(())
    }

    /// `TIOCNOTTY`.
    pub(super) fn give_up(self: &Arc<Self>, kernel: &Kernel, cx: &Cx) -> Result<()> {
        let caller = Caller::of(kernel, cx).ok_or(Errno::ENOTTY)?;
        if !self.controls(kernel, cx) {
            return Err(Errno::ENOTTY);
        }
        if caller.is_leader() {
            let old = kernel.terminals.sessions.lock().remove(&caller.sid);
            if let Some(old) = old {
                for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                    send_to_process_group(kernel, old.foreground, SigInfo::kernel(signal));
                }
            }
        } else if let Some(node) = kernel.tree.lock().node(caller.tgid) {
            node.group.gave_up_tty.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `TIOCGPGRP`; through the slave only for the own terminal.
    pub(super) fn foreground(
        self: &Arc<Self>,
        kernel: &Kernel,
        cx: &Cx,
        master: bool,
    ) -> Result<u32> {
        if !master && !self.controls(kernel, cx) {
            return Err(Errno::ENOTTY);
        }
        Ok(kernel.terminals.foreground_of(self).unwrap_or(0))
    }

    /// `TIOCGSID`.
    pub(super) fn session(self: &Arc<Self>, kernel: &Kernel, cx: &Cx, master: bool) -> Result<u32> {
        if !master && !self.controls(kernel, cx) {
            return Err(Errno::ENOTTY);
        }
        let found = kernel.terminals.session_of(self).ok_or(Errno::ENOTTY)?;
        Ok(found.0)
    }

    /// `TIOCSPGRP`.
    pub(super) fn set_foreground(
        self: &Arc<Self>,
        kernel: &Kernel,
        cx: &Cx,
        pgid: impl FnOnce() -> Result<u32>,
    ) -> Result<()> {
        match self.check_job_control(cx, Signal::SIGTTOU) {
            Err(Errno::EIO) => return Err(Errno::ENOTTY),
            other => other?,
        }
        let pgid = pgid()?;
        let caller = Caller::of(kernel, cx).ok_or(Errno::ENOTTY)?;
        if !self.controls(kernel, cx) {
            return Err(Errno::ENOTTY);
        }
        {
            let tree = kernel.tree.lock();
            let member = tree.process_group(pgid).next().ok_or(Errno::ESRCH)?;
            if member.sid != caller.sid {
                return Err(Errno::EPERM);
            }
        }
        if let Some(own) = kernel.terminals.sessions.lock().get_mut(&caller.sid) {
            own.foreground = pgid;
        }
        // A reader that was in the background may go on now.
        self.change(|_| Ok(()))
    }
}

impl Kernel {
    /// The session's leader has died: the foreground group is told, and the session has no terminal any more.
    pub(crate) fn session_leader_died(&self, sid: u32) {
        let old = self.terminals.sessions.lock().remove(&sid);
        if let Some(old) = old {
            let info = SigInfo::kernel(Signal::SIGHUP);
            send_to_process_group(self, old.foreground, info);
        }
    }

    /// A terminal's master is gone: its session's leader is told and loses it.
    pub(super) fn terminal_hung_up(&self, tty: &Arc<Tty>) {
        let Some((sid, _)) = self.terminals.session_of(tty) else {
            return;
        };
        // First, so that whoever is told finds it gone.
        let old = self.terminals.sessions.lock().remove(&sid);
        drop(old);
        let leader = self
            .tree
            .lock()
            .node(sid)
            .filter(|n| n.zombie.is_none())
            .map(|n| Arc::clone(&n.group));
        if let Some(leader) = leader {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                // Standard signals are never refused.
                let _ = send_to_group(self, &leader, SigInfo::kernel(signal));
            }
        }
    }
}
