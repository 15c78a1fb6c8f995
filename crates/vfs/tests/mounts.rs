//! Mounts and what path walks, names and permissions make of them.

use std::sync::Arc;
use tuxlet_mem::MemoryBudget;
use tuxlet_tmpfs::{Options, Tmpfs};
use tuxlet_uapi::fcntl::OpenFlags;
use tuxlet_vfs::{
    At, Cred, Cx, DeviceId, Errno, File, FileSystem, FsContext, LookupFlags, MountFlags,
    MountNamespace, NewKind, Path, RenameFlags, Result, Time, access, create, link,
    open::{self, How, Opened},
    rename,
    resolver::lookup,
    setattr, unlink, xattr,
};

fn cx() -> Cx {
    Cx {
        umask: 0o22,
        ..Cx::host(Time {
            sec: 1_700_000_000,
            nsec: 0,
        })
    }
}

fn tmpfs() -> Arc<dyn FileSystem> {
    let options = Options {
        mode: 0o755,
        ..Options::default()
    };
    Tmpfs::new(&cx(), &MemoryBudget::unlimited(), options)
}

struct World {
    ns: Arc<MountNamespace>,
    fs: FsContext,
}

impl World {
    fn new() -> Self {
        let ns = MountNamespace::new(&tmpfs(), MountFlags::empty(), b"root");
        let fs = FsContext::new(ns.root(), 0o22);
        Self { ns, fs }
    }
    fn at(&self) -> At {
        self.fs.at_cwd()
    }
    fn find(&self, path: &str) -> Result<Path> {
        lookup(&cx(), &self.at(), path.as_bytes(), LookupFlags::FOLLOW)
    }
    fn mkdir(&self, path: &str) {
        create::mkdir(&cx(), &self.at(), path.as_bytes(), 0o777).unwrap();
    }
    fn open(&self, path: &str, flags: OpenFlags) -> Result<Arc<File>> {
        let how = How {
            flags,
            mode: 0o666,
            resolve: LookupFlags::empty(),
        };
        match open::open(&cx(), &self.at(), path.as_bytes(), &how)? {
            Opened::File(file) => Ok(file),
            Opened::Special(_) => Err(Errno::ENXIO),
        }
    }
    fn touch(&self, path: &str) {
        self.open(path, OpenFlags::CREAT | OpenFlags::WRONLY)
            .unwrap();
    }
    fn mount(&self, at: &str, flags: MountFlags) -> Result<()> {
        self.ns
            .mount(&cx(), &tmpfs(), &self.find(at)?, flags, b"tmpfs")
            .map(|_| ())
    }
    fn umount(&self, at: &str, lazy: bool) -> Result<()> {
        self.ns.umount(&cx(), self.find(at)?, lazy)
    }
    fn print(&self, path: &str) -> String {
        let (out, _) = self.find(path).unwrap().print(&self.fs.root());
        String::from_utf8(out).unwrap()
    }
    fn points(&self) -> Vec<String> {
        let list = self.ns.list(&self.fs.root());
        list.iter()
            .map(|m| String::from_utf8_lossy(&m.mountpoint).into_owned())
            .collect()
    }
}

