//! `/proc/PID` and `/proc/PID/task/TID`: the table of entries.

use super::{DynDir, Entries, Listing, Shared, Snapshot, Target, fd, memory, mounts, net, status};
use crate::{
    ns::{
        NsProxy,
        file::{Namespace, NsFile},
        idmap::{self, Which},
    },
    task::RunState,
};
use std::sync::{Arc, atomic::Ordering};
use tuxlet_uapi::{
    errno::{Errno, Result},
    time::CLOCK_BOOTTIME,
};
use tuxlet_vfs::{
    Attr, Cx, FileOps, FileType, Inode, InodeRef, Link, Path,
    cx::cap,
    node_inode,
    pseudo::{GeneratedFile, Node},
};

/// Inode numbers of a process are told apart by these.
pub(super) const TAG_ENTRY: u64 = 0;
pub(super) const TAG_FD: u64 = 1;
pub(super) const TAG_FDINFO: u64 = 2;
pub(super) const TAG_NS: u64 = 3;
pub(super) const TAG_NET: u64 = 4;

/// Makes a file's content.
type Make = fn(&Snapshot, &Cx) -> Result<Vec<u8>>;
/// Takes what is written to a file.
type Store = fn(&Snapshot, &Cx, &[u8]) -> Result<()>;

/// What an entry is.
#[derive(Clone, Copy)]
enum Kind {
    File(Make),
    Writable(Make, Store),
    /// A magic link.
    Link(fn(&Snapshot, &Cx) -> Result<Link>),
    Dir(fn(&Target, u64, u32, (u32, u32)) -> Result<InodeRef>),
    Mem,
}

/// Name, mode, what it is, whether threads have it too.
const ENTRIES: &[(&str, u32, Kind, bool)] = &[
    ("autogroup", 0o444, Kind::File(autogroup), false),
    ("auxv", 0o400, Kind::File(memory::auxv), true),
    ("cgroup", 0o444, Kind::File(cgroup), true),
    ("children", 0o444, Kind::File(children), true),
    ("cmdline", 0o444, Kind::File(memory::cmdline), true),
    ("comm", 0o644, Kind::Writable(comm, set_comm), true),
    ("coredump_filter", 0o444, Kind::File(coredump_filter), false),
    ("cwd", 0o777, Kind::Link(cwd), true),
    ("environ", 0o400, Kind::File(memory::environ), true),
    ("exe", 0o777, Kind::Link(exe), true),
    ("fd", 0o500, Kind::Dir(fd::directory), true),
    ("fdinfo", 0o555, Kind::Dir(fd::info_directory), true),
    ("gid_map", 0o644, Kind::Writable(gid_map, set_gid_map), true),
    ("io", 0o400, Kind::File(io), true),
    ("limits", 0o444, Kind::File(status::limits), true),
    ("loginuid", 0o444, Kind::File(no_audit_id), true),
    ("maps", 0o444, Kind::File(memory::maps), true),
    ("mem", 0o600, Kind::Mem, true),
    ("mountinfo", 0o444, Kind::File(mounts::mountinfo), true),
    ("mounts", 0o444, Kind::File(mounts::mounts), true),
    ("mountstats", 0o400, Kind::File(mounts::mountstats), false),
    ("net", 0o555, Kind::Dir(net::directory), true),
    ("ns", 0o511, Kind::Dir(namespaces), true),
    (
        "oom_adj",
        0o644,
        Kind::Writable(status::oom_adj, status::set_oom_adj),
        true,
    ),
    ("oom_score", 0o444, Kind::File(status::oom_score), true),
    (
        "oom_score_adj",
        0o644,
        Kind::Writable(status::oom_score_adj, status::set_oom_score_adj),
        true,
    ),
    ("personality", 0o400, Kind::File(personality), true),
    ("projid_map", 0o444, Kind::File(projid_map), true),
    ("root", 0o777, Kind::Link(root), true),
    ("schedstat", 0o444, Kind::File(schedstat), true),
    ("sessionid", 0o444, Kind::File(no_audit_id), true),
    (
        "setgroups",
        0o644,
        Kind::Writable(setgroups, set_setgroups),
        false,
    ),
    ("smaps", 0o444, Kind::File(memory::smaps), true),
    (
        "smaps_rollup",
        0o444,
        Kind::File(memory::smaps_rollup),
        false,
    ),
    ("stack", 0o400, Kind::File(stack), true),
    ("stat", 0o444, Kind::File(status::stat), true),
    ("statm", 0o444, Kind::File(status::statm), true),
    ("status", 0o444, Kind::File(status::status), true),
    ("syscall", 0o400, Kind::File(syscall), true),
    ("task", 0o555, Kind::Dir(tasks), false),
    (
        "timens_offsets",
        0o644,
        Kind::Writable(time_offsets, set_time_offsets),
        false,
    ),
    (
        "timerslack_ns",
        0o666,
        Kind::Writable(timer_slack, set_timer_slack),
        false,
    ),
    ("uid_map", 0o644, Kind::Writable(uid_map, set_uid_map), true),
    ("wchan", 0o444, Kind::File(wchan), true),
];

