//! `/proc/sysvipc`: sysvipc(7).

use crate::{
    ipc::{Ipc, Object},
    kernel::Kernel,
};
use std::fmt::Write;
use tuxlet_uapi::ipc::IpcPerm;
use tuxlet_vfs::Cx;

const MSG: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
     stime      rtime      ctime\n";
const SEM: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const SHM: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  \
     cgid      atime      dtime      ctime                   rss                  swap\n";

/// The owners' ids, with the reader's user namespace's numbers.
fn owners(perm: &IpcPerm, cx: &Cx) -> String {
    let ns = &cx.cred.user_ns;
    format!(
        "{:5} {:5} {:5} {:5}",
        ns.shown_uid(perm.uid),
        ns.shown_gid(perm.gid),
        ns.shown_uid(perm.cuid),
        ns.shown_gid(perm.cgid)
    )
}

pub(super) fn msg(kernel: &Kernel, objects: &Ipc, cx: &Cx) -> String {
    let pids = kernel.pid_ns_of(cx);
    let mut text = String::from(MSG);
    for (id, queue) in objects.msg.list() {
        let perm = *queue.perm().lock();
        let s = queue.stats();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o}  {:10} {:10} {:5} {:5} {} {:10} {:10} {:10}",
            perm.key,
            perm.mode,
            s.bytes,
            s.count,
            pids.shown(s.sender),
            pids.shown(s.receiver),
            owners(&perm, cx),
            s.stime,
            s.rtime,
            s.ctime
        );
    }
    text
}

pub(super) fn sem(_: &Kernel, objects: &Ipc, cx: &Cx) -> String {
    let mut text = String::from(SEM);
    for (id, set) in objects.sem.list() {
        let perm = *set.perm().lock();
        let (otime, ctime) = set.times();
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o} {:10} {} {otime:10} {ctime:10}",
            perm.key,
            perm.mode,
            set.len(),
            owners(&perm, cx),
        );
    }
    text
}

pub(super) fn shm(kernel: &Kernel, objects: &Ipc, cx: &Cx) -> String {
    let pids = kernel.pid_ns_of(cx);
    let mut text = String::from(SHM);
    for (id, segment) in objects.shm.list() {
        let perm = *segment.perm().lock();
        let s = *segment.stamps.lock();
        let _ = writeln!(
            text,
            "{:10} {id:10}  {:4o} {:21} {:5} {:5}  {:5} {} {:10} {:10} {:10} {:21} {:21}",
            perm.key,
            perm.mode,
            segment.size,
            pids.shown(s.cpid.cast_unsigned()),
            pids.shown(s.lpid.cast_unsigned()),
            kernel.attachments(&segment),
            owners(&perm, cx),
            s.atime,
            s.dtime,
            s.ctime,
            segment.size.next_multiple_of(4096),
            0
        );
    }
    text
}
