//! A machine whose guests wait uses no processor time: nothing in the process wakes up.

#![cfg(target_os = "linux")]

mod guests;

use guests::{Place, Result};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// How long nothing may happen.
const WINDOW: Duration = Duration::from_millis(2500);
/// When the machine must have come to rest, on a host under heavy load.
const DEADLINE: Duration = Duration::from_secs(60);

/// Context switches of all threads so far, of their own will or not.
fn switches(pid: u32) -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        for line in status.lines() {
            if let Some((key, value)) = line.split_once(':')
                && key.ends_with("ctxt_switches")
            {
                sum += value.trim().parse::<u64>()?;
            }
        }
    }
    Ok(sum)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().expect("it runs");
        self.0.wait().expect("it ends");
    }
}

fn rests(line: &str) -> Result<()> {
    let place = Place::new()?;
    let mut archive = tar::Builder::new(fs::File::create(place.path("root.tar"))?);
    archive.append_dir_all(".", place.path("root"))?;
    archive.finish()?;
    let (code, _, error) = place.run("import -q root.tar thing")?;
    assert_eq!(code, 0, "{error}");

    let mut child = Killed(place.tuxlet(line).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    let output = child.0.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut line)?;
    assert_eq!(line.trim_end(), "ok");
    let since = Instant::now();
    let mut before = switches(child.0.id())?;
    loop {
        std::thread::sleep(WINDOW);
        let after = switches(child.0.id())?;
        if after == before {
            return Ok(());
        }
        assert!(
            since.elapsed() < DEADLINE,
            "{} context switches in {WINDOW:?}",
            after - before
        );
        before = after;
    }
}

#[test]
fn a_waiting_guest_of_a_machine() -> Result<()> {
    rests("run thing /bin/idle")
}

#[test]
fn a_waiting_guest_of_a_short_lived_machine() -> Result<()> {
    rests("run --rm thing /bin/idle")
}

#[test]
fn a_waiting_guest_of_a_host_directory_on_a_terminal() -> Result<()> {
    rests("run -t --rootfs root /bin/idle")
}
