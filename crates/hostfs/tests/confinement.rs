//! Attacks on the confinement to a directory: the host's side swaps directories, files and links while guests walk,
//! open and change what they find. Nothing outside may ever be seen or changed.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tuxlet_hostfs::{HostFs, Options};
use tuxlet_uapi::fcntl::OpenFlags;
use tuxlet_vfs::{
    At, Cx, FileSystem, FsContext, LookupFlags, MountFlags, MountNamespace, SetTime, Time, create,
    link,
    open::{self, How, Opened},
    rename, resolver, setattr, unlink, xattr,
};

const SECRET: &[u8] = b"outside";
const INSIDE: &[u8] = b"inside";
/// Rounds of the host's side; each guest thread goes round until it is done.
const ROUNDS: u32 = 1500;

fn cx() -> Cx {
    Cx::host(Time {
        sec: 1_700_000_000,
        nsec: 0,
    })
}

/// What can be told of a file and its surroundings, to notice any change.
fn fingerprint(dir: &Path) -> Vec<String> {
    let mut all: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = std::fs::symlink_metadata(entry.path()).unwrap();
            let data = if meta.is_file() {
                std::fs::read(entry.path()).unwrap()
            } else {
                Vec::new()
            };
            format!(
                "{:?} {:o} {} {} {} {data:?}",
                entry.file_name(),
                meta.mode(),
                meta.uid(),
                meta.nlink(),
                meta.mtime()
            )
        })
        .collect();
    all.sort();
    all.push(format!("{:o}", std::fs::metadata(dir).unwrap().mode()));
    all
}

/// One round of everything that a guest can do to `d/f` and in `d`. Whatever fails, fails; what is read must be ours.
fn attack(at: &At, n: u64) {
    let cx = cx();
    let open = |path: &str, flags: OpenFlags| {
        let how = How {
            flags,
            mode: 0o600,
            resolve: LookupFlags::empty(),
        };
        match open::open(&cx, at, path.as_bytes(), &how) {
            Ok(Opened::File(file)) => Some(file),
            _ => None,
        }
    };
    for path in ["d/f", "d/../d/f", "l/f", "d/sub/f", "f"] {
        if let Some(file) = open(path, OpenFlags::empty()) {
            let mut data = [0; 64];
            let mut space = &mut data[..];
            if let Ok(n) = file.pread(&cx, 0, &mut space) {
                assert_ne!(&data[..n], SECRET, "{path} leads outside");
            }
        }
        if let Some(file) = open(path, OpenFlags::WRONLY) {
            let mut from = INSIDE;
            let _ = file.pwrite(&cx, 0, &mut from, false);
        }
        if let Ok(found) = resolver::lookup(&cx, at, path.as_bytes(), LookupFlags::FOLLOW) {
            let _ = setattr::chmod(&cx, &found, 0o611);
            let _ = setattr::truncate(&cx, &found, 3);
            let now = SetTime::At(Time { sec: 1, nsec: 0 });
            let _ = setattr::utimens(&cx, &found, Some(now), Some(now));
            let _ = xattr::set(&cx, &found, b"user.attack", b"x", 0);
            let name = format!("stolen{n}");
            let _ = link::link(&cx, &found, at, name.as_bytes());
            let _ = unlink::unlink(&cx, at, name.as_bytes());
        }
    }
    for dir in ["d", "l", "d/sub"] {
        let name = format!("{dir}/new{n}");
        drop(open(
            &name,
            OpenFlags::CREAT | OpenFlags::EXCL | OpenFlags::WRONLY,
        ));
        let _ = create::mkdir(&cx, at, format!("{name}d").as_bytes(), 0o700);
        let flags = tuxlet_vfs::RenameFlags::empty();
        let _ = rename::rename(&cx, at, name.as_bytes(), at, b"moved", flags);
        let _ = unlink::unlink(&cx, at, format!("{dir}/f").as_bytes());
        let _ = unlink::rmdir(&cx, at, format!("{name}d").as_bytes());
        if let Ok(found) = resolver::lookup(&cx, at, dir.as_bytes(), LookupFlags::FOLLOW) {
            let _ = setattr::chmod(&cx, &found, 0o711);
        }
    }
}

