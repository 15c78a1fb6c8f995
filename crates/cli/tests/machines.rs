//! Machines from the command line, with guests of a few instructions each.

mod guests;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Output},
    time::{Duration, Instant},
};

use guests::{Place, Result};

/// Makes the image `tiny`.
fn image(place: &Place) -> Result<()> {
    let archive = place.path("root.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive)?);
    tar.append_dir_all(".", place.path("root"))?;
    tar.finish()?;
    let (code, _, error) = place.run("import -q root.tar tiny")?;
    assert_eq!(code, 0, "{error}");
    Ok(())
}

/// Ends the process whatever happens to the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn exit_statuses_are_dockers() -> Result<()> {
    let place = Place::new()?;
    for (line, code, output, complaint) in [
        ("run --rootfs root ok", 9, "ok\n", ""),
        ("run --rootfs root -- ok", 9, "ok\n", ""),
        ("run --rootfs root /bin/ok a -- b", 9, "ok\n", ""),
        ("run -t --rootfs root ok", 9, "ok\r\n", ""),
        ("run --rootfs root foreign", 126, "", "a program for x86-64"),
        ("run --rootfs root cut", 126, "", "no program"),
        ("run --rootfs root text", 126, "", "no program"),
        ("run --rootfs root /bin", 126, "", "Permission denied"),
        (
            "run --rootfs root lost",
            127,
            "",
            "interpreter /bin/nothing",
        ),
        ("run --rootfs root none", 127, "", "not found"),
        (
            "run --nonsense --rootfs root ok",
            125,
            "",
            "unexpected argument '--nonsense'",
        ),
        (
            "create --nonsense tiny",
            125,
            "",
            "unexpected argument '--nonsense'",
        ),
        (
            "run -w /none --rootfs root ok",
            126,
            "",
            "working directory /none",
        ),
        ("run -u none --rootfs root ok", 125, "", "no user"),
        ("run --rootfs none ok", 125, "", "none: "),
        ("run --rootfs root", 125, "", "needs a command"),
        ("run --pull never none", 125, "", "no image"),
        ("run -v /none:/x --rootfs root ok", 125, "", "/none"),
        ("run -i -t --rootfs root ok", 125, "", "needs a terminal"),
        ("exec none ok", 125, "", "no machine"),
        ("cp a b", 125, "", "MACHINE:PATH"),
    ] {
        let (status, stdout, stderr) = place.run(line)?;
        assert_eq!((status, &stdout[..]), (code, output), "{line}: {stderr}");
        assert!(stderr.contains(complaint), "{line}: {stderr}");
    }
    let Output { stdout, .. } = place
        .tuxlet("run --strace=exit --rootfs root ok")
        .output()?;
    assert_eq!(stdout, b"ok\n");
    Ok(())
}

#[test]
fn short_lived_machines_leave_nothing_behind() -> Result<()> {
    let place = Place::new()?;
    image(&place)?;
    let (code, output, error) = place.run("run --rm tiny ok")?;
    assert_eq!((code, &output[..], &error[..]), (9, "ok\n", ""));
    assert_eq!(place.run("ps -aq")?.1, "");
    assert_eq!(place.run("rmi tiny")?.0, 0);
    Ok(())
}

#[test]
fn file_systems_are_checked_and_put_in_order() -> Result<()> {
    let place = Place::new()?;
    image(&place)?;
    fs::write(place.path("kept"), "kept")?;
    assert_eq!(place.run("run --name m tiny ok")?.0, 9);
    assert_eq!(place.run("cp kept m:/kept")?.0, 0);
    let (code, output, error) = place.run("fsck")?;
    assert_eq!(
        (code, &output[..]),
        (0, "m: in order\nimage tiny: in order\n"),
        "{error}"
    );
    let stray = place.path("home/machines/m/fs/data/39/12345");
    fs::create_dir_all(stray.parent().unwrap())?;
    fs::write(&stray, "left over")?;
    let (code, output, _) = place.run("fsck m")?;
    assert_eq!(code, 4);
    assert!(output.contains("data without an inode: 12345"), "{output}");
    assert_eq!(place.run("fsck --repair m")?.0, 1);
    assert!(!stray.exists());
    assert_eq!(place.run("fsck --repair m")?.0, 0);
    // What is not the store's is told, and left where it is.
    let foreign = place.path("home/machines/m/fs/data/mine");
    fs::write(&foreign, "mine")?;
    let (code, output, _) = place.run("fsck --repair m")?;
    assert_eq!(code, 4);
    assert!(output.contains("foreign file data/mine"), "{output}");
    fs::remove_file(&foreign)?;
    assert_eq!(place.run("cp m:/kept back")?.0, 0);
    assert_eq!(content(&place.path("back"))?, "kept");
    let database = place.path("home/machines/m/fs/meta.db");
    fs::write(&database, "no database")?;
    let (code, output, error) = place.run("fsck")?;
    assert_eq!(code, 125);
    assert!(error.contains("cannot be read whole"), "{error}");
    assert!(output.contains("image tiny: in order"), "{output}");
    assert_eq!(place.run("fsck none")?.0, 125);
    Ok(())
}