impl Kind {
    fn file_type(self) -> FileType {
        match self {
            Self::File(_) | Self::Writable(..) | Self::Mem => FileType::Regular,
            Self::Link(_) => FileType::Symlink,
            Self::Dir(_) => FileType::Directory,
        }
    }
}

impl Target {
    /// The directory of the process or thread. `ENOENT` if there is none.
    pub(super) fn directory(self) -> Result<InodeRef> {
        let snapshot = self.snapshot().map_err(|_| Errno::ENOENT)?;
        let (uid, gid) = snapshot.owner();
        let ino = self.ino(TAG_ENTRY, 0);
        let node = self
            .shared
            .fs()?
            .node_with_ino(ino, FileType::Directory, 0o555)
            .owned(uid, gid);
        Ok(DynDir::inode(node, PidDir(self)))
    }

    fn entry(&self, index: usize, mode: u32, kind: Kind) -> Result<InodeRef> {
        let snapshot = self.snapshot().map_err(|_| Errno::ENOENT)?;
        let owner = snapshot.owner();
        let ino = self.ino(TAG_ENTRY, index as u64 + 1);
        let fs = self.shared.fs()?;
        let node = fs
            .node_with_ino(ino, kind.file_type(), mode)
            .owned(owner.0, owner.1);
        let target = self.clone();
        Ok(match kind {
            Kind::File(make) => {
                GeneratedFile::read_only(node, move |cx| make(&target.snapshot()?, cx))
            }
            Kind::Writable(make, store) => {
                let writer = self.clone();
                GeneratedFile::writable(
                    node,
                    move |cx| make(&target.snapshot()?, cx),
                    move |cx, data| store(&writer.snapshot()?, cx, data),
                )
            }
            Kind::Link(lead) => fd::magic_link(node, move |cx| {
                let snapshot = target.snapshot().map_err(|_| Errno::ENOENT)?;
                snapshot.may_inspect(cx)?;
                lead(&snapshot, cx)
            }),
            Kind::Dir(make) => make(&target, ino, mode, owner)?,
            Kind::Mem => memory::mem(node, target),
        })
    }
}

/// The entries of a process or thread.
#[derive(Debug)]
struct PidDir(Target);

/// The process that a directory `/proc/PID` is of.
pub(crate) fn process_of(inode: &dyn Inode) -> Option<u32> {
    let dir = inode.as_any().downcast_ref::<DynDir<PidDir>>()?;
    let target = &dir.listing().0;
    (!target.thread).then_some(target.id)
}

fn wanted(
    target: &Target,
) -> impl Iterator<Item = (usize, &'static (&'static str, u32, Kind, bool))> {
    let thread = target.thread;
    ENTRIES
        .iter()
        .enumerate()
        .filter(move |(_, e)| e.3 || !thread)
}

impl Listing for PidDir {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let found = wanted(&self.0).find(|(_, e)| e.0.as_bytes() == name);
        let (index, (_, mode, kind, _)) = found.ok_or(Errno::ENOENT)?;
        self.0.entry(index, *mode, *kind)
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        self.0.snapshot().map_err(|_| Errno::ENOENT)?;
        Ok(wanted(&self.0)
            .map(|(index, (name, _, kind, _))| {
                let ino = self.0.ino(TAG_ENTRY, index as u64 + 1);
                (name.as_bytes().to_vec(), ino, kind.file_type())
            })
            .collect())
    }
}

