//! The kernel of one machine.

use crate::{
    arch::vdso::VdsoPages,
    async_io::AsyncFiles,
    cgroup::Cgroups,
    clock::Clock,
    config::{Config, EventSink},
    freezer::Freezer,
    futex::FutexTable,
    hooks::Hooks,
    memfd::MemFdMount,
    ns::NsProxy,
    signal::TaskSignals,
    special::DeviceTable,
    task::{CurrentTask, Mm, MmLayout, Node, Resources, Task, ThreadGroup, Tree, comm_bytes},
    timer::TimerQueue,
};
use parking_lot::{Condvar, Mutex, RwLock};
use rustc_hash::FxHashSet;
use std::{
    sync::{Arc, OnceLock, Weak, atomic::Ordering},
    time::Instant,
};
use tuxlet_cpu::{CpuState, Engine};
use tuxlet_host::thread;
use tuxlet_mem::{AddressSpace, MemoryBudget};
use tuxlet_net::Network;
use tuxlet_sync::{WaitQueue, WaitResult};
use tuxlet_uapi::{
    errno::{Errno, Result},
    resource::Rusage,
    signal::Signal,
};
use tuxlet_vfs::{
    At, Cred, Cx, File, FileSystem, FsContext, LookupFlags, MountNamespace, cx::cap,
    locks::LockGraph, resolver,
};

/// Names that uname(2) gives and sethostname(2) sets.
#[derive(Clone, Debug)]
pub struct UtsNames {
    /// Node name.
    pub hostname: Vec<u8>,
    /// NIS domain name.
    pub domainname: Vec<u8>,
}

/// Told by the reactor.
#[derive(Debug)]
struct HostClockJumped(Weak<Kernel>);

impl tuxlet_sync::Wake for HostClockJumped {
    fn wake(&self, _bits: u32) {
        if let Some(kernel) = self.0.upgrade() {
            kernel.realtime_has_jumped();
        }
    }
}

/// How many host threads carry tasks.
#[derive(Debug, Default)]
struct HostThreads {
    running: Mutex<usize>,
    ended: Condvar,
}

/// One host thread that carries a task, from before its start until after its task's end.
struct HostThread(Arc<HostThreads>);

impl HostThread {
    fn new(threads: &Arc<HostThreads>) -> Self {
        *threads.running.lock() += 1;
        Self(Arc::clone(threads))
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        *self.0.running.lock() -= 1;
        self.0.ended.notify_all();
    }
}

/// A file system's own option and its value; `None` for a flag.
pub type Parameter = (Vec<u8>, Option<Vec<u8>>);

/// What a file system is to be made of: mount(2), fsopen(2).
#[derive(Clone, Copy, Debug)]
pub struct NewFileSystem<'a> {
    /// The type.
    pub kind: &'a [u8],
    /// What is mounted, for types that look at it.
    pub source: &'a [u8],
    /// The options, in the order in which they were given.
    pub parameters: &'a [Parameter],
    /// Where paths among them begin.
    pub at: &'a At,
}

impl NewFileSystem<'_> {
    /// The options as mount(2) takes them.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        let one = |(key, value): &Parameter| match value {
            Some(value) => [key, b"=".as_slice(), value].concat(),
            None => key.clone(),
        };
        let all: Vec<_> = self.parameters.iter().map(one).collect();
        all.join(&b',')
    }
}

/// Splits the options of mount(2) at commas; with `quotes`, not at those behind a backslash.
fn split_options(text: &[u8], quotes: bool) -> Vec<Parameter> {
    let mut quoted = false;
    let pieces = text.split(|&b| {
        let cut = b == b',' && !quoted;
        quoted = quotes && b == b'\\' && !quoted;
        cut
    });
    let pieces = pieces.filter(|piece| !piece.is_empty());
    let one = |piece: &[u8]| match piece.iter().position(|&b| b == b'=') {
        Some(at) => (piece[..at].to_vec(), Some(piece[at + 1..].to_vec())),
        None => (piece.to_vec(), None),
    };
    pieces.map(one).collect()
}

