//! The tracer's requests.

use super::{Ptrace, regset};
use crate::{
    seccomp::filter,
    signal::send_to_task,
    syscall::UserPtr,
    task::{CurrentTask, Task, hook},
};
use parking_lot::MutexGuard;
use std::sync::Arc;
use tuxlet_uapi::{
    elf::EM_AARCH64,
    errno::{Errno, Result},
    prctl::SECCOMP_MODE_FILTER,
    ptrace::{
        PTRACE_ATTACH, PTRACE_CONT, PTRACE_DETACH, PTRACE_EVENT_SECCOMP,
        PTRACE_EVENTMSG_SYSCALL_ENTRY, PTRACE_EVENTMSG_SYSCALL_EXIT, PTRACE_GET_SYSCALL_INFO,
        PTRACE_GETEVENTMSG, PTRACE_GETREGSET, PTRACE_GETSIGINFO, PTRACE_GETSIGMASK,
        PTRACE_INTERRUPT, PTRACE_KILL, PTRACE_LISTEN, PTRACE_PEEKDATA, PTRACE_PEEKSIGINFO,
        PTRACE_PEEKSIGINFO_SHARED, PTRACE_PEEKTEXT, PTRACE_POKEDATA, PTRACE_POKETEXT,
        PTRACE_SECCOMP_GET_FILTER, PTRACE_SEIZE, PTRACE_SETOPTIONS, PTRACE_SETREGSET,
        PTRACE_SETSIGINFO, PTRACE_SETSIGMASK, PTRACE_SINGLESTEP, PTRACE_SYSCALL,
        PTRACE_SYSCALL_INFO_ENTRY, PTRACE_SYSCALL_INFO_EXIT, PTRACE_SYSCALL_INFO_NONE,
        PTRACE_SYSCALL_INFO_SECCOMP, PTRACE_SYSEMU, PTRACE_SYSEMU_SINGLESTEP, PTRACE_TRACEME,
        PtracePeeksiginfoArgs, PtraceSyscallInfo,
    },
    signal::{SigInfo, SigSet, Signal},
    socket::Iovec,
};
use tuxlet_vfs::cx::cap;
use zerocopy::IntoBytes;

/// `AUDIT_ARCH_AARCH64`: the machine's ELF number, 64 bit, little-endian.
pub(crate) const AUDIT_ARCH_AARCH64: u32 = EM_AARCH64 as u32 | 0xc000_0000;
/// Bytes of a word that is peeked or poked.
const WORD: usize = 8;
/// Highest signal number.
const SIGNAL_MAX: u64 = 64;

/// Performs a request. `tid` names the tracee.
pub(crate) fn ptrace(
    task: &mut CurrentTask,
    request: u64,
    tid: u32,
    addr: u64,
    data: u64,
) -> Result<u64> {
    let Ok(request) = u32::try_from(request) else {
        return find(task, tid).and(Err(Errno::EIO));
    };
    match request {
        PTRACE_TRACEME => return task.ptrace_traceme().map(|()| 0),
        PTRACE_ATTACH => {
            let target = find(task, tid)?;
            return task.ptrace_attach(&target, None).map(|()| 0);
        }
        PTRACE_SEIZE => {
            let target = find(task, tid)?;
            if addr != 0 || data & !u64::from(super::OPTIONS) != 0 {
                return Err(Errno::EIO);
            }
            let options = task.check_ptrace_options(data)?;
            return task.ptrace_attach(&target, Some(options)).map(|()| 0);
        }
        _ => {}
    }
    let child = find(task, tid)?;
    let ours = |state: &Ptrace| {
        state
            .tracer
            .as_ref()
            .is_some_and(|t| Arc::ptr_eq(t, &task.task))
    };
    if !ours(&child.ptrace.lock()) {
        return Err(Errno::ESRCH);
    }
    // These two work on running tracees as well.
    match request {
        PTRACE_KILL => {
            let _ = send_to_task(&task.kernel, &child, SigInfo::kernel(Signal::SIGKILL));
            return Ok(0);
        }
        PTRACE_INTERRUPT => return interrupt(&child).map(|()| 0),
        _ => {}
    }
    {
        let mut state = child.ptrace.lock();
        let listening = state.listening;
        if listening || state.resting().is_none() {
            return Err(Errno::ESRCH);
        }
    }
    on_stopped(task, &child, request, addr, data)
}

