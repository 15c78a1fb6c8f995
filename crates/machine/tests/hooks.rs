//! What embedders hear of guests and have a say in: changes to files, new processes, paths.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tuxlet::{Builder, Command, Errno, FileChangeKind, Limits, Machine, Root};

fn build(builder: Builder) -> Machine {
    let machine = builder.root(Root::Memory).build().unwrap();
    let programs = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"));
    let shell = std::fs::read(programs.join("sh")).unwrap();
    machine.write_file("/bin/sh", 0o755, &shell).unwrap();
    machine
}

fn line(machine: &Machine, context: u64, text: &str) -> String {
    let command = Command::new("/bin/sh").arg("-c").arg(text);
    let output = machine.output(command.context(context), b"", &Limits::default());
    String::from_utf8(output.unwrap().stdout).unwrap()
}

#[test]
fn changes_carry_who_made_them() {
    let machine = build(Machine::builder());
    machine.create_dir("/srv").unwrap();
    let log = machine.track_changes(100);
    line(
        &machine,
        7,
        "write /srv/a x; mv /srv/a /srv/b; spawn /bin/sh -c rm /srv/b",
    );
    // The shell gives `sh -c` only one word.
    line(&machine, 8, "rm /srv/b");
    let all: Vec<_> = std::iter::from_fn(|| log.try_next()).collect();
    let told: Vec<_> = all
        .iter()
        .map(|c| (c.kind, c.path.as_str(), c.context))
        .collect();
    let expected = [
        (FileChangeKind::Created, "/srv/a", 7),
        (FileChangeKind::Written, "/srv/a", 7),
        (FileChangeKind::Renamed, "/srv/a", 7),
        (FileChangeKind::Removed, "/srv/b", 8),
    ];
    assert_eq!(told, expected);
    assert_eq!(all[2].to.as_deref(), Some("/srv/b"));
    assert!(all[0].pid != 0 && all[0].pid != all[3].pid);
}

#[test]
fn the_guard_decides_about_processes_of_guests() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let machine = build(Machine::builder().fork_guard(move |fork| {
        let comm = String::from_utf8_lossy(&fork.comm).into_owned();
        seen.lock().unwrap().push((comm, fork.context, fork.uid));
        match fork.context {
            1 => Err(Errno::EPERM),
            2 => Err(Errno::EAGAIN),
            _ => Ok(()),
        }
    }));
    assert_eq!(line(&machine, 0, "fork"), "fork: ok\n");
    assert_eq!(line(&machine, 1, "fork"), "fork: EPERM\n");
    assert_eq!(
        line(&machine, 2, "fork;fork"),
        "fork: EAGAIN\nfork: EAGAIN\n"
    );
    let asked = asked.lock().unwrap();
    let contexts: Vec<_> = asked.iter().map(|(_, context, _)| *context).collect();
    assert_eq!(
        contexts,
        [0, 1, 2, 2],
        "what the embedder starts is its own"
    );
    assert!(asked.iter().all(|(comm, _, uid)| comm == "sh" && *uid == 0));
}

#[test]
fn a_path_leads_each_context_elsewhere() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let machine = build(Machine::builder().path_hook("/workspace", move |context| {
        count.fetch_add(1, Ordering::Relaxed);
        (context != 0).then(|| format!("/srv/{context}"))
    }));
    for dir in ["/srv/1", "/srv/2"] {
        machine.create_dir(dir).unwrap();
    }
    assert_eq!(line(&machine, 1, "write /workspace/a one"), "");
    assert_eq!(
        line(&machine, 2, "read /workspace/a"),
        "/workspace/a: ENOENT\n"
    );
    line(&machine, 2, "write /workspace/a two");
    assert_eq!(line(&machine, 1, "read /workspace/a"), "one\n");
    assert_eq!(line(&machine, 2, "read /workspace/a"), "two\n");
    assert_eq!(
        line(&machine, 0, "read /workspace/a"),
        "/workspace/a: ENOENT\n"
    );
    assert_eq!(machine.read_file("/srv/1/a").unwrap(), b"one");
    assert!(calls.load(Ordering::Relaxed) >= 5);
}