/// Makes file systems for mount(2); the embedder's, since the kernel knows none.
pub trait FileSystemFactory: Send + Sync {
    /// Makes a file system for a caller. `ENODEV` for an unknown type.
    fn make(
        &self,
        kernel: &Arc<Kernel>,
        cx: &Cx,
        new: &NewFileSystem<'_>,
    ) -> Result<Arc<dyn FileSystem>>;

    /// Whether the last of the parameters is one that the type takes, as far as that is known before all are: fsconfig(2).
    fn check_last(&self, cx: &Cx, new: &NewFileSystem<'_>) -> Result<()> {
        let _ = (cx, new);
        Ok(())
    }

    /// Whether a backslash quotes commas in a type's options in mount(2).
    fn quotes_commas(&self, kind: &[u8]) -> bool {
        let _ = kind;
        false
    }

    /// Whether there is such a type: fsopen(2).
    fn knows(&self, kind: &[u8]) -> bool;
}

/// Types of file systems that can be mounted in every user namespace.
const FOR_ALL: [&[u8]; 8] = [
    b"proc", b"sysfs", b"tmpfs", b"ramfs", b"devpts", b"mqueue", b"cgroup2", b"overlay",
];

/// The kernel of one machine.
pub struct Kernel {
    /// Settings.
    pub config: Config,
    /// Clocks.
    pub clock: Clock,
    /// Processes and threads.
    pub tree: Mutex<Tree>,
    /// Waiters on futexes.
    pub futexes: FutexTable,
    /// Memory of all processes together.
    pub budget: Arc<MemoryBudget>,
    /// The instruction engine.
    pub engine: Arc<dyn Engine>,
    /// The mounts of the first processes.
    pub mounts: Arc<MountNamespace>,
    /// The vDSO's pages, shared by all processes.
    pub vdso: VdsoPages,
    /// Sockets.
    pub net: Arc<Network>,
    /// Control groups.
    pub cgroups: Cgroups,
    /// The namespaces of the first processes.
    pub namespaces: Arc<NsProxy>,
    /// Terminals and who controls them.
    pub terminals: crate::tty::Terminals,
    /// Drivers of character devices.
    pub devices: DeviceTable,
    /// Holds all tasks still while the embedder wants it.
    pub freezer: Freezer,
    /// The embedder's say while guests run.
    pub hooks: Hooks,
    /// Makes file systems for mount(2).
    file_systems: OnceLock<Arc<dyn FileSystemFactory>>,
    clock_watch: OnceLock<tuxlet_host::time::RealtimeWatch>,
    /// Held while the OOM killer of a control group chooses and kills: who comes second finds somebody dying.
    pub(crate) oom: Mutex<()>,
    /// Held for writing while a signal goes to several processes, for reading while a new process is entered.
    pub(crate) broadcast_lock: RwLock<()>,
    /// How many signals have gone to several processes.
    pub(crate) broadcasts: std::sync::atomic::AtomicU64,
    /// Messages of the kernel.
    pub log: crate::log::KernelLog,
    /// Files that announce themselves by signals.
    pub async_files: AsyncFiles,
    /// What contexts of asynchronous input and output hold.
    pub aio_total: Arc<crate::aio::AioTotal>,
    /// Who may make rings: `kernel.io_uring_disabled`, 0 for everybody, 1 for the privileged, 2 for nobody.
    pub io_uring_disabled: std::sync::atomic::AtomicU32,
    /// Deadlines.
    pub timers: TimerQueue,
    /// Who waits for whose file locks.
    pub lock_graph: LockGraph,
    /// The internal mount that memory files are on.
    pub memfds: MemFdMount,
    /// The embedder's ear.
    pub events: Arc<dyn EventSink>,
    /// Woken when a signal is queued anywhere: signalfd(2).
    pub signal_notify: WaitQueue,
    /// Woken when a process dies, for the embedder's waits.
    pub exit_notify: WaitQueue,
    /// Host threads that carry tasks.
    threads: Arc<HostThreads>,
    /// Absent system calls that have been reported already, by name.
    reported: Mutex<FxHashSet<u64>>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The three standard streams of a process that the host starts.
#[derive(Clone, Debug)]
pub struct Stdio {
    /// Standard input.
    pub stdin: Arc<File>,
    /// Standard output.
    pub stdout: Arc<File>,
    /// Standard error.
    pub stderr: Arc<File>,
}

/// A process for the host to start.
#[derive(Clone, Debug)]
pub struct Spawn {
    /// The program: a path, found as execve(2) finds it.
    pub program: Vec<u8>,
    /// Arguments, the program's name first.
    pub args: Vec<Vec<u8>>,
    /// Environment, `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// Working directory.
    pub cwd: Vec<u8>,
    /// Identity.
    pub cred: Cred,
    /// Standard streams.
    pub stdio: Stdio,
    /// Make the process a session leader with the terminal of its standard input as controlling terminal.
    pub controlling_tty: bool,
    /// Passed on to all that descends from the process, and told to the embedder with what they do.
    pub context: u64,
}

impl Kernel {
    /// A kernel without processes. `ENOMEM` if the budget has no room for its own pages.
    pub fn new(
        config: Config,
        budget: Arc<MemoryBudget>,
        engine: Arc<dyn Engine>,
        mounts: Arc<MountNamespace>,
        events: Arc<dyn EventSink>,
    ) -> Result<Arc<Self>> {
        let uts = UtsNames {
            hostname: config.hostname.clone().into_bytes(),
            domainname: b"(none)".to_vec(),
        };
        let clock = Clock::new();
        let now = clock.realtime_vfs();
        let cgroups = Cgroups::new(now);
        let net = Network::new();
        let kernel = Arc::new(Self {
            vdso: VdsoPages::new(&budget, &clock)?,
            clock,
            tree: Mutex::new(Tree::default()),
            futexes: FutexTable::default(),
            budget,
            engine,
            namespaces: NsProxy::initial(uts, Arc::clone(&mounts), cgroups.root(), &net, now),
            cgroups,
            net,
            mounts,
            freezer: Freezer::default(),
            hooks: Hooks::default(),
            file_systems: OnceLock::new(),
            clock_watch: OnceLock::new(),
            oom: Mutex::new(()),
            broadcast_lock: RwLock::new(()),
            broadcasts: std::sync::atomic::AtomicU64::new(0),
            log: crate::log::KernelLog::default(),
            async_files: AsyncFiles::default(),
            aio_total: Arc::default(),
            io_uring_disabled: std::sync::atomic::AtomicU32::new(0),
            timers: TimerQueue::default(),
            lock_graph: LockGraph::default(),
            memfds: MemFdMount::default(),
            terminals: crate::tty::Terminals::default(),
            devices: DeviceTable::default(),
            events,
            signal_notify: WaitQueue::new(),
            exit_notify: WaitQueue::new(),
            threads: Arc::default(),
            reported: Mutex::new(FxHashSet::default()),
            config,
        });
        kernel.cgroups.set_kernel(&kernel);
        kernel.register_devices();
        kernel.watch_host_clock();
        let version = format!("Linux version {} (tuxlet)", kernel.config.release);
        kernel.log.info(kernel.clock.boottime_ns(), &version);
        Ok(kernel)
    }