fn find(task: &CurrentTask, tid: u32) -> Result<Arc<Task>> {
    let tid = task.given_pid(tid)?;
    let tree = task.kernel.tree.lock();
    tree.task(tid).cloned().ok_or(Errno::ESRCH)
}

fn interrupt(child: &Arc<Task>) -> Result<()> {
    let mut state = child.ptrace.lock();
    if !state.seized {
        return Err(Errno::EIO);
    }
    state.trap_stop = true;
    child.wake_listener(state);
    Ok(())
}

/// Requests that need the tracee in a stop.
fn on_stopped(
    task: &mut CurrentTask,
    child: &Arc<Task>,
    request: u32,
    addr: u64,
    data: u64,
) -> Result<u64> {
    let done = |()| 0;
    let mut state = child.ptrace.lock();
    match request {
        PTRACE_PEEKTEXT | PTRACE_PEEKDATA => {
            drop(state);
            let mut word = [0; WORD];
            let n = peek(child, addr, &mut word)?;
            if n < WORD {
                return Err(Errno::EIO);
            }
            UserPtr::new(data)
                .write(task, &u64::from_ne_bytes(word))
                .map(done)
        }
        PTRACE_POKETEXT | PTRACE_POKEDATA => {
            drop(state);
            let space = Arc::clone(&child.resources().ok_or(Errno::ESRCH)?.mm.space);
            match space.poke(addr, &data.to_ne_bytes()) {
                Ok(WORD) => Ok(0),
                _ => Err(Errno::EIO),
            }
        }
        PTRACE_SETOPTIONS => {
            drop(state);
            let options = task.check_ptrace_options(data)?;
            child.ptrace.lock().options = options;
            Ok(0)
        }
        PTRACE_GETEVENTMSG => {
            let message = state.message;
            drop(state);
            UserPtr::new(data).write(task, &message).map(done)
        }
        PTRACE_GETSIGINFO => {
            let info = state.resting().and_then(|s| s.info).ok_or(Errno::EINVAL)?;
            drop(state);
            UserPtr::new(data).write(task, &info).map(done)
        }
        PTRACE_SETSIGINFO => {
            drop(state);
            let new: SigInfo = UserPtr::new(data).read(task)?;
            let mut state = child.ptrace.lock();
            let stop = state.resting().ok_or(Errno::ESRCH)?;
            *stop.info.as_mut().ok_or(Errno::EINVAL)? = new;
            Ok(0)
        }
        PTRACE_PEEKSIGINFO => {
            drop(state);
            peek_siginfo(task, child, addr, data)
        }
        PTRACE_GETSIGMASK | PTRACE_SETSIGMASK => {
            drop(state);
            signal_mask(task, child, request == PTRACE_SETSIGMASK, addr, data).map(done)
        }
        PTRACE_GETREGSET | PTRACE_SETREGSET => {
            drop(state);
            register_set(task, child, request == PTRACE_SETREGSET, addr, data).map(done)
        }
        PTRACE_GET_SYSCALL_INFO => {
            let info = syscall_info(&mut state)?;
            drop(state);
            let len = (info.len() as u64).min(addr);
            task.mm.space.write_bytes(data, &info[..len as usize])?;
            Ok(info.len() as u64)
        }
        PTRACE_SECCOMP_GET_FILTER => {
            drop(state);
            get_filter(task, child, addr, data)
        }
        PTRACE_LISTEN => listen(child, state).map(done),
        PTRACE_DETACH => {
            drop(state);
            let signal = signal_number(data)?;
            task.kernel.ptrace_detach(child, Some(signal));
            Ok(0)
        }
        PTRACE_CONT
        | PTRACE_SYSCALL
        | PTRACE_SINGLESTEP
        | PTRACE_SYSEMU
        | PTRACE_SYSEMU_SINGLESTEP => {
            let signal = signal_number(data)?;
            child.clear_hooks(hook::SYSCALL | hook::EMULATE | hook::STEP);
            child.set_hooks(match request {
                PTRACE_SYSCALL => hook::SYSCALL,
                PTRACE_SINGLESTEP => hook::STEP,
                PTRACE_SYSEMU => hook::EMULATE,
                PTRACE_SYSEMU_SINGLESTEP => hook::EMULATE | hook::STEP,
                _ => 0,
            });
            child.resume(state, signal);
            Ok(0)
        }
        _ => Err(Errno::EIO),
    }
}

