//! ppoll(2), pselect6(2).

use super::UserPtr;
use crate::{
    clock::{instant_after, ns_timespec, timespec_ns},
    task::{CurrentTask, SyscallRestart},
    wait::WaitError,
};
use std::{sync::Arc, time::Instant};
use tuxlet_uapi::{
    errno::{Errno, Result},
    poll::Pollfd,
    resource::RLIMIT_NOFILE,
    signal::SigSet,
    time::Timespec,
};
use tuxlet_vfs::{Events, File};

/// Reported whether asked for or not.
const ALWAYS: Events = Events::ERR.union(Events::HUP).union(Events::NVAL);

/// Descriptors that select(2) can name.
const FD_SETSIZE: usize = 1024;

fn deadline_of(timeout: Option<Timespec>) -> Result<Option<Instant>> {
    timeout
        .map(|ts| timespec_ns(&ts).map(instant_after))
        .transpose()
}

/// Installs the temporary mask of a `p` call, unless the pointer is null.
pub(super) fn temporary_mask(
    task: &mut CurrentTask,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<()> {
    if let Some(mask) = mask.read_opt(task)? {
        if size != size_of::<SigSet>() {
            return Err(Errno::EINVAL);
        }
        task.set_temporary_mask(mask);
    }
    Ok(())
}

/// Writes what is left of a timeout back, as the system call does (the library function hides it).
fn write_rest(task: &CurrentTask, timeout: UserPtr<Timespec>, deadline: Option<Instant>) {
    if let Some(deadline) = deadline {
        let rest = deadline.saturating_duration_since(Instant::now());
        // Linux ignores a timeout that cannot be written.
        let _ = timeout.write(
            task,
            &ns_timespec(u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX)),
        );
    }
}

/// What is ready now of some files; registers with the table, if there is one.
fn check(
    task: &CurrentTask,
    files: &[(Option<Arc<File>>, Events)],
    mut table: Option<&mut tuxlet_vfs::PollTable>,
) -> Option<Vec<Events>> {
    let cx = task.cx();
    let mut any = false;
    let ready = files.iter().map(|(file, want)| {
        let events = match file {
            Some(file) => file.poll(&cx, table.as_deref_mut()) & (*want | ALWAYS),
            None => Events::NVAL,
        };
        any |= !events.is_empty();
        events
    });
    let ready: Vec<Events> = ready.collect();
    any.then_some(ready)
}

pub(super) fn sys_ppoll(
    task: &mut CurrentTask,
    fds: UserPtr<Pollfd>,
    count: u32,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<SigSet>,
    size: usize,
) -> Result<u32> {
    let deadline = deadline_of(timeout.read_opt(task)?)?;
    temporary_mask(task, mask, size)?;
    let result = poll_until(task, fds, count, deadline);
    write_rest(task, timeout, deadline);
    match result {
        Err(Errno::ERESTART_RESTARTBLOCK) => {
            task.restart = None;
            // With a rest that was written back the call can be done again as it is.
            Err(Errno::ERESTARTNOHAND)
        }
        other => {
            task.end_temporary_mask();
            other
        }
    }
}

/// Polls until a deadline; interrupted, it leaves a note for restart_syscall(2).
pub(super) fn poll_until(
    task: &mut CurrentTask,
    fds: UserPtr<Pollfd>,
    count: u32,
    deadline: Option<Instant>,
) -> Result<u32> {
    if u64::from(count) > task.task.group().rlimit(RLIMIT_NOFILE) {
        return Err(Errno::EINVAL);
    }
    let polled = fds.read_vec(task, count as usize)?;
    let files: Vec<_> = polled
        .iter()
        .map(|p| {
            let want = Events::from_bits_truncate(u32::from(p.events.cast_unsigned()));
            // A negative descriptor is skipped: it is neither invalid nor ever ready.
            (
                if p.fd < 0 {
                    None
                } else {
                    task.fds.get(p.fd).ok()
                },
                want,
            )
        })
        .collect();
    let ready = |task: &mut CurrentTask, table: Option<&mut tuxlet_vfs::PollTable>| {
        let mut events = check(task, &files, table)?;
        for (event, p) in events.iter_mut().zip(&polled) {
            if p.fd < 0 {
                *event = Events::empty();
            }
        }
        events.iter().any(|e| !e.is_empty()).then_some(events)
    };
    let events = match task.wait_until(deadline, ready) {
        Ok(events) => events,
        Err(WaitError::TimedOut) => vec![Events::empty(); polled.len()],
        Err(WaitError::Interrupted) => {
            task.restart = Some(SyscallRestart::Poll {
                fds: fds.addr(),
                count,
                deadline,
            });
            return Err(Errno::ERESTART_RESTARTBLOCK);
        }
    };
    let mut found = 0;
    for (i, (events, p)) in events.iter().zip(&polled).enumerate() {
        found += u32::from(!events.is_empty());
        let revents = (events.bits() as u16).cast_signed();
        fds.offset(i as u64)
            .write(task, &Pollfd { revents, ..*p })?;
    }
    Ok(found)
}