#[test]
fn racing_swaps_on_the_host_never_lead_outside() {
    let t = tempfile::tempdir().unwrap();
    let (outside, inside) = (t.path().join("outside"), t.path().join("inside"));
    for dir in [&outside, &inside] {
        std::fs::create_dir(dir).unwrap();
        std::fs::create_dir(dir.join("sub")).unwrap();
    }
    std::fs::write(outside.join("f"), SECRET).unwrap();
    std::fs::write(outside.join("sub/f"), SECRET).unwrap();
    std::fs::set_permissions(outside.join("f"), PermissionsExt::from_mode(0o640)).unwrap();
    let before = (fingerprint(&outside), fingerprint(&outside.join("sub")));

    let fs: Arc<dyn FileSystem> = HostFs::open(&inside, &Options::default()).unwrap();
    let ns = MountNamespace::new(&fs, MountFlags::empty(), b"host");
    let context = Arc::new(FsContext::new(ns.root(), 0));
    let done = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU64::new(0));
    let guests: Vec<_> = (0..2)
        .map(|_| {
            let (context, done, rounds) =
                (Arc::clone(&context), Arc::clone(&done), Arc::clone(&rounds));
            std::thread::spawn(move || {
                while !done.load(Ordering::Acquire) {
                    attack(&context.at_cwd(), rounds.fetch_add(1, Ordering::Relaxed));
                }
            })
        })
        .collect();

    // The host's side: what is a directory or a file becomes a link out of the tree and back, and is moved about.
    let out = |name: &str| symlink(&outside, inside.join(name));
    let up = |name: &str| symlink("../outside", inside.join(name));
    let gone = |name: &str| {
        let path = inside.join(name);
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
    };
    for i in 0..ROUNDS {
        gone("d");
        match i % 4 {
            0 => drop(out("d")),
            1 => drop(up("d")),
            _ => {
                let _ = std::fs::create_dir_all(inside.join("d/sub"));
                let _ = std::fs::write(inside.join("d/f"), INSIDE);
                let _ = std::fs::remove_file(inside.join("d/f"));
                let _ = symlink(outside.join("f"), inside.join("d/f"));
                let _ = std::fs::remove_dir(inside.join("d/sub"));
                let _ = symlink(outside.join("sub"), inside.join("d/sub"));
            }
        }
        gone("l");
        let _ = symlink(
            ["d", "/d", "../outside", "d/.."][i as usize % 4],
            inside.join("l"),
        );
        gone("f");
        let _ = symlink("../outside/f", inside.join("f"));
        // A directory that a guest may be in goes out of the tree and comes back.
        let _ = std::fs::rename(inside.join("d"), t.path().join("away"));
        let _ = std::fs::remove_file(t.path().join("away"));
        let _ = std::fs::remove_dir_all(t.path().join("away"));
    }
    done.store(true, Ordering::Release);
    for guest in guests {
        guest.join().unwrap();
    }
    assert!(
        rounds.load(Ordering::Relaxed) > 0,
        "the guests have had their turns"
    );
    let after = (fingerprint(&outside), fingerprint(&outside.join("sub")));
    assert_eq!(before, after);
    let around: Vec<_> = std::fs::read_dir(t.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        around.iter().all(|n| n == "inside" || n == "outside"),
        "{around:?}"
    );
}

/// The guest moves the directory that it walks up from: `..` must not pass the root, and links stay inside.
#[test]
fn racing_renames_by_guests_never_pass_the_root() {
    let t = tempfile::tempdir().unwrap();
    std::fs::write(t.path().join("secret"), SECRET).unwrap();
    let inside = t.path().join("inside");
    std::fs::create_dir_all(inside.join("a/b/c/d")).unwrap();
    std::fs::create_dir_all(inside.join("x")).unwrap();
    let fs: Arc<dyn FileSystem> = HostFs::open(&inside, &Options::default()).unwrap();
    let ns = MountNamespace::new(&fs, MountFlags::empty(), b"host");
    let context = Arc::new(FsContext::new(ns.root(), 0));
    let done = Arc::new(AtomicBool::new(false));
    let walker = {
        let (context, done) = (Arc::clone(&context), Arc::clone(&done));
        std::thread::spawn(move || {
            let cx = cx();
            while !done.load(Ordering::Acquire) {
                for path in [
                    "a/b/c/d/../../../../../secret",
                    "x/c/d/../../../../secret",
                    "../../../../secret",
                    "a/b/../../../secret",
                ] {
                    let found = resolver::lookup(
                        &cx,
                        &context.at_cwd(),
                        path.as_bytes(),
                        LookupFlags::FOLLOW,
                    );
                    assert!(found.is_err(), "{path} was found");
                }
            }
        })
    };
    let cx = cx();
    let at = context.at_cwd();
    let none = tuxlet_vfs::RenameFlags::empty();
    for _ in 0..ROUNDS {
        rename::rename(&cx, &at, b"a/b/c", &at, b"x/c", none).unwrap();
        rename::rename(&cx, &at, b"x/c", &at, b"a/b/c", none).unwrap();
    }
    done.store(true, Ordering::Release);
    walker.join().unwrap();
}