/// The threads of a process.
#[derive(Debug)]
struct TaskDir(Target);

fn tasks(target: &Target, ino: u64, mode: u32, owner: (u32, u32)) -> Result<InodeRef> {
    let fs = target.shared.fs()?;
    let node = fs
        .node_with_ino(ino, FileType::Directory, mode)
        .owned(owner.0, owner.1);
    Ok(DynDir::inode(node, TaskDir(target.clone())))
}

fn thread(shared: &Arc<Shared>, tid: u32) -> Target {
    Target {
        shared: Arc::clone(shared),
        id: tid,
        thread: true,
    }
}

impl Listing for TaskDir {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let tid = super::number(name)
            .and_then(|id| self.0.shared.pid_ns.global(id))
            .ok_or(Errno::ENOENT)?;
        let process = self.0.snapshot().map_err(|_| Errno::ENOENT)?;
        let thread = thread(&self.0.shared, tid);
        let found = thread.snapshot().map_err(|_| Errno::ENOENT)?;
        if found.group.tgid() != process.group.tgid() {
            return Err(Errno::ENOENT);
        }
        thread.directory()
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        let process = self.0.snapshot().map_err(|_| Errno::ENOENT)?;
        let mut ids: Vec<u32> = process.threads.iter().map(|t| t.tid()).collect();
        if ids.is_empty() {
            ids.push(process.group.tgid());
        }
        ids.sort_unstable();
        Ok(ids
            .into_iter()
            .map(|tid| {
                let ino = thread(&self.0.shared, tid).ino(TAG_ENTRY, 0);
                let shown = self.0.shared.pid_ns.shown(tid);
                (shown.to_string().into_bytes(), ino, FileType::Directory)
            })
            .collect())
    }
}

/// Computes a namespace.
type Find = fn(&Snapshot, &NsProxy) -> Namespace;

/// The namespaces of a process.
const NAMESPACES: &[(&str, Find)] = &[
    ("cgroup", |_, ns| Namespace::Cgroup(Arc::clone(&ns.cgroup))),
    ("ipc", |_, ns| Namespace::Ipc(Arc::clone(&ns.ipc))),
    ("mnt", |_, ns| Namespace::Mnt(Arc::clone(&ns.mnt))),
    ("net", |_, ns| Namespace::Net(Arc::clone(&ns.net))),
    ("pid", |s, _| Namespace::Pid(Arc::clone(&s.group.pid_ns))),
    ("pid_for_children", |_, ns| {
        Namespace::Pid(Arc::clone(&ns.pid_for_children))
    }),
    ("time", |_, ns| Namespace::Time(Arc::clone(&ns.time))),
    ("time_for_children", |_, ns| {
        Namespace::Time(Arc::clone(&ns.time_for_children))
    }),
    ("user", |s, _| {
        Namespace::User(Arc::clone(&s.task.cred().user_ns))
    }),
    ("uts", |_, ns| Namespace::Uts(Arc::clone(&ns.uts))),
];

#[derive(Debug)]
struct NsDir(Target);

fn namespaces(target: &Target, ino: u64, mode: u32, owner: (u32, u32)) -> Result<InodeRef> {
    let fs = target.shared.fs()?;
    let node = fs
        .node_with_ino(ino, FileType::Directory, mode)
        .owned(owner.0, owner.1);
    Ok(DynDir::inode(node, NsDir(target.clone())))
}

/// A namespace as something that can be opened.
#[derive(Debug)]
struct NsInode {
    node: Node,
    namespace: Namespace,
}

impl Inode for NsInode {
    node_inode!();

    fn attr(&self, cx: &Cx) -> Result<Attr> {
        Ok(self.namespace.attr(cx))
    }

    fn open(&self, _cx: &Cx, _flags: u32) -> Result<Arc<dyn FileOps>> {
        Ok(Arc::new(NsFile(self.namespace.clone())))
    }
}

