//! Runs the guest programs of `tests/guest` in a machine and compares with the transcripts of real Linux.

use std::{
    collections::HashMap,
    io::{Read, pipe},
    path::{Path, PathBuf},
    process::{Command as Host, Stdio as Piped},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};
use tuxlet::{Command, Error, Machine, Root, Stdio};
use tuxlet_test_support::root;
use tuxlet_uapi::Errno;

/// Enough for a machine under heavy load; a program takes seconds.
const DEADLINE: Duration = Duration::from_secs(300);

/// More than qemu needs for any of the programs.
const QEMU_DEADLINE: Duration = Duration::from_secs(60);

fn programs() -> &'static Path {
    tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR"))
}

/// What a program prints in a machine.
fn in_machine(root: Root, program: &[u8], args: &[&str]) -> String {
    let machine = Machine::builder().root(root).build().expect("a machine");
    let init = std::fs::read(programs().join("init")).expect("init");
    for (path, data) in [("/init", &init[..]), ("/program", program)] {
        machine
            .write_file(path, 0o755, data)
            .expect("the program's file");
    }
    let (mut reader, writer) = pipe().expect("a pipe");
    let printed = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&printed);
    let reading = std::thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = reader.read(&mut chunk) {
            sink.lock()
                .expect("the text")
                .extend_from_slice(&chunk[..n]);
        }
    });
    let command = Command::new("/init")
        .arg("/program")
        .args(args.iter().copied())
        .stdout(Stdio::Host(writer.into()))
        .stderr(Stdio::inherit(std::io::stderr()).expect("standard error"));
    let process = machine.exec(command).expect("the program starts");
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(process.wait()));
    let end = match told.recv_timeout(DEADLINE) {
        Ok(status) => {
            // The last handle: what is left of the guest ends, and with it the pipe.
            drop(machine);
            reading.join().expect("the reader");
            (status.code() != 0).then(|| format!("[ended with status {}]\n", status.code()))
        }
        Err(_) => Some(format!("[still running: {:?}]\n", machine.processes())),
    };
    let mut text = String::from_utf8_lossy(&printed.lock().expect("the text")).into_owned();
    text.push_str(&end.unwrap_or_default());
    text
}

/// The lines of `a` and `b` that differ, marked `-` and `+`; empty if there are none.
fn differences(a: &str, b: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.lines().collect(), b.lines().collect());
    // Lengths of the longest common subsequences of the rests.
    let mut common = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut out) = (0, 0, String::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            out.push_str(&format!("- {}\n", a[i]));
            i += 1;
        } else {
            out.push_str(&format!("+ {}\n", b[j]));
            j += 1;
        }
    }
    out
}

/// Where qemu-aarch64 is known to differ from Linux, by program: blocks of `- Linux` and `+ qemu` lines after `= NAME`.
/// A block of `*` alone says that the program cannot be compared.
fn known_deviations() -> HashMap<String, String> {
    let path = root().join("tests/golden/guest/qemu-deviations.txt");
    let text = std::fs::read_to_string(path).expect("the list of deviations");
    let mut all = HashMap::new();
    let mut name = "";
    for line in text.lines() {
        if let Some(n) = line.strip_prefix("= ") {
            name = n;
        } else if !line.starts_with('#') && !line.is_empty() {
            let block: &mut String = all.entry(name.to_owned()).or_default();
            block.push_str(line);
            block.push('\n');
        }
    }
    all
}

fn qemu() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|d| [d.join("qemu-aarch64"), d.join("qemu-aarch64-static")])
        .find(|p| p.is_file())
}

/// What a program prints under qemu; `None` if qemu hangs, as it does at times with signals. Our own output has been
/// compared with Linux' by then.
fn in_qemu(qemu: &Path, file: &Path) -> Option<String> {
    let mut child = Host::new(qemu)
        .arg(file)
        .stdout(Piped::piped())
        .spawn()
        .expect("qemu starts");
    let mut stdout = child.stdout.take().expect("piped");
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let read = stdout.read_to_end(&mut text);
        // Nobody listens any more after the deadline.
        let _ = sender.send(read.map(|_| text));
    });
    let text = receiver.recv_timeout(QEMU_DEADLINE);
    if text.is_err() {
        child.kill().expect("qemu is ours to end");
    }
    child.wait().expect("qemu ends");
    Some(String::from_utf8_lossy(&text.ok()?.expect("qemu's output")).into_owned())
}

