//! Times of creating, looking up, and removing files in a store: `cargo run --release --example namespace`.

use std::{sync::Arc, time::Instant};
use tuxlet_fakefs::{FakeFs, Options};
use tuxlet_vfs::{Cred, Cx, FileSystem as _, NewInode, NewKind, Time};

const FILES: u32 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args_os()
        .nth(1)
        .ok_or("give a directory that does not exist yet")?;
    let dir = std::path::Path::new(&dir);
    let timed = |what: &str, f: &mut dyn FnMut() -> Result<(), Box<dyn std::error::Error>>| {
        let start = Instant::now();
        f()?;
        println!(
            "{what:<28} {:>9.3} us each",
            start.elapsed().as_secs_f64() * 1e6 / f64::from(FILES)
        );
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    let cx = Cx {
        cred: Arc::new(Cred::root()),
        umask: 0o022,
        now: Time { sec: 1, nsec: 0 },
        fsize_limit: u64::MAX,
        tgid: 0,
        tid: 0,
        context: 0,
    };
    let start = Instant::now();
    FakeFs::create(dir)?;
    let fs = FakeFs::open(dir, &Options::default())?;
    println!(
        "{:<28} {:>9.3} ms",
        "make and open a store",
        start.elapsed().as_secs_f64() * 1e3
    );
    let root = fs.root();
    let name = |i: u32| format!("file-{i}").into_bytes();
    let new = NewInode {
        kind: NewKind::Regular,
        mode: 0o644,
        uid: 0,
        gid: 0,
    };
    timed("create", &mut || {
        for i in 0..FILES {
            root.create(&cx, &name(i), &new)?;
        }
        Ok(())
    })?;
    timed("lookup and stat", &mut || {
        for i in 0..FILES {
            root.lookup(&cx, &name(i))?.attr(&cx)?;
        }
        Ok(())
    })?;
    timed("commit", &mut || Ok(fs.sync()?))?;
    timed("write 100 bytes", &mut || {
        for i in 0..FILES {
            let file = root.lookup(&cx, &name(i))?.open(&cx, 2)?;
            file.write_at(&cx, 0, &mut &[7; 100][..])?;
        }
        Ok(())
    })?;
    timed("commit", &mut || Ok(fs.sync()?))?;
    drop(root);
    fs.shutdown()?;
    drop(fs);
    let start = Instant::now();
    let fs = FakeFs::open(dir, &Options::default())?;
    println!(
        "{:<28} {:>9.3} ms",
        "open",
        start.elapsed().as_secs_f64() * 1e3
    );
    let root = fs.root();
    timed("first lookup and stat", &mut || {
        for i in 0..FILES {
            root.lookup(&cx, &name(i))?.attr(&cx)?;
        }
        Ok(())
    })?;
    timed("read 100 bytes", &mut || {
        for i in 0..FILES {
            let file = root.lookup(&cx, &name(i))?.open(&cx, 0)?;
            let mut buf = [0; 100];
            file.read_at(&cx, 0, &mut &mut buf[..])?;
        }
        Ok(())
    })?;
    timed("unlink", &mut || {
        for i in 0..FILES {
            root.unlink(&cx, &name(i))?;
        }
        Ok(())
    })?;
    timed("commit", &mut || Ok(fs.sync()?))?;
    timed("create, write and unlink", &mut || {
        for i in 0..FILES {
            let file = root.create(&cx, &name(i), &new)?.open(&cx, 2)?;
            file.write_at(&cx, 0, &mut &[7; 100][..])?;
            drop(file);
            root.unlink(&cx, &name(i))?;
        }
        Ok(())
    })?;
    timed("commit", &mut || Ok(fs.sync()?))?;
    Ok(())
}