    /// Starts a process in a session of its own, without a parent. The errors are those of execve(2). The caller waits for it with
    /// [`Kernel::wait_dead`] and [`Kernel::reap`], or gives it up with [`Kernel::disown`].
    pub fn spawn(self: &Arc<Self>, spawn: &Spawn) -> Result<Arc<ThreadGroup>> {
        let tgid = self.tree.lock().alloc_pid()?;
        let started = self.build_first(tgid, spawn).and_then(|current| {
            let task = Arc::clone(&current.task);
            self.join_cgroup(&task)?;
            self.insert_first(tgid, &task);
            if spawn.controlling_tty {
                crate::tty::acquire_controlling(self, &spawn.stdio.stdin, tgid);
            }
            self.start_thread(current)
                .inspect_err(|_| self.forget_unstarted(&task))?;
            Ok(Arc::clone(task.group()))
        });
        started.inspect_err(|_| self.tree.lock().release_pid(tgid))
    }

    fn build_first(self: &Arc<Self>, tgid: u32, spawn: &Spawn) -> Result<CurrentTask> {
        let fs = Arc::new(FsContext::new(self.mounts.root(), 0o022));
        let fds = Arc::new(crate::fd::FdTable::new());
        for file in [&spawn.stdio.stdin, &spawn.stdio.stdout, &spawn.stdio.stderr] {
            fds.install(Arc::clone(file), false, 0, 3)?;
        }
        let space = AddressSpace::new(&self.budget)?;
        let resources = Resources {
            mm: Mm::new(space, MmLayout::default(), None),
            fds,
            fs,
            ns: Arc::clone(&self.namespaces),
        };
        let group = ThreadGroup::first(tgid, Arc::clone(&self.namespaces.pid_for_children));
        group.owner_uid.store(spawn.cred.uid, Ordering::Relaxed);
        group.context.store(spawn.context, Ordering::Relaxed);
        let signals = TaskSignals {
            alt_stack: crate::task::disabled_stack(),
            ..TaskSignals::default()
        };
        let name = spawn
            .program
            .rsplit(|b| *b == b'/')
            .next()
            .unwrap_or(&spawn.program);
        let cred = Arc::new(spawn.cred.clone());
        let task = Task::new(
            self,
            tgid,
            group,
            cred,
            comm_bytes(name),
            resources.clone(),
            signals,
        );
        let mut current =
            CurrentTask::new(Arc::clone(self), task, resources, Box::new(CpuState::new()));
        current.change_directory(&spawn.cwd)?;
        current.exec_path(&spawn.program, spawn.args.clone(), spawn.env.clone())?;
        Ok(current)
    }

