//! uname(2), sethostname(2), sysinfo(2), getrandom(2), getcpu(2).

use super::{Flags, UserPtr};
use crate::task::CurrentTask;
use tuxlet_uapi::{
    errno::{Errno, Result},
    random::{GRND_INSECURE, GRND_NONBLOCK, GRND_RANDOM},
    sysinfo::Sysinfo,
    utsname::{UTS_LEN, Utsname, uts_field},
};

/// Bytes made at a time.
const RANDOM_CHUNK: usize = 4096;

pub(super) fn sys_uname(task: &mut CurrentTask, to: UserPtr<Utsname>) -> Result<()> {
    let uts = task.ns.uts.names.read().clone();
    let name = Utsname {
        sysname: uts_field(b"Linux"),
        nodename: uts_field(&uts.hostname),
        release: uts_field(task.kernel.config.release.as_bytes()),
        version: uts_field(b"#1 SMP Tuxlet"),
        machine: uts_field(b"aarch64"),
        domainname: uts_field(&uts.domainname),
    };
    to.write(task, &name)
}

fn read_name(task: &CurrentTask, name: u64, len: i32) -> Result<Vec<u8>> {
    crate::ns::must_be_admin_of(&task.task.cred(), &task.ns.uts.id.owner)?;
    let len = usize::try_from(len)
        .ok()
        .filter(|l| *l <= UTS_LEN)
        .ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; len];
    task.mm.space.read_bytes(name, &mut bytes)?;
    Ok(bytes)
}

pub(super) fn sys_sethostname(task: &mut CurrentTask, name: u64, len: i32) -> Result<()> {
    let name = read_name(task, name, len)?;
    task.ns.uts.names.write().hostname = name;
    Ok(())
}

pub(super) fn sys_setdomainname(task: &mut CurrentTask, name: u64, len: i32) -> Result<()> {
    let name = read_name(task, name, len)?;
    task.ns.uts.names.write().domainname = name;
    Ok(())
}

pub(super) fn sys_sysinfo(task: &mut CurrentTask, to: UserPtr<Sysinfo>) -> Result<()> {
    let kernel = &task.kernel;
    let total = kernel.config.memory;
    let info = Sysinfo {
        uptime: (task.ns.time.shown_boottime(kernel.clock.boottime_ns())
            / crate::clock::NSEC_PER_SEC)
            .cast_signed(),
        totalram: total,
        freeram: total.saturating_sub(kernel.budget.used_pages() as u64 * 4096),
        procs: kernel.tree.lock().task_count().min(usize::from(u16::MAX)) as u16,
        mem_unit: 1,
        ..Sysinfo::default()
    };
    to.write(task, &info)
}

pub(super) fn sys_getrandom(
    task: &mut CurrentTask,
    buf: u64,
    len: u64,
    flags: Flags,
) -> Result<u64> {
    flags.only(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE)?;
    if flags.has(GRND_RANDOM) && flags.has(GRND_INSECURE) {
        return Err(Errno::EINVAL);
    }
    let len = len.min(i32::MAX as u64);
    let mut done = 0;
    let mut chunk = [0; RANDOM_CHUNK];
    while done < len {
        let part = &mut chunk[..RANDOM_CHUNK.min((len - done) as usize)];
        tuxlet_host::entropy::fill(part).map_err(|_| Errno::EIO)?;
        match task.mm.space.write_bytes(buf.wrapping_add(done), part) {
            Ok(()) => done += part.len() as u64,
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(done)
}

pub(super) fn sys_getcpu(
    task: &mut CurrentTask,
    cpu: UserPtr<u32>,
    node: UserPtr<u32>,
) -> Result<()> {
    cpu.write_opt(task, &tuxlet_host::thread::current_cpu())?;
    node.write_opt(task, &0)
}