fn send(process: &Child, signal: &str) -> Result<()> {
    let status = Command::new("kill")
        .args(["-s", signal, &process.id().to_string()])
        .status()?;
    assert!(status.success());
    Ok(())
}

fn content(path: &Path) -> Result<String> {
    Ok(fs::read_to_string(path)?)
}

#[test]
fn running_machines_are_reached() -> Result<()> {
    let place = Place::new()?;
    image(&place)?;
    fs::create_dir_all(place.path("shared/in"))?;
    fs::write(place.path("shared/in/file"), "from the host")?;
    let first = place
        .tuxlet("run --name m --hostname here -v shared:/shared:ro tiny wait")
        .spawn()?;
    let mut first = Running(first);
    let since = Instant::now();
    while !place.run("ps")?.1.contains("running") {
        assert!(since.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(20));
    }
    let (code, output, error) = place.run("exec m -- ok")?;
    assert_eq!((code, &output[..]), (9, "ok\n"), "{error}");
    let (code, output, _) = place.run("exec -t m ok")?;
    assert_eq!((code, &output[..]), (9, "ok\r\n"));
    let (code, _, error) = place.run("exec m foreign")?;
    assert!(code == 126 && error.contains("x86-64"), "{error}");
    let (_, output, _) = place.run("ps --processes")?;
    assert!(output.lines().any(|l| l.ends_with("wait")), "{output}");

    // Both ways, while it runs.
    assert_eq!(place.run("cp m:/etc/hostname name")?.0, 0);
    assert_eq!(content(&place.path("name"))?, "here\n");
    assert_eq!(place.run("cp shared/in m:/etc")?.0, 0);
    let (code, _, error) = place.run("cp shared/in/file m:/shared/new")?;
    assert!(code == 125 && error.contains("Read-only"), "{error}");
    let (code, _, error) = place.run("rm m")?;
    assert!(code == 125 && error.contains("running"), "{error}");
    assert_eq!(place.run("rmi tiny")?.0, 125);

    // Who goes away takes its command along.
    let mut lost = Running(place.tuxlet("exec m wait").spawn()?);
    let waits = || -> Result<usize> {
        let (_, output, _) = place.run("ps -p")?;
        Ok(output.lines().filter(|l| l.ends_with("wait")).count())
    };
    let until = |count: usize| -> Result<()> {
        let since = Instant::now();
        while waits()? != count {
            assert!(since.elapsed() < Duration::from_secs(20));
        }
        Ok(())
    };
    until(2)?;
    lost.0.kill()?;
    until(1)?;

    // The end of the first command is the end of all.
    let mut second = Running(place.tuxlet("exec m wait").spawn()?);
    until(2)?;
    send(&first.0, "INT")?;
    assert_eq!(first.0.wait()?.code(), Some(130));
    assert_eq!(second.0.wait()?.code(), Some(137));
    assert!(place.run("ps -a")?.1.contains("stopped"));

    // And when it is stopped.
    assert_eq!(place.run("cp m:/etc/in/file back")?.0, 0);
    assert_eq!(content(&place.path("back"))?, "from the host");
    assert_eq!(place.run("exec m ok")?.0, 9);
    assert_eq!(place.run("rm m")?.0, 0);
    Ok(())
}

#[test]
fn machines_have_states() -> Result<()> {
    let place = Place::new()?;
    image(&place)?;
    let run = |line: &str, code: i32| -> Result<String> {
        let (status, output, error) = place.run(line)?;
        assert_eq!(status, code, "{line}: {error}");
        Ok(output + &error)
    };
    // Error 2 is ENOENT.
    assert_eq!(run("create --name m tiny make /etc/a", 0)?, "m\n");
    run("snapshot m empty", 0)?;
    run("start -a m", 0)?;
    run("exec m has /etc/a", 0)?;
    run("snapshot m one", 0)?;
    run("exec m make /etc/b", 0)?;
    assert_eq!(run("clone m n", 0)?, "n\n");
    run("clone m n", 125)?;
    run("exec n has /etc/b", 0)?;
    run("exec n make /etc/c", 0)?;
    run("exec m has /etc/c", 2)?;
    assert!(run("snapshot m", 0)?.contains("one"));
    run("restore m one", 0)?;
    run("exec m has /etc/b", 2)?;
    run("exec m has /etc/a", 0)?;
    assert!(run("restore m none", 125)?.contains("no snapshot"));
    run("reset m", 0)?;
    run("exec m has /etc/a", 2)?;
    run("restore m one", 0)?;
    run("snapshot --remove m one", 0)?;
    run("exec m has /etc/a", 0)?;
    assert_eq!(run("commit m mine:1", 0)?, "mine:1\n");
    run("restore m empty", 0)?;
    run("exec m has /etc/a", 2)?;
    run("rm m", 0)?;
    run("run --rm mine:1 has /etc/a", 0)?;
    run("run --rm mine:1", 0)?;
    run("rename n o", 0)?;
    run("exec n ok", 125)?;
    run("exec o has /etc/b", 0)?;
    let known: serde_json::Value = serde_json::from_str(&run("inspect o mine:1", 0)?)?;
    assert_eq!(known[0]["name"], "o");
    assert_eq!(known[0]["running"], false);
    assert_eq!(known[1]["config"]["command"][0], "make");
    assert!(run("rmi tiny", 125)?.contains("used by machine"));
    run("rm o", 0)?;
    run("rmi tiny", 0)?;
    run("run --rm mine:1 has /etc/a", 0)?;
    run("rmi mine:1", 0)?;
    assert_eq!(fs::read_dir(place.path("home/layers"))?.count(), 0);
    Ok(())
}