#[test]
fn a_mount_hides_and_umount_shows_again() {
    let w = World::new();
    w.mkdir("m");
    w.touch("m/below");
    w.mount("m", MountFlags::empty()).unwrap();
    assert_eq!(w.find("m/below").unwrap_err(), Errno::ENOENT);
    w.mkdir("m/d");
    assert_eq!(w.print("m/d/.."), "/m");
    assert_eq!(w.print("m/d/../../m/d"), "/m/d");
    assert_eq!(w.points(), ["/", "/m"]);
    let open = w.open("m/f", OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
    assert_eq!(w.umount("m", false).unwrap_err(), Errno::EBUSY);
    drop(open);
    w.umount("m", false).unwrap();
    w.find("m/below").unwrap();
    assert_eq!(w.umount("m", false).unwrap_err(), Errno::EINVAL);
    assert_eq!(w.umount("/", false).unwrap_err(), Errno::EBUSY);
}

#[test]
fn a_lazily_unmounted_tree_lives_on_for_its_users() {
    let w = World::new();
    w.mkdir("m");
    w.mount("m", MountFlags::empty()).unwrap();
    w.mkdir("m/d");
    w.mount("m/d", MountFlags::empty()).unwrap();
    w.fs.set_cwd(w.find("m/d").unwrap());
    w.touch("f");
    w.umount("/m", true).unwrap();
    assert_eq!(w.points(), ["/"]);
    w.find("f").unwrap();
    let cwd = w.fs.cwd().getcwd(&w.fs.root()).unwrap();
    assert_eq!(cwd, b"(unreachable)/");
}

#[test]
fn mount_points_are_busy() {
    let w = World::new();
    w.mkdir("m");
    w.mount("m", MountFlags::empty()).unwrap();
    let at = w.at();
    assert_eq!(unlink::rmdir(&cx(), &at, b"m").unwrap_err(), Errno::EBUSY);
    let none = RenameFlags::empty();
    assert_eq!(
        rename::rename(&cx(), &at, b"m", &at, b"x", none).unwrap_err(),
        Errno::EBUSY
    );
    w.touch("m/f");
    assert_eq!(
        rename::rename(&cx(), &at, b"m/f", &at, b"f", none).unwrap_err(),
        Errno::EXDEV
    );
    let f = w.find("m/f").unwrap();
    assert_eq!(link::link(&cx(), &f, &at, b"f").unwrap_err(), Errno::EXDEV);
}

#[test]
fn bind_mounts_show_one_tree_twice() {
    let w = World::new();
    for dir in ["a", "a/b", "x", "y"] {
        w.mkdir(dir);
    }
    w.mount("a/b", MountFlags::empty()).unwrap();
    w.mkdir("a/b/inner");
    let a = w.find("a").unwrap();
    w.ns.bind(&cx(), &a, &w.find("x").unwrap(), false).unwrap();
    w.ns.bind(&cx(), &a, &w.find("y").unwrap(), true).unwrap();
    assert_eq!(w.find("x/b/inner").unwrap_err(), Errno::ENOENT);
    w.find("y/b/inner").unwrap();
    w.touch("a/new");
    w.find("x/new").unwrap();
    assert_eq!(w.print("x/b/.."), "/x");
    let info = w.ns.list(&w.fs.root());
    let x = info.iter().find(|m| m.mountpoint == b"/x").unwrap();
    assert_eq!(x.root, b"/a");
    // A file on a file.
    w.touch("f");
    w.ns.bind(
        &cx(),
        &w.find("a/new").unwrap(),
        &w.find("f").unwrap(),
        false,
    )
    .unwrap();
    assert_eq!(
        w.find("f").unwrap().inode().id(),
        w.find("a/new").unwrap().inode().id()
    );
    let onto_dir = w.ns.bind(&cx(), &w.find("a/new").unwrap(), &a, false);
    assert_eq!(onto_dir.unwrap_err(), Errno::ENOTDIR);
}

#[test]
fn a_read_only_mount_refuses_every_change() {
    let w = World::new();
    w.mkdir("m");
    w.mount("m", MountFlags::empty()).unwrap();
    w.touch("m/f");
    let writer = w.open("m/f", OpenFlags::WRONLY).unwrap();
    let m = w.find("m").unwrap();
    let read_only = || w.ns.remount(&cx(), &m, MountFlags::RDONLY, true);
    assert_eq!(read_only().unwrap_err(), Errno::EBUSY);
    drop(writer);
    read_only().unwrap();
    let at = w.at();
    let f = w.find("m/f").unwrap();
    let none = RenameFlags::empty();
    let refused = [
        w.open("m/f", OpenFlags::WRONLY).map(|_| ()),
        w.open("m/g", OpenFlags::CREAT).map(|_| ()),
        create::mkdir(&cx(), &at, b"m/d", 0o777).map(|_| ()),
        create::symlink(&cx(), &at, b"x", b"m/l").map(|_| ()),
        unlink::unlink(&cx(), &at, b"m/f"),
        unlink::unlink(&cx(), &at, b"m/missing"),
        rename::rename(&cx(), &at, b"m/f", &at, b"m/g", none),
        link::link(&cx(), &f, &at, b"m/g"),
        setattr::chmod(&cx(), &f, 0o600),
        setattr::chown(&cx(), &f, Some(1), None),
        setattr::truncate(&cx(), &f, 0),
        xattr::set(&cx(), &f, b"user.x", b"", 0),
        access::access(&cx(), &at, b"m/f", 2, LookupFlags::FOLLOW, false),
    ];
    assert!(
        refused.iter().all(|r| *r == Err(Errno::EROFS)),
        "{refused:?}"
    );
    w.open("m/f", OpenFlags::empty()).unwrap();
    assert_eq!(
        create::mkdir(&cx(), &at, b"m/f", 0).unwrap_err(),
        Errno::EEXIST
    );
    w.ns.remount(&cx(), &m, MountFlags::empty(), true).unwrap();
    w.touch("m/g");
}

#[test]
fn noexec_and_nodev_count_at_open() {
    let w = World::new();
    w.mkdir("m");
    w.mount("m", MountFlags::NODEV | MountFlags::NOEXEC)
        .unwrap();
    let null = NewKind::CharDevice(DeviceId::new(1, 3));
    create::mknod(&cx(), &w.at(), b"m/null", null, 0o666).unwrap();
    create::mknod(&cx(), &w.at(), b"null", null, 0o666).unwrap();
    assert_eq!(
        w.open("m/null", OpenFlags::RDWR).unwrap_err(),
        Errno::EACCES
    );
    assert_eq!(w.open("null", OpenFlags::RDWR).unwrap_err(), Errno::ENXIO);
    w.touch("m/f");
    setattr::chmod(&cx(), &w.find("m/f").unwrap(), 0o755).unwrap();
    let program = open::open_exec(&cx(), w.find("m/f").unwrap());
    assert_eq!(program.unwrap_err(), Errno::EACCES);
}

#[test]
fn pivot_root_swaps_the_trees() {
    let w = World::new();
    w.mkdir("new");
    w.touch("old-file");
    w.mount("new", MountFlags::empty()).unwrap();
    w.mkdir("new/old");
    let (new, put) = (w.find("new").unwrap(), w.find("new/old").unwrap());
    let done = w.ns.pivot_root(&cx(), &new, &put, &w.fs.root()).unwrap();
    w.fs.replace(|p| p.is(&done.old_root).then(|| done.new_root.clone()));
    w.find("/old/old-file").unwrap();
    assert_eq!(w.points(), ["/old", "/"]);
    assert_eq!(w.print("/old/.."), "/");
    w.umount("/old", true).unwrap();
    assert_eq!(w.find("/old/old-file").unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_chroot_cannot_be_left_by_dot_dot() {
    let w = World::new();
    w.mkdir("jail");
    w.touch("secret");
    w.fs.set_root(w.find("jail").unwrap());
    w.fs.set_cwd(w.fs.root());
    assert_eq!(w.find("../../secret").unwrap_err(), Errno::ENOENT);
    assert_eq!(w.find("/../secret").unwrap_err(), Errno::ENOENT);
    create::symlink(&cx(), &w.at(), b"/../secret", b"l").unwrap();
    assert_eq!(w.find("l").unwrap_err(), Errno::ENOENT);
}

#[test]
fn a_copied_namespace_is_independent() {
    let w = World::new();
    w.mkdir("m");
    w.mount("m", MountFlags::empty()).unwrap();
    w.touch("m/f");
    let (ns, made) = w.ns.copy(w.ns.owner());
    let other = FsContext::new(w.fs.root(), 0);
    other.replace(|p| {
        let mount = Arc::clone(made.get(&p.mount.id())?);
        Some(Path {
            mount,
            dentry: Arc::clone(&p.dentry),
        })
    });
    let at = other.at_cwd();
    let m = lookup(&cx(), &at, b"m", LookupFlags::FOLLOW).unwrap();
    ns.umount(&cx(), m, true).unwrap();
    assert_eq!(
        lookup(&cx(), &at, b"m/f", LookupFlags::FOLLOW).unwrap_err(),
        Errno::ENOENT
    );
    w.find("m/f").unwrap();
}

#[test]
fn only_the_privileged_mount() {
    let w = World::new();
    let user = Cx {
        cred: Arc::new(Cred::user(1000, 1000)),
        ..cx()
    };
    let tried =
        w.ns.mount(&user, &tmpfs(), &w.fs.root(), MountFlags::empty(), b"x");
    assert_eq!(tried.unwrap_err(), Errno::EPERM);
}

#[test]
fn deleted_names_print_as_deleted() {
    let w = World::new();
    w.mkdir("d");
    let file = w.open("d/f", OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
    rename::rename(&cx(), &w.at(), b"d", &w.at(), b"e", RenameFlags::empty()).unwrap();
    assert_eq!(file.d_path(&w.fs.root()), b"/e/f");
    unlink::unlink(&cx(), &w.at(), b"e/f").unwrap();
    assert_eq!(file.d_path(&w.fs.root()), b"/e/f (deleted)");
    let unnamed = w.open("e", OpenFlags::TMPFILE | OpenFlags::RDWR).unwrap();
    assert!(unnamed.d_path(&w.fs.root()).starts_with(b"/e/#"));
}

#[test]
fn the_size_limit_of_a_process_holds() {
    let w = World::new();
    let file = w.open("f", OpenFlags::CREAT | OpenFlags::RDWR).unwrap();
    let limited = Cx {
        fsize_limit: 10,
        ..cx()
    };
    assert_eq!(file.write(&limited, &mut &b"0123456"[..]), Ok(7));
    assert_eq!(file.write(&limited, &mut &b"789abc"[..]), Ok(3));
    assert_eq!(file.write(&limited, &mut &b"x"[..]), Err(Errno::EFBIG));
    assert_eq!(setattr::ftruncate(&limited, &file, 11), Err(Errno::EFBIG));
    assert_eq!(setattr::ftruncate(&limited, &file, 4), Ok(()));
}

#[test]
fn more_names_than_the_cache_holds_and_a_very_deep_path() {
    let w = World::new();
    w.mkdir("many");
    for i in 0..20_000 {
        w.touch(&format!("many/{i}"));
    }
    for i in (0..20_000).step_by(997) {
        w.find(&format!("many/{i}")).unwrap();
    }
    let root = w.fs.root();
    let mut dir = root.clone();
    for _ in 0..20_000 {
        let at = At {
            root: root.clone(),
            dir,
        };
        dir = create::mkdir(&cx(), &at, b"d", 0o777).unwrap();
    }
    drop(dir);
    lookup(&cx(), &w.at(), &b"d/".repeat(1500), LookupFlags::empty()).unwrap();
    let full = w.find("many/1").unwrap();
    drop(w);
    assert_eq!(full.dentry.name().as_ref(), b"1");
}
