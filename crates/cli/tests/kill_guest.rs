//! kill -9 of a machine while its guest installs packages the way dpkg does: everything that the guest was promised by fsync(2) is
//! there afterwards, renames are whole, and the store has no contradictions.

mod minirootfs;

use minirootfs::{home, tuxlet};
use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

/// How many kills; the long form sets more.
const ROUNDS: &str = "TUXLET_KILL_ROUNDS";

/// Unpacks "packages": each file is written beside its place, brought to the medium, and renamed; then the database is replaced
/// as dpkg replaces its status file. Each promise is told when it is made.
const INSTALL: &str = r#"
    round=$1; mkdir -p /pkg /db
    n=0
    while :; do
        n=$((n+1)); p=$round.$n
        echo "intent $p"
        mkdir -p /pkg/$p
        for f in a b c; do
            seq 1 $((n % 50 * 40 + 3)) > /pkg/$p/$f.dpkg-new
            echo "$p $f" >> /pkg/$p/$f.dpkg-new
            fsync /pkg/$p/$f.dpkg-new
            mv /pkg/$p/$f.dpkg-new /pkg/$p/$f
        done
        ln /pkg/$p/a /pkg/$p/link; ln -s a /pkg/$p/symlink
        fsync /pkg/$p
        { cat /db/status 2>/dev/null; echo "$p"; } > /db/status-new
        fsync /db/status-new
        mv /db/status-new /db/status
        fsync /db
        echo "installed $p"
    done
"#;

/// What is there: packages in the status file that are not whole, and their number.
const INSPECT: &str = r#"
    bad=0; all=0
    while read -r p; do
        all=$((all+1))
        n=${p#*.}; lines=$((n % 50 * 40 + 4))
        for f in a b c; do
            [ "$(wc -l < /pkg/$p/$f)" = $lines ] && [ "$(tail -n1 /pkg/$p/$f)" = "$p $f" ] || { echo "bad $p $f"; bad=1; }
        done
        [ /pkg/$p/link -ef /pkg/$p/a ] && [ "$(readlink /pkg/$p/symlink)" = a ] || { echo "bad $p links"; bad=1; }
    done < /db/status
    cat /db/status | sed 's/^/has /'
    echo "checked $all $bad"
"#;

#[test]
fn a_killed_installation_keeps_its_promises() {
    let Some(home) = home() else { return };
    let sh = |args: &[&str]| -> Command {
        let mut command = tuxlet(home);
        command
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    };
    let made = sh(&["run", "--name", "victim", "alpine", "true"]).output();
    assert!(made.expect("tuxlet starts").status.success());
    let rounds: u64 = std::env::var(ROUNDS).map_or(3, |n| n.parse().expect("a number"));
    let mut promised: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..rounds {
        let name = round.to_string();
        let mut child = sh(&["exec", "victim", "sh", "-c", INSTALL, "sh", &name])
            .spawn()
            .expect("tuxlet starts");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // At another moment each time: after so many words, at whatever it does then.
        let mut left = 3 + round * 5 % 17;
        while left > 0 {
            let line = said.next().expect("it goes on for ever").expect("text");
            left -= 1;
            if let Some(package) = line.strip_prefix("installed ") {
                promised.insert(package.to_owned(), round);
            }
        }
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        // What it had said before it died, but nobody had read.
        for line in said.map_while(Result::ok) {
            if let Some(package) = line.strip_prefix("installed ") {
                promised.insert(package.to_owned(), round);
            }
        }
        let out = sh(&["exec", "victim", "sh", "-c", INSPECT])
            .output()
            .expect("tuxlet starts");
        let text = String::from_utf8_lossy(&out.stdout);
        assert!(out.status.success(), "round {round}: {text}");
        for package in promised.keys() {
            assert!(
                text.lines()
                    .any(|l| l.strip_prefix("has ") == Some(package)),
                "round {round}: {package} is lost\n{text}"
            );
        }
        let verdict = text.lines().last().unwrap_or_default();
        assert!(
            verdict.starts_with("checked ") && verdict.ends_with(" 0"),
            "round {round}: {text}"
        );
        let store = home.join("machines/victim/fs");
        let report = tuxlet_fakefs::check(&store).expect("a store");
        assert_eq!(report.problems, Vec::<String>::new(), "round {round}");
    }
    assert!(!promised.is_empty());
}