    fn insert_first(&self, tgid: u32, task: &Arc<Task>) {
        // The host waits for it, so process 1 is not its parent.
        let node = Node::new(Arc::clone(task.group()), 0, tgid, tgid);
        self.tree.lock().insert_group(node, Arc::clone(task));
    }

    /// Runs a task on a host thread of its own. `EAGAIN` when the host has no more threads.
    pub(crate) fn start_thread(self: &Arc<Self>, current: CurrentTask) -> Result<()> {
        if self.tree.lock().task_count() > self.config.max_tasks {
            return Err(Errno::EAGAIN);
        }
        let name = format!("guest-{}", current.task.tid());
        let counted = HostThread::new(&self.threads);
        let body = move || {
            // Ends after the task, which holds the kernel and with it the file systems.
            let _counted = counted;
            current.run();
        };
        thread::spawn(&name, self.config.stack_size, body).map_err(|_| Errno::EAGAIN)?;
        Ok(())
    }

    /// Takes a task out of the tree again whose thread could not be started.
    pub(crate) fn forget_unstarted(&self, task: &Arc<Task>) {
        self.leave_cgroup(task);
        let mut tree = self.tree.lock();
        tree.remove_thread(task);
        tree.tracees.remove(task.tid());
        if task.tid() == task.tgid() {
            let node = tree.reap(task.tgid());
            drop(tree);
            drop(node);
        }
    }

    /// A context for file operations on behalf of a task that is ending.
    pub(crate) fn cx_for(&self, task: &Task, fs: &FsContext) -> Cx {
        Cx {
            cred: task.cred(),
            umask: fs.umask(),
            now: self.clock.realtime_vfs(),
            fsize_limit: u64::MAX,
            tgid: task.tgid(),
            tid: task.tid(),
            context: task.group().context.load(Ordering::Relaxed),
        }
    }

    /// A context for file operations of the host itself, as the superuser.
    #[must_use]
    pub fn host_cx(&self) -> Cx {
        Cx {
            cred: Arc::new(Cred::root()),
            umask: 0,
            now: self.clock.realtime_vfs(),
            fsize_limit: u64::MAX,
            tgid: 0,
            tid: 0,
            context: 0,
        }
    }

    /// Logs a system call that is not there, once each.
    pub(crate) fn note_absent(&self, nr: u64, name: Option<&str>) {
        if self.reported.lock().insert(nr) {
            tracing::info!(
                "system call {nr} ({}) is not implemented: ENOSYS",
                name.unwrap_or("unknown")
            );
        }
    }

    /// Says what mount(2) can mount. Only the first call counts; without one every type is unknown.
    pub fn set_file_systems(&self, factory: Arc<dyn FileSystemFactory>) {
        let _ = self.file_systems.set(factory);
    }