fn check(name: &str) {
    let file = programs().join(name);
    let golden = root().join(format!("tests/golden/guest/{name}.txt"));
    let golden = std::fs::read_to_string(golden).expect("the transcript of real Linux");
    let program = std::fs::read(&file).expect("the program");
    let ours = in_machine(Root::Memory, &program, &[]);
    let wrong = differences(&golden, &ours);
    assert!(
        wrong.is_empty(),
        "{name}: Linux (-) and Tuxlet (+) differ:\n{wrong}"
    );
    let Some(qemu) = qemu() else {
        eprintln!("SKIPPED: {name} under qemu: no qemu-aarch64 in PATH");
        return;
    };
    let known = known_deviations().remove(name).unwrap_or_default();
    if known == "*\n" {
        return;
    }
    let Some(theirs) = in_qemu(&qemu, &file) else {
        eprintln!("SKIPPED: {name} under qemu: it hangs");
        return;
    };
    let unknown: Vec<_> = differences(&golden, &theirs)
        .lines()
        .filter(|l| !known.lines().any(|k| k == *l))
        .map(str::to_owned)
        .collect();
    assert!(
        unknown.is_empty(),
        "{name}: Linux (-) and qemu (+) differ in what is not in qemu-deviations.txt:\n{}",
        unknown.join("\n")
    );
}

