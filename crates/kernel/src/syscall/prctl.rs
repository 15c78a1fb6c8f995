//! prctl(2), capget(2), capset(2).

use super::UserPtr;
use crate::task::CurrentTask;
use std::sync::atomic::Ordering;
use tuxlet_uapi::{
    capability::{
        _LINUX_CAPABILITY_VERSION_1, _LINUX_CAPABILITY_VERSION_2, _LINUX_CAPABILITY_VERSION_3,
        CAP_LAST_CAP, CAP_SETPCAP, CapData, CapHeader,
    },
    errno::{Errno, Result},
    prctl::{
        PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, PR_CAP_AMBIENT_IS_SET, PR_CAP_AMBIENT_LOWER,
        PR_CAP_AMBIENT_RAISE, PR_CAPBSET_DROP, PR_CAPBSET_READ, PR_GET_AUXV,
        PR_GET_CHILD_SUBREAPER, PR_GET_DUMPABLE, PR_GET_KEEPCAPS, PR_GET_NAME, PR_GET_NO_NEW_PRIVS,
        PR_GET_PDEATHSIG, PR_GET_SECCOMP, PR_GET_SECUREBITS, PR_GET_SPECULATION_CTRL,
        PR_GET_TAGGED_ADDR_CTRL, PR_GET_THP_DISABLE, PR_GET_TID_ADDRESS, PR_GET_TIMERSLACK,
        PR_GET_TIMING, PR_MCE_KILL, PR_MCE_KILL_GET, PR_SET_CHILD_SUBREAPER, PR_SET_DUMPABLE,
        PR_SET_KEEPCAPS, PR_SET_MM, PR_SET_MM_ARG_END, PR_SET_MM_ARG_START, PR_SET_MM_ENV_END,
        PR_SET_MM_ENV_START, PR_SET_NAME, PR_SET_NO_NEW_PRIVS, PR_SET_PDEATHSIG, PR_SET_SECCOMP,
        PR_SET_SECUREBITS, PR_SET_TAGGED_ADDR_CTRL, PR_SET_THP_DISABLE, PR_SET_TIMERSLACK,
        PR_SET_TIMING, PR_SET_VMA, PR_SET_VMA_ANON_NAME, PR_TAGGED_ADDR_ENABLE,
        PR_TASK_PERF_EVENTS_DISABLE, PR_TASK_PERF_EVENTS_ENABLE, SECBIT_KEEP_CAPS,
        SECBIT_KEEP_CAPS_LOCKED, SECBIT_NO_CAP_AMBIENT_RAISE,
    },
    signal::Signal,
};
use tuxlet_vfs::{Cred, cx::CAP_FULL, cx::cap};

/// All `SECBIT_*` flags.
const SECUREBITS_ALL: u32 = 0xff;
/// The locks among them.
const SECUREBITS_LOCKS: u32 = 0xaa;
/// `PR_MCE_KILL_DEFAULT`.
const MCE_KILL_DEFAULT: u64 = 2;
/// Longest name of a thread, without its zero.
const COMM_MAX: usize = 15;
/// Longest name of a mapping, with its zero.
const ANON_NAME_MAX: usize = 80;