    /// A file system for mount(2). `ENODEV` for an unknown type.
    pub(crate) fn make_file_system(
        self: &Arc<Self>,
        cx: &Cx,
        new: &NewFileSystem<'_>,
    ) -> Result<Arc<dyn FileSystem>> {
        let factory = self.file_systems.get().ok_or(Errno::ENODEV)?;
        let kind = new.kind;
        // Only some types are safe in the hands of who is privileged in another user namespace.
        if factory.knows(kind) && !cx.cred.has_cap(cap::SYS_ADMIN) && !FOR_ALL.contains(&kind) {
            return Err(Errno::EPERM);
        }
        factory.make(self, cx, new)
    }

    /// The options of mount(2) one by one.
    pub(crate) fn mount_options(&self, kind: &[u8], text: &[u8]) -> Vec<Parameter> {
        let factory = self.file_systems.get();
        split_options(text, factory.is_some_and(|f| f.quotes_commas(kind)))
    }

    /// Looks at the last parameter of a file system that is being configured.
    pub(crate) fn check_parameter(&self, cx: &Cx, new: &NewFileSystem<'_>) -> Result<()> {
        let factory = self.file_systems.get().ok_or(Errno::ENODEV)?;
        factory.check_last(cx, new)
    }

    pub(crate) fn knows_file_system(&self, kind: &[u8]) -> bool {
        self.file_systems.get().is_some_and(|f| f.knows(kind))
    }

    /// The live threads of a process; none if there is no such process.
    #[must_use]
    pub fn threads_of(&self, tgid: u32) -> Vec<Arc<Task>> {
        let tree = self.tree.lock();
        tree.node(tgid)
            .map(|n| n.threads.clone())
            .unwrap_or_default()
    }

    /// Whether a process is dead or gone.
    #[must_use]
    pub fn is_zombie(&self, tgid: u32) -> bool {
        self.tree
            .lock()
            .node(tgid)
            .is_none_or(|n| n.zombie.is_some())
    }

    /// The process that the OOM killer takes of those that `eligible` names: the largest resident set, weighted by
    /// `oom_score_adj` in thousandths of `total` pages; never process 1.
    pub(crate) fn oom_victim(
        &self,
        total: u64,
        eligible: impl Fn(&Task) -> bool,
    ) -> Option<Arc<ThreadGroup>> {
        let candidates: Vec<(Arc<ThreadGroup>, Arc<Task>)> = {
            let tree = self.tree.lock();
            let live = tree
                .groups()
                .filter(|(id, n)| *id != 1 && n.zombie.is_none())
                .filter(|(_, n)| n.threads.first().is_some_and(|t| eligible(t)));
            live.filter_map(|(_, n)| Some((Arc::clone(&n.group), Arc::clone(n.threads.first()?))))
                .collect()
        };
        let total = total.cast_signed();
        candidates
            .into_iter()
            .filter_map(|(group, task)| {
                let adjust = i64::from(group.oom_score_adj.load(Ordering::Relaxed));
                let usage = task.resources()?.mm.space.usage();
                let pages = (usage.rss_anon + usage.rss_shmem).cast_signed();
                (adjust > -1000).then_some((pages.saturating_add(adjust * (total / 1000)), group))
            })
            .max_by_key(|(score, _)| *score)
            .map(|(_, group)| group)
    }

    /// Sets `CLOCK_REALTIME` of the machine.
    pub fn set_realtime(&self, ns: i64) {
        self.clock.set_realtime(ns);
        self.realtime_has_jumped();
    }

    /// Lets jumps of the host's clock reach the guest: the vDSO, timers, sleepers.
    fn watch_host_clock(self: &Arc<Self>) {
        let jumped = Arc::new(HostClockJumped(Arc::downgrade(self)));
        match tuxlet_host::time::watch_realtime(jumped) {
            Ok(watch) => drop(self.clock_watch.set(watch)),
            Err(error) => tracing::debug!("jumps of the host's clock go unnoticed: {error}"),
        }
    }

