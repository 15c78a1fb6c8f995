//! `/proc/sysvipc`: sysvipc(7).

use crate::{
    ipc::{Ipc, Object},
    kernel::Kernel,
};
use std::fmt::Write;
use tuxlet_uapi::ipc::IpcPerm;

const MSG: &str = "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      \
     stime      rtime      ctime\n";
const SEM: &str =
    "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n";
const SHM: &str = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  \
     cgid      atime      dtime      ctime                   rss                  swap\n";

fn owners(perm: &IpcPerm) -> String {
    format!(
        "{:5} {:5} {:5} {:5}",
        perm.uid, perm.gid, perm.cuid, perm.cgid
    )
}

pub(super) fn msg(_: &Kernel, objects: &Ipc) -> String {
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
            s.sender,
            s.receiver,
            owners(&perm),
            s.stime,
            s.rtime,
            s.ctime
        );
    }
    text
}

pub(super) fn sem(_: &Kernel, objects: &Ipc) -> String {
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
            owners(&perm),
        );
    }
    text
}

pub(super) fn shm(kernel: &Kernel, objects: &Ipc) -> String {
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
            s.cpid,
            s.lpid,
            kernel.attachments(&segment),
            owners(&perm),
            s.atime,
            s.dtime,
            s.ctime,
            segment.size.next_multiple_of(4096),
            0
        );
    }
    text
}
