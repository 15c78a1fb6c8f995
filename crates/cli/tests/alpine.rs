//! Alpine Linux through the real command.

mod minirootfs;

use minirootfs::{home, output, tuxlet};

/// Exit code and both outputs of a command in a new machine.
fn run(words: &[&str], input: &[u8]) -> Option<(i32, String, String)> {
    let mut command = tuxlet(home()?);
    command
        .args(["run", "--rm", "-i", "alpine", "--"])
        .args(words);
    let out = output(&mut command, input);
    Some((
        out.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&out.stdout).into_owned(),
        String::from_utf8_lossy(&out.stderr).into_owned(),
    ))
}

#[track_caller]
fn check(words: &[&str], input: &[u8], code: i32, expected: &str) {
    if let Some((status, stdout, stderr)) = run(words, input) {
        assert_eq!(stdout, expected, "standard output; errors: {stderr}");
        assert_eq!(status, code, "exit status; errors: {stderr}");
    }
}

#[test]
fn shell() {
    let script = r#"
        set -e
        fib() { if [ "$1" -lt 2 ]; then echo "$1"; else echo $(( $(fib $(($1-1))) + $(fib $(($1-2))) )); fi; }
        echo "fib $(fib 6)"
        for i in a b c; do printf '%s,' "$i"; done; echo
        cat <<HERE
here $((6 * 7))
HERE
        x=abcdef; echo "${x#ab} ${x%ef} ${#x}"
        case $x in a*) echo case;; esac
        trap 'echo trapped' USR1; kill -USR1 $$
        ( exit 9 ) || echo "status $?"
        echo to-a-file > /tmp/f; read -r line < /tmp/f; echo "$line"
        i=0; while [ $i -lt 50 ]; do /bin/true; i=$((i+1)); done; echo "$i programs"
    "#;
    check(
        &["sh", "-c", script],
        b"",
        0,
        "fib 8\na,b,c,\nhere 42\ncdef abcd 6\ncase\ntrapped\nstatus 9\nto-a-file\n50 programs\n",
    );
}

#[test]
fn script_on_standard_input() {
    check(&["sh"], b"echo one\necho two; exit 4\n", 4, "one\ntwo\n");
}

#[test]
fn job_control() {
    let script = r#"
        set -m
        sleep 100 & sleep 101 &
        jobs | wc -l
        kill %1; wait %1; echo "first $?"
        kill -STOP %2; while ! jobs | grep -q Stopped; do :; done; echo stopped
        bg %2 >/dev/null; while ! jobs | grep -q Running; do :; done; echo running
        kill -9 %2; wait %2; echo "second $?"
        (exit 5) & wait $!; echo "third $?"
    "#;
    let expected = "2\nfirst 143\nstopped\nrunning\nsecond 137\nthird 5\n";
    let Some(home) = home() else { return };
    let mut command = tuxlet(home);
    // ash wants a terminal for it.
    command.args(["run", "--rm", "-t", "alpine", "sh", "-c", script]);
    let out = output(&mut command, b"");
    let stdout = String::from_utf8_lossy(&out.stdout).replace('\r', "");
    let lines: Vec<&str> = stdout
        .lines()
        // Without the shell's own notices.
        .filter(|l| !l.starts_with('[') && !["Terminated", "Killed"].contains(l))
        .collect();
    assert_eq!(lines.join("\n") + "\n", expected);
}

#[test]
fn package_manager() {
    if let Some((status, stdout, stderr)) = run(&["apk", "--version"], b"") {
        assert!(stdout.starts_with("apk-tools "), "{stdout:?} {stderr}");
        assert_eq!(status, 0);
    }
    if let Some((status, stdout, stderr)) = run(&["apk", "info", "-e", "musl", "busybox"], b"") {
        assert_eq!(
            (status, stdout.as_str()),
            (0, "musl\nbusybox\n"),
            "{stderr}"
        );
    }
}

#[test]
fn applets() {
    let script = r#"
        seq 1000 | sort -rn | head -3 | tr '\n' ' ' | awk '{print $1 + $3}'
        seq 100 | sed -n 's/^\(.\)\1$/[\1]/p' | tr -d '\n'; echo
        mkdir -p /tmp/a/b && cd /tmp/a && for i in 1 2 3; do echo "$i" > "b/f$i"; done
        tar c . | gzip | gunzip | tar t | sort | tail -1
        find . -type f | xargs cat | sort -r | paste -sd+ | bc
        printf 'hello' | sha256sum | cut -c1-16
        ln -s b/f1 l; ls -l l | awk '{print $1, $NF}'
        stat -c '%a %s %F' b/f2; chmod 640 b/f2; stat -c %a b/f2
        dd if=/dev/zero bs=1k count=64 2>/dev/null | wc -c
        (echo first; sleep 0.1; echo second) | while read -r l; do echo "got $l"; done
        id -u; hostname | wc -l; grep -c . /etc/passwd >/dev/null && echo passwd
        expr 7 \* 6; date -u -d @0 +%Y-%m-%d; basename /x/y.z .z
        diff b/f1 b/f2 | tail -2 | tr -d '\n'; echo
    "#;
    check(
        &["sh", "-c", script],
        b"",
        0,
        "1998\n[1][2][3][4][5][6][7][8][9]\n./b/f3\n6\n2cf24dba5fb0a30e\nlrwxrwxrwx b/f1\n644 2 regular file\n640\n\
         65536\ngot first\ngot second\n0\n1\npasswd\n42\n1970-01-01\ny\n-1+2\n",
    );
}

#[test]
fn exit_statuses() {
    check(&["sh", "-c", "exit 7"], b"", 7, "");
    check(&["sh", "-c", "kill -9 $$"], b"", 137, "");
    check(&["no-such-program"], b"", 127, "");
    check(&["/etc/passwd"], b"", 126, "");
    check(&["cat"], b"through\n", 0, "through\n");
}

#[test]
fn machine_keeps_its_files() {
    let Some(home) = home() else { return };
    let mut first = tuxlet(home);
    first.args([
        "run",
        "--name",
        "keeper",
        "alpine",
        "sh",
        "-c",
        "echo kept > /root/f; rm /etc/motd",
    ]);
    let out = output(&mut first, b"");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let mut second = tuxlet(home);
    second.args([
        "exec",
        "keeper",
        "sh",
        "-c",
        "cat /root/f; ls /etc/motd 2>/dev/null || echo gone",
    ]);
    let out = output(&mut second, b"");
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "kept\ngone\n",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    check(
        &["sh", "-c", "ls /root/f 2>/dev/null || echo clean"],
        b"",
        0,
        "clean\n",
    );
}

#[test]
fn foreign_program() {
    let Some(home) = home() else { return };
    let file = std::path::Path::new(env!("CARGO_BIN_EXE_tuxlet"));
    let dir = file.parent().expect("a directory").display();
    let mut command = tuxlet(home);
    command.args(["run", "--rm", "-v", &format!("{dir}:/foreign:ro"), "alpine"]);
    command.arg("/foreign/tuxlet");
    let out = output(&mut command, b"");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(126), "{errors}");
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        assert!(
            errors.contains("x86-64") || errors.contains("x86_64"),
            "{errors}"
        );
    }
}
