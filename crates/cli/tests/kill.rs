//! kill -9 during an import leaves no half image behind, and a store that opens.

use std::{
    error::Error,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const ROUNDS: u64 = 12;
const FILES: usize = 400;

fn archive(path: &Path) -> Result<()> {
    let mut tar = tar::Builder::new(fs::File::create(path)?);
    for i in 0..FILES {
        let content = vec![(i % 251) as u8; 20_000];
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append_data(&mut header, format!("dir{}/file{i}", i % 20), &content[..])?;
    }
    tar.finish()?;
    Ok(())
}

fn tuxlet(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
    command
        .env("TUXLET_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn images(home: &Path) -> Result<String> {
    let out = tuxlet(home).args(["images", "-q"]).output()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8(out.stdout)?)
}

/// Everything the image holds, as its export lists it.
fn entries(home: &Path) -> Result<usize> {
    let file = home.join("export.tar");
    let out = tuxlet(home)
        .arg("export")
        .arg("-o")
        .arg(&file)
        .arg("thing")
        .output()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mut tar = tar::Archive::new(fs::File::open(&file)?);
    let mut files = 0;
    for entry in tar.entries()? {
        let entry = entry?;
        files += usize::from(entry.header().entry_type().is_file() && entry.size() == 20_000);
    }
    Ok(files)
}

#[test]
fn a_killed_import_leaves_nothing_and_can_be_repeated() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let home = dir.path().join("home");
    let tar = dir.path().join("thing.tar");
    archive(&tar)?;
    let mut killed = 0;
    for round in 0..ROUNDS {
        let mut child = tuxlet(&home).arg("import").arg(&tar).arg("thing").spawn()?;
        // Different moments: while it opens the store, writes files, commits.
        std::thread::sleep(Duration::from_millis(5 + round * round * 4));
        if child.try_wait()?.is_none() {
            child.kill()?;
            killed += 1;
        }
        child.wait()?;
        // Either the whole image or none of it.
        let listed = images(&home)?;
        if !listed.trim().is_empty() {
            assert_eq!(entries(&home)?, FILES, "round {round}");
        }
    }
    assert!(killed > 0, "no import was caught in the middle");
    let out = tuxlet(&home)
        .arg("import")
        .arg(&tar)
        .arg("thing")
        .output()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert_eq!(entries(&home)?, FILES);
    let leftovers: Vec<_> = fs::read_dir(home.join("layers"))?.collect::<std::io::Result<_>>()?;
    assert_eq!(
        leftovers.len(),
        1,
        "one image needs one layer: {leftovers:?}"
    );
    Ok(())
}