fn signal_number(data: u64) -> Result<i32> {
    if data <= SIGNAL_MAX {
        Ok(data as i32)
    } else {
        Err(Errno::EIO)
    }
}

/// Reads the tracee's memory. `EIO`.
fn peek(child: &Task, addr: u64, to: &mut [u8]) -> Result<usize> {
    let space = Arc::clone(&child.resources().ok_or(Errno::ESRCH)?.mm.space);
    space.peek(addr, to).map_err(|_| Errno::EIO)
}

fn listen(child: &Arc<Task>, mut state: MutexGuard<'_, Ptrace>) -> Result<()> {
    let seized = state.seized;
    if !seized || !state.resting().is_some_and(|s| s.is_event_stop()) {
        return Err(Errno::EIO);
    }
    state.listening = true;
    // Something has happened since the stop began.
    if state.trap_notify {
        child.wake_listener(state);
    }
    Ok(())
}

/// `PTRACE_SECCOMP_GET_FILTER`: the program of a filter, the oldest being number 0; its length.
fn get_filter(task: &CurrentTask, child: &Task, index: u64, data: u64) -> Result<u64> {
    if !task.task.cred().has_cap(cap::SYS_ADMIN) || task.task.hooks() & hook::SECCOMP != 0 {
        return Err(Errno::EACCES);
    }
    let state = child.seccomp.lock().clone();
    if state.mode != SECCOMP_MODE_FILTER {
        return Err(Errno::EINVAL);
    }
    let filters: Vec<_> = filter::chain(state.filter.as_ref()).collect();
    let filter = usize::try_from(index)
        .ok()
        .and_then(|i| filters.iter().rev().nth(i))
        .ok_or(Errno::ENOENT)?;
    let source = filter.program().source();
    if data != 0 {
        task.mm.space.write_bytes(data, source.as_bytes())?;
    }
    Ok(source.len() as u64)
}