fn enter_link(target: &Target, cx: &Cx, find: Find) -> Result<Link> {
    let snapshot = target.snapshot().map_err(|_| Errno::ENOENT)?;
    snapshot.may_inspect(cx)?;
    let ns = snapshot.resources().ok_or(Errno::ENOENT)?.ns;
    let namespace = find(&snapshot, &ns);
    let shown = namespace.shown();
    let node = target
        .shared
        .fs()?
        .node_with_ino(namespace.number(), FileType::Regular, 0o444);
    let inode = Arc::new(NsInode { node, namespace });
    let mount = snapshot.kernel.mounts.root().mount;
    Ok(Link::Jump(Path::nameless(&mount, inode, &shown), shown))
}

impl Listing for NsDir {
    fn lookup(&self, _cx: &Cx, name: &[u8]) -> Result<InodeRef> {
        let found = NAMESPACES
            .iter()
            .enumerate()
            .find(|(_, (n, _))| n.as_bytes() == name);
        let (index, (_, find)) = found.ok_or(Errno::ENOENT)?;
        let ino = self.0.ino(TAG_NS, index as u64);
        let node = self
            .0
            .shared
            .fs()?
            .node_with_ino(ino, FileType::Symlink, 0o777);
        let target = self.0.clone();
        Ok(fd::magic_link(node, move |cx| {
            enter_link(&target, cx, *find)
        }))
    }

    fn list(&self, _cx: &Cx) -> Result<Entries> {
        let names = NAMESPACES.iter().enumerate();
        Ok(names
            .map(|(i, (name, _))| {
                let ino = self.0.ino(TAG_NS, i as u64);
                (name.as_bytes().to_vec(), ino, FileType::Symlink)
            })
            .collect())
    }
}

fn cgroup(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let root = Arc::clone(&s.kernel.namespaces_of(cx).cgroup.root);
    let mut line = b"0::".to_vec();
    line.extend(s.task.cgroup().path_from(&root));
    line.push(b'\n');
    Ok(line)
}

fn time_offsets(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let ns = s.resources().ok_or(Errno::ESRCH)?.ns;
    Ok(ns.time_for_children.show().into_bytes())
}

fn set_time_offsets(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    let ns = s
        .resources()
        .ok_or(Errno::ESRCH)?
        .ns
        .time_for_children
        .clone();
    if !cx.cred.has_cap_in(&ns.id.owner, cap::SYS_TIME) {
        return Err(Errno::EPERM);
    }
    let clock = &s.kernel.clock;
    ns.store(text, |id| match id {
        CLOCK_BOOTTIME => clock.boottime_ns(),
        _ => clock.monotonic_ns(),
    })
}

fn children(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let ids = s.children.iter().map(|id| format!("{} ", s.shown(*id)));
    Ok(ids.collect::<String>().into_bytes())
}

fn comm(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let mut name = s.task.comm();
    name.push(b'\n');
    Ok(name)
}

fn set_comm(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    // Only threads of the process itself may.
    if cx.tgid != s.group.tgid() {
        return Err(Errno::EINVAL);
    }
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    s.task.set_comm(&data[..end]);
    Ok(())
}

fn cwd(s: &Snapshot, cx: &Cx) -> Result<Link> {
    let path = s.resources().ok_or(Errno::ENOENT)?.fs.cwd();
    let shown = path.d_path(&super::reader_root(&s.kernel, cx));
    Ok(Link::Jump(path, shown))
}

fn root(s: &Snapshot, cx: &Cx) -> Result<Link> {
    let path = s.resources().ok_or(Errno::ENOENT)?.fs.root();
    let shown = path.d_path(&super::reader_root(&s.kernel, cx));
    Ok(Link::Jump(path, shown))
}

fn exe(s: &Snapshot, cx: &Cx) -> Result<Link> {
    let mm = s.resources().ok_or(Errno::ENOENT)?.mm;
    let path = mm.exe.lock().clone().ok_or(Errno::ENOENT)?;
    let shown = path.d_path(&super::reader_root(&s.kernel, cx));
    Ok(Link::Jump(path, shown))
}

fn uid_map(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let text = idmap::show(&s.task.cred().user_ns, Which::User, &cx.cred.user_ns);
    Ok(text.into_bytes())
}

fn gid_map(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    let text = idmap::show(&s.task.cred().user_ns, Which::Group, &cx.cred.user_ns);
    Ok(text.into_bytes())
}

fn set_uid_map(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    idmap::store(&s.task.cred().user_ns, Which::User, &cx.cred, data)
}