/// The three sets of select(2) with what makes a descriptor a member of each result.
const SETS: [Events; 3] = [
    Events::READABLE
        .union(Events::RDBAND)
        .union(Events::HUP)
        .union(Events::ERR),
    Events::WRITABLE.union(Events::WRBAND).union(Events::ERR),
    Events::PRI,
];

/// The second pointer of pselect6(2): a mask and its size.
#[derive(Clone, Copy, Default, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable)]
#[repr(C)]
pub(super) struct MaskArg {
    mask: u64,
    size: u64,
}

pub(super) fn sys_pselect6(
    task: &mut CurrentTask,
    count: i32,
    read: u64,
    write: u64,
    except: u64,
    timeout: UserPtr<Timespec>,
    mask: UserPtr<MaskArg>,
) -> Result<u32> {
    let deadline = deadline_of(timeout.read_opt(task)?)?;
    if let Some(arg) = mask.read_opt(task)? {
        temporary_mask(task, UserPtr::new(arg.mask), arg.size as usize)?;
    }
    let result = select_until(task, count, [read, write, except], deadline);
    write_rest(task, timeout, deadline);
    if result != Err(Errno::ERESTARTNOHAND) {
        task.end_temporary_mask();
    }
    result
}

fn select_until(
    task: &mut CurrentTask,
    count: i32,
    sets: [u64; 3],
    deadline: Option<Instant>,
) -> Result<u32> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    // Beyond the table there is nothing to look at; Linux cuts the count the same way.
    let count = count.min(task.fds.len().next_multiple_of(64).max(FD_SETSIZE));
    let len = count.div_ceil(64) * 8;
    let mut wanted = [const { Vec::new() }; 3];
    for (bits, addr) in wanted.iter_mut().zip(sets) {
        *bits = vec![0u8; len];
        if addr != 0 {
            task.mm.space.read_bytes(addr, bits)?;
        }
    }
    let has = |bits: &[u8], fd: usize| bits[fd / 8] >> (fd % 8) & 1 != 0;
    let mut files = Vec::new();
    let mut numbers = Vec::new();
    for fd in 0..count {
        let want = (0..3)
            .filter(|s| has(&wanted[*s], fd))
            .fold(Events::empty(), |e, s| e | SETS[s]);
        if !want.is_empty() {
            files.push((Some(task.fds.get(fd as i32)?), want));
            numbers.push(fd);
        }
    }
    // Only what a set asks for counts: an error is not news for somebody who asks for priority data.
    let ready = |task: &mut CurrentTask, table: Option<&mut tuxlet_vfs::PollTable>| {
        let events = check(task, &files, table)?;
        let mut result = [vec![0u8; len], vec![0u8; len], vec![0u8; len]];
        let mut found = 0;
        for (fd, events) in numbers.iter().zip(events) {
            for s in 0..3 {
                if has(&wanted[s], *fd) && events.intersects(SETS[s]) {
                    result[s][fd / 8] |= 1 << (fd % 8);
                    found += 1;
                }
            }
        }
        (found > 0).then_some((found, result))
    };
    let (found, result) = match task.wait_until(deadline, ready) {
        Ok(outcome) => outcome,
        Err(WaitError::TimedOut) => (0, [vec![0; len], vec![0; len], vec![0; len]]),
        Err(WaitError::Interrupted) => return Err(Errno::ERESTARTNOHAND),
    };
    for (bits, addr) in result.iter().zip(sets) {
        if addr != 0 {
            task.mm.space.write_bytes(addr, bits)?;
        }
    }
    Ok(found)
}