macro_rules! guest_programs {
    ($($name:ident)*) => { $( #[test] fn $name() { check(stringify!($name)); } )* };
}

guest_programs! {
    signals process threads pthreads events memory files sockets clocks jobs arith arm64 errors limits fsx mounts overlays access ptrace watchpoints seccomp futexes queues procfs namespaces cgroups controllers timens netns aio watch kicks mqueuefs uring nsids
}

/// A lost wake-up shows only now and then. `TUXLET_THREAD_ROUNDS` makes it more rounds.
#[test]
fn pthreads_again_and_again() {
    let rounds = std::env::var("TUXLET_THREAD_ROUNDS").map_or(5, |n| n.parse().expect("a number"));
    let golden = root().join("tests/golden/guest/pthreads.txt");
    let golden = std::fs::read_to_string(golden).expect("the transcript of real Linux");
    let program = std::fs::read(programs().join("pthreads")).expect("the program");
    for round in 0..rounds {
        let text = in_machine(Root::Memory, &program, &[]);
        assert_eq!(text, golden, "round {round}");
    }
}

/// The file exerciser on what `Root::Memory` is not: a store under an overlay, and a directory of the host.
#[test]
fn fsx_on_stores_and_host_directories() {
    let program = std::fs::read(programs().join("fsx")).expect("the program");
    let dir = tempfile::tempdir().expect("a directory");
    let layers = Root::Layers {
        upper: dir.path().join("upper"),
        lower: Vec::new(),
    };
    let host = dir.path().join("host");
    std::fs::create_dir(&host).expect("a directory");
    for (name, root) in [("layers", layers), ("host", Root::HostDir(host))] {
        let text = in_machine(root, &program, &["/", "1", "500"]);
        assert_eq!(
            text, "fsx: 500 operations agree with the model\n",
            "on {name}"
        );
    }
}

/// Host directories tell of changes by the host's inotify: the guest's own look as they do elsewhere, and those of others are seen.
#[test]
fn watch_host_directories() {
    let program = std::fs::read(programs().join("watch")).expect("the program");
    let golden = root().join("tests/golden/guest/watch.txt");
    let golden = std::fs::read_to_string(golden).expect("the transcript of real Linux");
    let dir = tempfile::tempdir().expect("a directory");
    let text = in_machine(Root::HostDir(dir.path().into()), &program, &["/own"]);
    let wrong = differences(&golden, &text);
    assert!(
        wrong.is_empty(),
        "Linux (-) and a host directory (+) differ:\n{wrong}"
    );
    let watched = dir.path().join("watched");
    std::fs::create_dir(&watched).expect("a directory");
    let others = {
        let (watched, ready) = (watched.clone(), dir.path().join("ready"));
        // The guest makes the file `ready` when it watches.
        std::thread::spawn(move || {
            let (tell, told) = mpsc::channel();
            let parent = ready.parent().expect("a parent").to_owned();
            let machine = Machine::builder()
                .root(Root::HostDir(parent))
                .build()
                .expect("a machine");
            let _watcher = machine
                .watch("/", move |change| {
                    // The test may have ended.
                    let _ = tell.send(change.name);
                })
                .expect("a watcher");
            while !ready.exists() {
                told.recv().expect("news");
            }
            std::fs::write(watched.join("new"), "1").expect("a file");
            std::fs::rename(watched.join("new"), watched.join("newer")).expect("renamed");
            std::fs::create_dir(watched.join("dir")).expect("a directory");
            std::fs::remove_file(watched.join("newer")).expect("removed");
            std::fs::remove_dir_all(&watched).expect("removed");
        })
    };
    let text = in_machine(
        Root::HostDir(dir.path().into()),
        &program,
        &["/watched", "/ready"],
    );
    others.join().expect("the others");
    let expected = "\
        CREATE new\nMODIFY new\nCLOSE_WRITE new\nMOVED_FROM new cookie\nMOVED_TO newer cookie\nCREATE|ISDIR dir\n\
        DELETE newer\nDELETE|ISDIR dir\nDELETE_SELF\nIGNORED\n";
    assert_eq!(text, expected);
}

/// An ELF header with one program header of the interpreter's kind, and its path.
fn elf(machine: u16, interpreter: &str) -> Vec<u8> {
    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1];
    file.resize(16, 0);
    file.extend(3u16.to_le_bytes()); // ET_DYN
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [0u64, 64, 0] {
        file.extend(word.to_le_bytes()); // entry, program headers, section headers
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 2, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let at = 64 + 2 * 56;
    let len = interpreter.len() as u64 + 1;
    for (kind, flags, offset, size) in [(3u32, 4u32, at, len), (1, 5, 0, at + len)] {
        file.extend(kind.to_le_bytes());
        file.extend(flags.to_le_bytes());
        for word in [
            offset,
            offset,
            offset,
            size,
            size,
            if kind == 1 { 4096 } else { 1 },
        ] {
            file.extend(word.to_le_bytes());
        }
    }
    file.extend(interpreter.as_bytes());
    file.push(0);
    file
}

#[test]
fn bad_programs() {
    let machine = Machine::builder()
        .root(Root::Memory)
        .build()
        .expect("a machine");
    let good = std::fs::read(programs().join("init")).expect("a program");
    let mut section_cut = good.clone();
    section_cut.truncate(100);
    let cases: [(&str, u32, Vec<u8>, Errno); 9] = [
        ("empty", 0o755, Vec::new(), Errno::ENOEXEC),
        ("text", 0o755, b"just text\n".to_vec(), Errno::ENOEXEC),
        ("magic", 0o755, good[..4].to_vec(), Errno::ENOEXEC),
        ("header", 0o755, good[..63].to_vec(), Errno::ENOEXEC),
        ("cut", 0o755, section_cut, Errno::ENOEXEC),
        ("x86-64", 0o755, elf(62, "/lib/ld.so"), Errno::ENOEXEC),
        ("interpreter", 0o755, elf(183, "/lib/ld.so"), Errno::ENOENT),
        ("script", 0o755, b"#!/no/such\n".to_vec(), Errno::ENOENT),
        ("mode", 0o644, good, Errno::EACCES),
    ];
    for (name, mode, data, expected) in cases {
        let path = format!("/{name}");
        machine.write_file(&path, mode, &data).expect("a file");
        match machine.exec(Command::new(&path)) {
            Err(Error::Exec { errno, .. }) => assert_eq!(errno, expected, "{name}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    match machine.exec(Command::new("/missing")) {
        Err(Error::Exec { errno, .. }) => assert_eq!(errno, Errno::ENOENT),
        other => panic!("missing: {other:?}"),
    }
}