fn set_gid_map(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    idmap::store(&s.task.cred().user_ns, Which::Group, &cx.cred, data)
}

/// No file system has project ids.
fn projid_map(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    let initial = s.task.cred().user_ns.is_initial();
    let all = b"         0          0 4294967295\n";
    Ok(if initial { all.to_vec() } else { Vec::new() })
}

fn setgroups(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    Ok(idmap::show_setgroups(&s.task.cred().user_ns).to_vec())
}

fn set_setgroups(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    idmap::store_setgroups(&s.task.cred().user_ns, &cx.cred, data)
}

fn personality(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    let personality = s.task.settings.lock().personality;
    Ok(format!("{personality:08x}\n").into_bytes())
}

fn timer_slack(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    if cx.tgid != s.group.tgid() && !cx.cred.has_cap(cap::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let slack = s.task.settings.lock().timer_slack;
    Ok(format!("{slack}\n").into_bytes())
}

fn set_timer_slack(s: &Snapshot, cx: &Cx, data: &[u8]) -> Result<()> {
    if cx.tgid != s.group.tgid() && !cx.cred.has_cap(cap::SYS_NICE) {
        return Err(Errno::EPERM);
    }
    let slack: u64 = parse(data)?;
    let mut settings = s.task.settings.lock();
    settings.timer_slack = if slack == 0 {
        settings.default_timer_slack
    } else {
        slack
    };
    Ok(())
}

fn autogroup(_: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    Ok(b"/autogroup-1 nice 0\n".to_vec())
}

/// Nothing is ever dumped; this is what Linux starts with.
fn coredump_filter(_: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    Ok(b"00000033\n".to_vec())
}

/// The user and session that audit knows: none, without a terminating line end as in Linux.
fn no_audit_id(_: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    Ok(u32::MAX.to_string().into_bytes())
}

/// CPU time in nanoseconds; how long and often it waited for a processor only the host knows.
fn schedstat(s: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    Ok(format!("{} 0 0\n", s.task.cpu_ns()).into_bytes())
}

/// What the process, or for a thread's directory the thread alone, has read and written.
fn io(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    let mut all = s.task.io.get();
    if !s.thread {
        all = s.group.dead_io.get();
        for task in &s.threads {
            for (sum, more) in all.iter_mut().zip(task.io.get()) {
                *sum += more;
            }
        }
    }
    let [rchar, wchar, syscr, syscw] = all;
    // DEVIATION: what reaches the medium is the host's affair and not known.
    let text = format!(
        "rchar: {rchar}\nwchar: {wchar}\nsyscr: {syscr}\nsyscw: {syscw}\nread_bytes: 0\nwrite_bytes: 0\n\
         cancelled_write_bytes: 0\n"
    );
    Ok(text.into_bytes())
}

/// The kernel's stack is the host's: there is nothing to show, as of a running task.
fn stack(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    Ok(Vec::new())
}

fn syscall(s: &Snapshot, cx: &Cx) -> Result<Vec<u8>> {
    s.may_inspect(cx)?;
    let text = match s.task.run_state() {
        RunState::Running => "running\n".to_owned(),
        _ => {
            let [args @ .., sp, pc] = *s.task.asleep.lock();
            match s.task.in_syscall.load(Ordering::Relaxed) {
                u32::MAX => format!("-1 {sp:#x} {pc:#x}\n"),
                nr => {
                    let args: String = args.iter().map(|a| format!(" {a:#x}")).collect();
                    format!("{nr}{args} {sp:#x} {pc:#x}\n")
                }
            }
        }
    };
    Ok(text.into_bytes())
}

fn wchan(_: &Snapshot, _: &Cx) -> Result<Vec<u8>> {
    // What Linux shows to those who may not see where in the kernel others sleep.
    Ok(b"0".to_vec())
}

/// Parses what was written: a number, with or without a newline. `EINVAL`.
pub(super) fn parse<T: std::str::FromStr>(data: &[u8]) -> Result<T> {
    let text = std::str::from_utf8(data).map_err(|_| Errno::EINVAL)?;
    text.trim().parse().map_err(|_| Errno::EINVAL)
}

/// Loads an atomic setting.
pub(super) fn oom_adjust(s: &Snapshot) -> i32 {
    s.group.oom_score_adj.load(Ordering::Relaxed)
}
