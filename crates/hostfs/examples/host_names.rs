//! Times of creating, looking up, and removing files below a host directory:
//! `cargo run --release -p tuxlet-hostfs --example host_names -- DIR`.

use std::{path::Path, sync::Arc, time::Instant};
use tuxlet_hostfs::{HostFs, Options};
use tuxlet_vfs::{Cred, Cx, FileSystem as _, NewInode, NewKind, Time};

const FILES: u32 = 10_000;

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn timed(what: &str, f: impl FnOnce() -> Outcome) -> Outcome {
    let start = Instant::now();
    f()?;
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(FILES);
    println!("{what:<28} {each:>9.3} us each");
    Ok(())
}

/// Each operation has its own time, as each system call has.
fn cx(i: u32) -> Cx {
    Cx {
        cred: Arc::new(Cred::root()),
        umask: 0o022,
        now: Time {
            sec: i64::from(i),
            nsec: 0,
        },
        fsize_limit: u64::MAX,
        tgid: 1,
        tid: 1,
        context: 0,
    }
}

fn main() -> Outcome {
    let dir = std::env::args_os().nth(1).ok_or("give a directory")?;
    let fs = HostFs::open(Path::new(&dir), &Options::default())?;
    let new = |kind, mode| NewInode {
        kind,
        mode,
        uid: 0,
        gid: 0,
    };
    let top = fs
        .root()
        .create(&cx(0), b"bench", &new(NewKind::Directory, 0o755))?;
    let name = |i: u32| format!("file-{i}").into_bytes();
    timed("create", || {
        for i in 0..FILES {
            top.create(&cx(i), &name(i), &new(NewKind::Regular, 0o644))?;
        }
        Ok(())
    })?;
    timed("lookup and stat", || {
        for i in 0..FILES {
            top.lookup(&cx(i), &name(i))?.attr(&cx(i))?;
        }
        Ok(())
    })?;
    timed("open, write and close", || {
        for i in 0..FILES {
            let file = top.lookup(&cx(i), &name(i))?.open(&cx(i), 2)?;
            file.write_at(&cx(i), 0, &mut &[7; 100][..])?;
        }
        Ok(())
    })?;
    timed("unlink", || {
        for i in 0..FILES {
            top.unlink(&cx(i), &name(i))?;
        }
        Ok(())
    })?;
    fs.root().rmdir(&cx(0), b"bench")?;
    Ok(())
}
