//! A file system without room: `fill DIRECTORY` writes until nothing more goes in, says with which errors, makes room, and goes on. Without a
//! directory it says nothing.

use guest::{error_name, say};
use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

fn result<T>(r: std::io::Result<T>) -> String {
    match r {
        Ok(_) => "ok".into(),
        Err(e) => error_name(e.raw_os_error().unwrap_or(0)),
    }
}

/// Bytes.
const MOST: u32 = 64 << 20;

/// The first error of something done again and again.
fn first_error(mut f: impl FnMut(u32) -> std::io::Result<()>) -> String {
    (0..2000).find_map(|n| f(n).err()).map_or("none".into(), |e| result::<()>(Err(e)))
}

fn main() {
    let Some(dir) = std::env::args().nth(1) else { return };
    let dir = Path::new(&dir);
    say!("directory: {}", result(fs::create_dir_all(dir)));
    let kept = dir.join("kept");
    say!("kept: {}", result(fs::write(&kept, "kept").and_then(|()| File::open(&kept)?.sync_all())));
    let large = dir.join("large");
    match File::create(&large) {
        Ok(mut file) => {
            let block = vec![7u8; 64 << 10];
            // No more than this, where the disk is not small after all.
            let bounded = |n: u32| if n < MOST / (64 << 10) { Ok(()) } else { Err(std::io::ErrorKind::StorageFull.into()) };
            say!("write: {}", first_error(|n| bounded(n).and_then(|()| file.write_all(&block))));
            // The last bytes too.
            say!("byte: {}", first_error(|n| bounded(n).and_then(|()| file.write_all(b"x"))));
            say!("fsync: {}", result(file.sync_all()));
        }
        Err(e) => say!("large: {}", result::<()>(Err(e))),
    }
    let synced = |path: &Path| File::create(path)?.sync_all();
    say!("new files: {}", first_error(|n| synced(&dir.join(format!("{n}-{}", "x".repeat(200))))));
    say!("read: {}", result(fs::read(&kept)));
    say!("remove: {}", result(fs::remove_file(&large)));
    let again = dir.join("again");
    // What was removed makes room when the store has noted it.
    let made = (0..100).any(|_| {
        let written = fs::write(&again, "again").and_then(|()| File::open(&again)?.sync_all());
        if written.is_err() {
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        written.is_ok()
    });
    say!("again: {made}");
}