#[test]
fn machines_run_in_the_background() -> Result<()> {
    let place = Place::new()?;
    image(&place)?;
    let run = |line: &str, code: i32| -> Result<String> {
        let (status, output, error) = place.run(line)?;
        assert_eq!(status, code, "{line}: {error}");
        Ok(output + &error)
    };
    assert_eq!(run("run -d --name w tiny wait", 0)?, "w\n");
    run("exec w ok", 9)?;
    assert!(run("inspect w", 0)?.contains("\"running\": true"));
    for line in [
        "start w",
        "start -a w",
        "rename w x",
        "clone w x",
        "snapshot w x",
        "reset w",
        "commit w x",
        "rm w",
    ] {
        assert!(run(line, 125)?.contains("running"), "{line}");
    }
    assert!(run("stop -s SIGNONE w", 125)?.contains("no signal"));
    assert_eq!(run("stop w", 0)?, "w\n");
    assert!(run("ps -a", 0)?.contains("stopped"));
    run("stop w", 0)?;
    run("start w", 0)?;
    run("stop -t 0 w", 0)?;
    run("start w", 0)?;
    run("rm -f w", 0)?;
    assert_eq!(run("ps -aq", 0)?, "");
    // Its output is kept; a second start adds to it.
    run("run -d --name l tiny ok", 0)?;
    assert_eq!(run("logs -f l", 0)?, "ok\n");
    run("stop l", 0)?;
    run("start l", 0)?;
    assert_eq!(run("logs -f l", 0)?, "ok\nok\n");
    // The command runs once `start` says so, and may be ended at once.
    assert_eq!(run("create --name s tiny wait", 0)?, "s\n");
    for _ in 0..3 {
        assert_eq!(run("start s", 0)?, "s\n");
        assert!(run("start s", 125)?.contains("running"));
        run("stop -t 0 s", 0)?;
    }
    run("create --name none tiny no-such-command", 0)?;
    assert!(run("start none", 125)?.contains("tuxlet logs none"));
    assert!(run("logs none", 0)?.contains("no-such-command"));
    run("rm s none", 0)?;
    run("run -d --rm --name r tiny wait", 0)?;
    run("stop r", 0)?;
    let since = Instant::now();
    while run("ps -aq", 0)? != "l\n" {
        assert!(since.elapsed() < Duration::from_secs(20));
    }
    assert!(run("run -d --stop-signal X tiny wait", 125)?.contains("no signal"));
    Ok(())
}

#[test]
fn patches_are_applied_when_machines_start() -> Result<()> {
    let place = Place::new()?;
    image(&place)?;
    let run = |line: &str, code: i32| -> Result<String> {
        let (status, output, error) = place.run(line)?;
        assert_eq!(status, code, "{line}: {error}");
        Ok(output + &error)
    };
    let write = |version: u32, file: &str| -> Result<()> {
        fs::create_dir_all(place.path("patch"))?;
        fs::write(place.path("patch/f"), "text")?;
        let text =
            format!("name = 'p'\nversion = {version}\n[[files]]\npath = '{file}'\nsource = 'f'\n");
        Ok(fs::write(place.path("patch/patch.toml"), text)?)
    };
    write(1, "/etc/one")?;
    run("run --name m --patch patch tiny has /etc/one", 0)?;
    write(2, "/etc/two")?;
    run("exec m has /etc/two", 0)?;
    run("exec m has /etc/one", 0)?;
    // The same version is not applied again.
    write(2, "/etc/three")?;
    run("exec m has /etc/three", 2)?;
    assert_eq!(run("patch m", 0)?, "p 2: is there already\n");
    run("create --name n tiny ok", 0)?;
    assert_eq!(run("patch n patch", 0)?, "p 2: applied\n");
    run("exec n has /etc/three", 0)?;
    assert!(run("patch n", 125)?.contains("no patches"));
    // One that cannot be applied keeps the machine from starting, as it was.
    write(3, "/etc/../x")?;
    assert!(run("exec m ok", 125)?.contains("path"));
    write(2, "/etc/x")?;
    run("exec m has /etc/two", 0)?;
    Ok(())
}