fn peek_siginfo(task: &CurrentTask, child: &Task, addr: u64, data: u64) -> Result<u64> {
    let args: PtracePeeksiginfoArgs = UserPtr::new(addr).read(task)?;
    if args.flags & !PTRACE_PEEKSIGINFO_SHARED != 0 || args.nr < 0 {
        return Err(Errno::EINVAL);
    }
    let queued: Vec<SigInfo> = if args.flags & PTRACE_PEEKSIGINFO_SHARED != 0 {
        child.group().signals.lock().queue.iter().copied().collect()
    } else {
        child.signals.lock().queue.iter().copied().collect()
    };
    let first = usize::try_from(args.off).unwrap_or(usize::MAX);
    let count = usize::try_from(args.nr).map_err(|_| Errno::EINVAL)?;
    let mut to = UserPtr::<SigInfo>::new(data);
    let mut done = 0;
    for info in queued.iter().skip(first).take(count) {
        match to.write(task, info) {
            Ok(()) => {}
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
        to = to.offset(1);
        done += 1;
    }
    Ok(done)
}

fn signal_mask(task: &CurrentTask, child: &Task, set: bool, size: u64, data: u64) -> Result<()> {
    if size != size_of::<u64>() as u64 {
        return Err(Errno::EINVAL);
    }
    let at = UserPtr::<u64>::new(data);
    if set {
        let mask = SigSet(at.read(task)?).difference(SigSet::UNBLOCKABLE);
        let mut signals = child.signals.lock();
        signals.blocked = mask;
        signals.saved_mask = None;
        drop(signals);
        // It looks at what the mask lets in when it goes on.
        child.notify(crate::task::work::SIGNAL);
        return Ok(());
    }
    let mask = {
        let signals = child.signals.lock();
        signals.saved_mask.unwrap_or(signals.blocked)
    };
    at.write(task, &mask.0)
}

fn register_set(task: &CurrentTask, child: &Task, set: bool, kind: u64, data: u64) -> Result<()> {
    let kind = u32::try_from(kind).map_err(|_| Errno::EINVAL)?;
    let at = UserPtr::<Iovec>::new(data);
    let mut iov = at.read(task)?;
    if set {
        let len = regset::accepted(&child.ptrace.lock(), kind, iov.iov_len)?;
        let mut bytes = vec![0; len];
        task.mm.space.read_bytes(iov.iov_base, &mut bytes)?;
        let mut state = child.ptrace.lock();
        regset::set(&mut state, kind, &bytes)?;
        if state.debug.in_use() {
            child.set_hooks(hook::DEBUG);
        } else {
            child.clear_hooks(hook::DEBUG);
        }
        drop(state);
        iov.iov_len = len as u64;
    } else {
        let bytes = regset::get(&child.ptrace.lock(), kind, iov.iov_len)?;
        task.mm.space.write_bytes(iov.iov_base, &bytes)?;
        iov.iov_len = bytes.len() as u64;
    }
    at.write(task, &iov)
}

/// `PTRACE_GET_SYSCALL_INFO`: as much of the structure as the kind of stop has.
fn syscall_info(state: &mut Ptrace) -> Result<Vec<u8>> {
    let message = state.message;
    let stop = state.resting().ok_or(Errno::ESRCH)?;
    let regs = &stop.regs;
    let mut info = PtraceSyscallInfo {
        op: PTRACE_SYSCALL_INFO_NONE,
        arch: AUDIT_ARCH_AARCH64,
        instruction_pointer: regs.pc,
        stack_pointer: regs.sp,
        ..PtraceSyscallInfo::default()
    };
    let code = stop.info.map_or(0, |i| i.si_code);
    let seccomp = Signal::SIGTRAP.number() | PTRACE_EVENT_SECCOMP.cast_signed() << 8;
    let system_call = Signal::SIGTRAP.number() | 0x80;
    let call = || {
        let number = i64::from(stop.syscall).cast_unsigned();
        let x = &regs.x;
        [number, stop.orig_x0, x[1], x[2], x[3], x[4], x[5]]
    };
    // How many bytes of the union are valid.
    let valid = if code == system_call && message == PTRACE_EVENTMSG_SYSCALL_ENTRY {
        info.op = PTRACE_SYSCALL_INFO_ENTRY;
        info._data[..7].copy_from_slice(&call());
        56
    } else if code == system_call && message == PTRACE_EVENTMSG_SYSCALL_EXIT {
        let result = regs.x[0];
        let failed = result >= (-i64::from(Errno::MAX)).cast_unsigned();
        info.op = PTRACE_SYSCALL_INFO_EXIT;
        info._data[..2].copy_from_slice(&[result, failed.into()]);
        9
    } else if code == seccomp {
        info.op = PTRACE_SYSCALL_INFO_SECCOMP;
        info._data[..7].copy_from_slice(&call());
        info._data[7] = message & 0xffff_ffff;
        60
    } else {
        0
    };
    let head = core::mem::offset_of!(PtraceSyscallInfo, _data);
    Ok(info.as_bytes()[..head + valid].to_vec())
}
