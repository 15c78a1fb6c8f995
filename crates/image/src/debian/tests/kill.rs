//! kill -9 during `pull`: whatever the moment, the store opens, holds the whole image or none of it, and the next attempt succeeds.
//!
//! The child is this test program again. It tells of every step, and waits at each for leave to go on, so that it is caught
//! where it is to be caught.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use super::*;
use crate::provision::pull_debian;

/// The directory of the fixture, for the child.
const PLACE: &str = "TUXLET_KILL_PULL";
/// How many kills; each at another step.
const ROUNDS: &str = "TUXLET_KILL_ROUNDS";

/// Tells the parent of each step on standard output.
#[derive(Debug, Default)]
struct Told(Mutex<()>);

impl Told {
    fn step(&self) {
        let _one = self.0.lock().unwrap();
        println!("\nstep");
        std::io::stdout().flush().unwrap();
        let mut leave = String::new();
        std::io::stdin().read_line(&mut leave).unwrap();
    }
}

impl Progress for Told {
    fn begin(&self, _: Stage, _: u64) {
        self.step();
    }
    fn advance(&self, _: Stage, _: u64) {
        self.step();
    }
    fn item(&self, _: Stage, _: &str) {
        self.step();
    }
    fn end(&self, _: Stage) {
        self.step();
    }
}

/// As a guest's set-up does: changes the store it is given.
struct Touch;

impl Configure for Touch {
    fn run(
        &mut self,
        fs_dir: &Path,
        _: &[GuestCommand],
        output: &mut dyn FnMut(&[u8]),
    ) -> Result<()> {
        let fs = tuxlet_fakefs::FakeFs::open(fs_dir, &tuxlet_fakefs::Options::default());
        output(b"Setting up base-files (1)\n");
        drop(fs.unwrap());
        Ok(())
    }
}

fn options(place: &Path) -> Options {
    Options {
        mirror: Some(format!("file://{}", place.join("debian").display())),
        keyrings: vec![place.join("key.gpg")],
        host_root: place.to_owned(),
        ..Options::new(&Config::default())
    }
}

fn pull(place: &Path, progress: &dyn Progress) -> Result<crate::store::Image> {
    let store = Store::open(&place.join("home"))?;
    let name = "debian".parse().unwrap();
    pull_debian(&store, &name, &options(place), &mut Touch, progress)
}

/// Not a test by itself: the process that is killed.
#[test]
fn child() {
    if let Some(place) = std::env::var_os(PLACE) {
        pull(Path::new(&place), &Told::default()).unwrap();
        println!("\nstep\ndone");
    }
}

struct Pull {
    child: Child,
    said: BufReader<std::process::ChildStdout>,
}

impl Pull {
    fn start(place: &Path) -> Pull {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "debian::tests::kill::child", "--nocapture"])
            .env(PLACE, place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Pull { child, said }
    }

    /// Waits for the next step; false at the end.
    fn step(&mut self) -> bool {
        let mut line = String::new();
        while self.said.read_line(&mut line).unwrap() > 0 {
            if line.trim_end() == "step" {
                return true;
            }
            line.clear();
        }
        false
    }

    fn go_on(&mut self) {
        // It may have ended.
        let _ = self.child.stdin.as_mut().unwrap().write_all(b"\n");
    }
}

/// The store is as it should be; whether it holds the image.
fn inspect(place: &Path) -> bool {
    let store = Store::open(&place.join("home")).unwrap();
    let images = store.images().unwrap();
    for image in &images {
        let layer = store.layer_dirs(image).unwrap().remove(0);
        assert_eq!(
            tuxlet_fakefs::check(&layer).unwrap().problems,
            Vec::<String>::new()
        );
        let reader = tuxlet_fakefs::Reader::open(&layer).unwrap();
        for path in ["usr/bin/mawk", "usr/lib/libx.so", "var/lib/dpkg/status"] {
            assert!(reader.find(path.as_bytes()).unwrap().is_some(), "{path}");
        }
    }
    let layers = fs::read_dir(store.home().join("layers")).unwrap().count();
    assert_eq!(layers, images.len(), "a layer that belongs to nobody");
    let blobs = fs::read_dir(store.home().join("cache/blobs/sha256")).unwrap();
    for blob in blobs {
        let path = blob.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(Digest::of(&fs::read(&path).unwrap()).to_string(), name);
    }
    !images.is_empty()
}

#[test]
fn a_killed_pull_leaves_a_store_that_opens() {
    let fixture = Fixture::new();
    let place = fixture.dir.path();
    let mut whole = Pull::start(place);
    let mut steps = 0;
    while whole.step() {
        steps += 1;
        whole.go_on();
    }
    assert!(whole.child.wait().unwrap().success());
    assert!(inspect(place), "nobody killed it");

    let rounds = std::env::var(ROUNDS).map_or(12, |n| n.parse().unwrap());
    for round in 0..rounds {
        // With and without the downloads of earlier attempts.
        if round % 3 == 0 {
            fs::remove_dir_all(place.join("home")).unwrap();
        }
        let had = place.join("home").exists() && inspect(place);
        let mut killed = Pull::start(place);
        for _ in 0..steps * round / rounds {
            if killed.step() {
                killed.go_on();
            }
        }
        killed.step();
        killed.child.kill().unwrap();
        killed.child.wait().unwrap();
        assert!(
            inspect(place) || !had,
            "an image is lost that was there before"
        );
    }
    pull(place, &Quiet).unwrap();
    assert!(inspect(place));
}