    /// `CLOCK_REALTIME` reads otherwise than it would have: whoever waits for a time of that clock reckons anew.
    pub(crate) fn realtime_has_jumped(&self) {
        self.vdso.update(&self.clock);
        self.timers.clock_was_set();
        let tasks: Vec<_> = {
            let tree = self.tree.lock();
            tree.groups().flat_map(|(_, n)| n.threads.clone()).collect()
        };
        for task in tasks {
            task.waiter().notify();
        }
    }

    /// Kills every process, also those that they are about to fork: the machine is shutting down.
    pub fn kill_all(&self) {
        let mut first = true;
        loop {
            let groups: Vec<_> = self
                .tree
                .lock()
                .groups()
                .map(|(_, n)| Arc::clone(&n.group))
                .collect();
            let mut found = false;
            for group in groups {
                let new = group.signals.lock().group_exit.is_none();
                if first || new {
                    found |= new;
                    let status = crate::task::WaitStatus::Signaled(Signal::SIGKILL, false);
                    self.kill_group(&group, status);
                }
            }
            // Children that were not there yet when we looked; later ones are killed at birth.
            if !found {
                return;
            }
            first = false;
        }
    }

    /// Waits until a process that the host started is dead; `false` once the deadline has passed. It stays a zombie until
    /// [`Kernel::reap`].
    #[must_use]
    pub fn wait_dead(&self, group: &Arc<ThreadGroup>, deadline: Option<Instant>) -> bool {
        let waiter = tuxlet_sync::Waiter::new();
        let _registration = self.exit_notify.register(waiter.clone());
        loop {
            if self.death_of(group).is_none_or(|node| node.is_some()) {
                return true;
            }
            if waiter.wait(deadline) == WaitResult::TimedOut {
                return false;
            }
        }
    }

    /// `None` if the process is gone, else its final status if it is dead.
    fn death_of(&self, group: &Arc<ThreadGroup>) -> Option<Option<crate::task::WaitStatus>> {
        let tree = self.tree.lock();
        // The id may belong to another process by now.
        let node = tree
            .node(group.tgid())
            .filter(|n| Arc::ptr_eq(&n.group, group))?;
        Some(node.zombie)
    }

    /// Reaps a dead process that the host started and gives its status; `None` if that was done before, or it lives.
    pub fn reap(&self, group: &Arc<ThreadGroup>) -> Option<crate::task::WaitStatus> {
        let status = self.death_of(group)??;
        let node = self.tree.lock().reap(group.tgid());
        drop(node);
        Some(status)
    }

    /// The host will not wait for a process that it started: it is reaped when it dies.
    pub fn disown(&self, group: &Arc<ThreadGroup>) {
        if let Some(node) = self.tree.lock().node_mut(group.tgid())
            && Arc::ptr_eq(&node.group, group)
        {
            node.disowned = true;
        }
        self.reap(group);
    }
}

impl Node {
    /// A node of a new process in a session and process group of its own making.
    #[must_use]
    pub fn new(group: Arc<ThreadGroup>, parent: u32, pgid: u32, sid: u32) -> Self {
        Self {
            group,
            parent,
            children: Vec::new(),
            pgid,
            sid,
            threads: Vec::new(),
            zombie: None,
            claimed: false,
            disowned: false,
            report: None,
            stopped: false,
            exit_signal: Some(Signal::SIGCHLD),
            execed: false,
            usage: Rusage::default(),
            subreaper: false,
        }
    }
}

impl Kernel {
    /// Waits until every task has ended, as after [`Kernel::kill_all`], and has let go of all that it held.
    pub fn wait_all(&self) {
        let mut running = self.threads.running.lock();
        while *running > 0 {
            self.threads.ended.wait(&mut running);
        }
    }

    /// The first of some directories that exists, or `/`.
    #[must_use]
    pub fn first_directory(&self, cx: &Cx, candidates: &[&str]) -> String {
        let at = At::root(self.mounts.root());
        let flags = LookupFlags::FOLLOW | LookupFlags::DIRECTORY;
        let exists = |dir: &&&str| resolver::lookup(cx, &at, dir.as_bytes(), flags).is_ok();
        candidates
            .iter()
            .find(exists)
            .map_or_else(|| "/".into(), |dir| (*dir).to_string())
    }
}
