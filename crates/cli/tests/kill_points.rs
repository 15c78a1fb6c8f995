//! kill -9 of a machine at random points of a guest that writes in all the ways that make promises: nothing promised is lost, what is
//! replaced by rename(2) is whole, the store opens and has no contradictions. `TUXLET_KILL_ROUNDS` makes it more points.

use std::{fs, path::Path, process::Command, time::Duration};
use tuxlet_test_support::{
    kill::{Points, Report, rounds},
    programs,
};

fn tuxlet(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
    command.env("TUXLET_HOME", home).args(args);
    command
}

fn must(command: &mut Command) {
    let out = command.output().expect("tuxlet starts");
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {text}");
}

#[test]
fn what_was_promised_survives_kills_at_random_points() {
    let dir = tempfile::tempdir().expect("a directory");
    let (home, archive) = (dir.path().join("home"), dir.path().join("image.tar"));
    let program = fs::read(programs(env!("CARGO_TARGET_TMPDIR")).join("promises"));
    let program = program.expect("the program");
    let mut tar = tar::Builder::new(fs::File::create(&archive).expect("an archive"));
    let mut header = tar::Header::new_gnu();
    header.set_size(program.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, "promises", &program[..])
        .and_then(|()| tar.finish())
        .expect("an archive");
    must(tuxlet(&home, &["import", "-q"]).arg(&archive).arg("image"));
    // Without a directory it ends at once.
    must(&mut tuxlet(
        &home,
        &["run", "--name", "victim", "image", "/promises"],
    ));
    let points = Points {
        first: 0,
        rounds: std::env::var("TUXLET_KILL_ROUNDS").map_or(20, |n| n.parse().expect("a number")),
        seed: 5,
        longest: Duration::from_millis(400),
    };
    let mut report = Report::default();
    let result = rounds(
        &points,
        &mut report,
        |_| tuxlet(&home, &["exec", "victim", "/promises", "/work"]),
        |_| {
            // Opening it deals with what the kill left half done; the rest would be wrong.
            must(&mut tuxlet(&home, &["exec", "victim", "/promises"]));
            let store = home.join("machines/victim/fs");
            let report = tuxlet_fakefs::check(&store).map_err(|e| e.to_string())?;
            if report.problems.is_empty() {
                Ok(())
            } else {
                Err(format!("{:?}", report.problems))
            }
        },
    );
    result.unwrap_or_else(|what| panic!("{what}"));
    assert!(report.promised.len() >= 4, "{report}");
}