/// `EINVAL` unless all of some unused arguments are zero.
fn unused(args: &[u64]) -> Result<()> {
    if args.iter().all(|a| *a == 0) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

fn boolean(arg: u64) -> Result<bool> {
    match arg {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn sys_prctl(
    task: &mut CurrentTask,
    option: u32,
    a: u64,
    b: u64,
    c: u64,
    d: u64,
) -> Result<u64> {
    let done = |()| 0;
    match option {
        PR_SET_NAME => {
            let name = match task.mm.space.copy_in_cstr(a, COMM_MAX)? {
                Some(name) => name,
                None => {
                    let mut name = vec![0; COMM_MAX];
                    task.mm.space.read_bytes(a, &mut name)?;
                    name
                }
            };
            task.task.set_comm(&name);
            Ok(0)
        }
        PR_GET_NAME => {
            let mut name = [0; 16];
            let comm = task.task.comm();
            name[..comm.len()].copy_from_slice(&comm);
            task.mm.space.write_bytes(a, &name).map(done)
        }
        PR_SET_PDEATHSIG => {
            if a != 0 {
                i32::try_from(a)
                    .map_err(|_| Errno::EINVAL)
                    .and_then(Signal::new)?;
            }
            task.task.pdeath_signal.store(a as u8, Ordering::Relaxed);
            Ok(0)
        }
        PR_GET_PDEATHSIG => {
            let signal = i32::from(task.task.pdeath_signal.load(Ordering::Relaxed));
            UserPtr::<i32>::new(a).write(task, &signal).map(done)
        }
        PR_GET_DUMPABLE => Ok(task.task.group().dumpable.load(Ordering::Relaxed).into()),
        PR_SET_DUMPABLE => {
            task.task
                .group()
                .dumpable
                .store(boolean(a)?, Ordering::Relaxed);
            Ok(0)
        }
        PR_SET_NO_NEW_PRIVS => {
            unused(&[b, c, d])?;
            if a != 1 {
                return Err(Errno::EINVAL);
            }
            task.change_cred(|cred| cred.no_new_privs = true);
            Ok(0)
        }
        PR_GET_NO_NEW_PRIVS => {
            unused(&[a, b, c, d])?;
            Ok(task.task.cred().no_new_privs.into())
        }
        PR_SET_CHILD_SUBREAPER => {
            if let Some(node) = task.kernel.tree.lock().node_mut(task.task.tgid()) {
                node.subreaper = a != 0;
            }
            Ok(0)
        }
        PR_GET_CHILD_SUBREAPER => {
            let subreaper = task
                .kernel
                .tree
                .lock()
                .node(task.task.tgid())
                .is_some_and(|n| n.subreaper);
            UserPtr::<i32>::new(a)
                .write(task, &i32::from(subreaper))
                .map(done)
        }
        PR_GET_TID_ADDRESS => UserPtr::<u64>::new(a)
            .write(task, &task.clear_child_tid)
            .map(done),
        PR_GET_KEEPCAPS | PR_SET_KEEPCAPS | PR_GET_SECUREBITS | PR_SET_SECUREBITS
        | PR_CAPBSET_READ | PR_CAPBSET_DROP | PR_CAP_AMBIENT => {
            capability_option(task, option, [a, b, c, d])
        }
        PR_SET_VMA => set_vma(task, [a, b, c, d]).map(done),
        PR_SET_TIMERSLACK => {
            let mut settings = task.task.settings.lock();
            settings.timer_slack = if a == 0 || a.cast_signed() < 0 {
                settings.default_timer_slack
            } else {
                a
            };
            Ok(0)
        }
        PR_GET_TIMERSLACK => Ok(task.task.settings.lock().timer_slack),
        PR_SET_TAGGED_ADDR_CTRL => {
            unused(&[b, c, d])?;
            if a & !PR_TAGGED_ADDR_ENABLE != 0 {
                return Err(Errno::EINVAL);
            }
            task.task.settings.lock().tagged_addr = a;
            Ok(0)
        }
        PR_GET_TAGGED_ADDR_CTRL => {
            unused(&[a, b, c, d])?;
            Ok(task.task.settings.lock().tagged_addr)
        }
        PR_SET_THP_DISABLE => {
            unused(&[b, c, d])?;
            task.task.settings.lock().thp_disable = a != 0;
            Ok(0)
        }
        PR_GET_THP_DISABLE => {
            unused(&[a, b, c, d])?;
            Ok(task.task.settings.lock().thp_disable.into())
        }
        PR_SET_MM => set_mm(task, a as u32, b).map(done),
        PR_GET_AUXV => {
            unused(&[c, d])?;
            let auxv = task.mm.layout.lock().auxv.clone();
            let len = usize::try_from(b).map_or(auxv.len(), |room| room.min(auxv.len()));
            task.mm.space.write_bytes(a, &auxv[..len])?;
            Ok(auxv.len() as u64)
        }
        // There are no performance counters to switch.
        PR_TASK_PERF_EVENTS_DISABLE | PR_TASK_PERF_EVENTS_ENABLE => Ok(0),
        // Statistical process timing is the only kind.
        PR_GET_TIMING => Ok(0),
        PR_SET_TIMING => unused(&[a]).map(done),
        PR_GET_SECCOMP => Ok(task.task.seccomp_status().0.into()),
        PR_SET_SECCOMP => super::seccomp::set_mode(task, a, b),
        PR_MCE_KILL => unused(&[c, d]).map(done),
        PR_MCE_KILL_GET => unused(&[a, b, c, d]).map(|()| MCE_KILL_DEFAULT),
        PR_GET_SPECULATION_CTRL => {
            unused(&[b, c, d])?;
            // An interpreter does not speculate: PR_SPEC_NOT_AFFECTED.
            if a <= 2 { Ok(0) } else { Err(Errno::ENODEV) }
        }
        _ => Err(Errno::EINVAL),
    }
}

impl CurrentTask {
    /// Changes the credentials.
    fn change_cred(&self, change: impl FnOnce(&mut Cred)) {
        let mut cred = (*self.task.cred()).clone();
        change(&mut cred);
        self.task.set_cred(cred);
    }
}

fn capability_option(task: &CurrentTask, option: u32, [a, b, c, d]: [u64; 4]) -> Result<u64> {
    let cred = task.task.cred();
    let bit = |cap: u64| {
        if cap > u64::from(CAP_LAST_CAP) {
            Err(Errno::EINVAL)
        } else {
            Ok(1u64 << cap)
        }
    };
    match option {
        PR_GET_KEEPCAPS => Ok(u64::from(cred.securebits & SECBIT_KEEP_CAPS != 0)),
        PR_SET_KEEPCAPS => {
            let on = boolean(a)?;
            if cred.securebits & SECBIT_KEEP_CAPS_LOCKED != 0 {
                return Err(Errno::EPERM);
            }
            task.change_cred(|cred| {
                cred.securebits &= !SECBIT_KEEP_CAPS;
                cred.securebits |= if on { SECBIT_KEEP_CAPS } else { 0 };
            });
            Ok(0)
        }
        PR_GET_SECUREBITS => Ok(cred.securebits.into()),
        PR_SET_SECUREBITS => {
            let new = u32::try_from(a).map_err(|_| Errno::EPERM)?;
            let locked = (cred.securebits & SECUREBITS_LOCKS) >> 1;
            let changes = cred.securebits ^ new;
            let unlocks = cred.securebits & SECUREBITS_LOCKS & !new != 0;
            if new & !SECUREBITS_ALL != 0
                || changes & locked != 0
                || unlocks
                || !cred.has_own_cap(CAP_SETPCAP)
            {
                return Err(Errno::EPERM);
            }
            task.change_cred(|cred| cred.securebits = new);
            Ok(0)
        }
        PR_CAPBSET_READ => Ok(u64::from(cred.cap_bounding & bit(a)? != 0)),
        PR_CAPBSET_DROP => {
            if !cred.has_own_cap(CAP_SETPCAP) {
                return Err(Errno::EPERM);
            }
            let bit = bit(a)?;
            task.change_cred(|cred| cred.cap_bounding &= !bit);
            Ok(0)
        }
        _ => {
            if a == u64::from(PR_CAP_AMBIENT_CLEAR_ALL) {
                unused(&[b, c, d])?;
                task.change_cred(|cred| cred.cap_ambient = 0);
                return Ok(0);
            }
            unused(&[c, d])?;
            let bit = bit(b)?;
            match u32::try_from(a) {
                Ok(PR_CAP_AMBIENT_IS_SET) => Ok(u64::from(cred.cap_ambient & bit != 0)),
                Ok(PR_CAP_AMBIENT_RAISE) => {
                    let allowed = cred.cap_permitted & cred.cap_inheritable & bit != 0
                        && cred.securebits & SECBIT_NO_CAP_AMBIENT_RAISE == 0;
                    if !allowed {
                        return Err(Errno::EPERM);
                    }
                    task.change_cred(|cred| cred.cap_ambient |= bit);
                    Ok(0)
                }
                Ok(PR_CAP_AMBIENT_LOWER) => {
                    task.change_cred(|cred| cred.cap_ambient &= !bit);
                    Ok(0)
                }
                _ => Err(Errno::EINVAL),
            }
        }
    }
}

/// `PR_SET_VMA_ANON_NAME`: names anonymous memory in `/proc/PID/maps`.
fn set_vma(task: &CurrentTask, [what, start, len, name]: [u64; 4]) -> Result<()> {
    if what != u64::from(PR_SET_VMA_ANON_NAME) || start & tuxlet_mem::PAGE_MASK != 0 {
        return Err(Errno::EINVAL);
    }
    let name = if name == 0 {
        None
    } else {
        let bytes = task.mm.space.read_cstr(name, ANON_NAME_MAX).map_err(|e| {
            if e == Errno::ENAMETOOLONG {
                Errno::EINVAL
            } else {
                e
            }
        })?;
        let printable = |b: &u8| (0x20..0x7f).contains(b) && !b"\\`$[]".contains(b);
        if !bytes.iter().all(printable) {
            return Err(Errno::EINVAL);
        }
        Some(bytes)
    };
    let len = len
        .checked_next_multiple_of(tuxlet_mem::PAGE_SIZE)
        .ok_or(Errno::EINVAL)?;
    let end = start.checked_add(len).ok_or(Errno::EINVAL)?;
    if end == start {
        return Ok(());
    }
    let range = start..end;
    if !task.mm.space.is_mapped(&range) {
        return Err(Errno::ENOMEM);
    }
    if task.mm.space.set_anon_name(&range, name.as_deref()) {
        Ok(())
    } else {
        Err(Errno::EBADF)
    }
}

/// `PR_SET_MM`: where `/proc/PID/cmdline` and `environ` look.
fn set_mm(task: &CurrentTask, what: u32, addr: u64) -> Result<()> {
    if !task.task.cred().has_cap(cap::SYS_RESOURCE) {
        return Err(Errno::EPERM);
    }
    if addr >= tuxlet_mem::TASK_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut layout = task.mm.layout.lock();
    match what {
        PR_SET_MM_ARG_START => layout.args.0 = addr,
        PR_SET_MM_ARG_END => layout.args.1 = addr,
        PR_SET_MM_ENV_START => layout.env.0 = addr,
        PR_SET_MM_ENV_END => layout.env.1 = addr,
        // DEVIATION: the other fields stay what execve(2) made them.
        _ => return Err(Errno::EINVAL),
    }
    Ok(())
}

/// How many `struct __user_cap_data_struct` a version has. An unknown version is answered with ours.
fn cap_words(task: &CurrentTask, header: UserPtr<CapHeader>, got: &CapHeader) -> Result<usize> {
    match got.version {
        _LINUX_CAPABILITY_VERSION_1 => Ok(1),
        _LINUX_CAPABILITY_VERSION_2 | _LINUX_CAPABILITY_VERSION_3 => Ok(2),
        _ => {
            header.write(
                task,
                &CapHeader {
                    version: _LINUX_CAPABILITY_VERSION_3,
                    ..*got
                },
            )?;
            Err(Errno::EINVAL)
        }
    }
}

pub(super) fn sys_capget(
    task: &mut CurrentTask,
    header: UserPtr<CapHeader>,
    data: UserPtr<CapData>,
) -> Result<()> {
    let got = header.read(task)?;
    let words = match cap_words(task, header, &got) {
        // A probe for the version.
        Err(Errno::EINVAL) if data.is_null() => return Ok(()),
        words => words?,
    };
    if got.pid < 0 {
        return Err(Errno::EINVAL);
    }
    let cred = super::limits::find_task(task, got.pid)?.cred();
    if data.is_null() {
        return Ok(());
    }
    for word in 0..words {
        let part = |set: u64| (set >> (32 * word)) as u32;
        let value = CapData {
            effective: part(cred.cap_effective),
            permitted: part(cred.cap_permitted),
            inheritable: part(cred.cap_inheritable),
        };
        data.offset(word as u64).write(task, &value)?;
    }
    Ok(())
}

pub(super) fn sys_capset(
    task: &mut CurrentTask,
    header: UserPtr<CapHeader>,
    data: UserPtr<CapData>,
) -> Result<()> {
    let got = header.read(task)?;
    let words = cap_words(task, header, &got)?;
    if got.pid != 0 && got.pid.cast_unsigned() != task.task.own_tid() {
        return Err(Errno::EPERM);
    }
    let (mut effective, mut permitted, mut inheritable) = (0, 0, 0);
    for (word, part) in data.read_vec(task, words)?.iter().enumerate() {
        effective |= u64::from(part.effective) << (32 * word);
        permitted |= u64::from(part.permitted) << (32 * word);
        inheritable |= u64::from(part.inheritable) << (32 * word);
    }
    (effective, permitted, inheritable) = (
        effective & CAP_FULL,
        permitted & CAP_FULL,
        inheritable & CAP_FULL,
    );
    let old = task.task.cred();
    // capabilities(7), "Programmatically adjusting capability sets".
    let may_inherit = old.cap_inheritable | old.cap_permitted;
    let too_much = permitted & !old.cap_permitted != 0
        || effective & !permitted != 0
        || (!old.has_own_cap(CAP_SETPCAP) && inheritable & !may_inherit != 0)
        || inheritable & !(old.cap_inheritable | old.cap_bounding) != 0;
    if too_much {
        return Err(Errno::EPERM);
    }
    task.change_cred(|cred| {
        cred.cap_effective = effective;
        cred.cap_permitted = permitted;
        cred.cap_inheritable = inheritable;
        cred.cap_ambient &= permitted & inheritable;
    });
    Ok(())
}
