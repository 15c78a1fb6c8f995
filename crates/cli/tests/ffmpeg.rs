//! ffmpeg of the host in place of a machine's: the same output, and how much sooner. It needs a machine with ffmpeg in the store of
//! `TUXLET_HOME`, whose name `TUXLET_FFMPEG_MACHINE` says, and ffmpeg on the host; numbers want `--release`.

use std::{
    path::{Path, PathBuf},
    process,
    time::{Duration, Instant},
};
use tuxlet::{Builder, Command, HostProgram, Limits, Machine, Root, Staged};
use tuxlet_image::store::Store;

const RUNS: usize = 3;
/// What two builds of ffmpeg, on two processors, have to make alike.
const EXACT: &str = "-flags +bitexact -fflags +bitexact -sws_flags +accurate_rnd+bitexact";
const CODECS: [&str; 3] = [
    "mpeg4 -q:v 5 -dct fastint -idct simple",
    "mpeg2video -q:v 4 -dct fastint -idct simple",
    "ffv1 -level 3 -slices 4",
];

/// A program on the `PATH`.
fn host_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut all = std::env::split_paths(&path).map(|dir| dir.join(name));
    all.find(|p| p.is_file())
}

/// Four seconds of a moving picture.
fn picture(ffmpeg: &Path) -> Vec<u8> {
    let source = "testsrc2=size=320x240:rate=25:duration=4";
    let made = process::Command::new(ffmpeg)
        .args(["-nostdin", "-v", "error", "-f", "lavfi", "-i", source])
        .args(["-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    made.stdout
}

/// What ffmpeg makes of the picture with each codec, and the median of how long it takes.
fn encode(machine: &Machine, picture: &[u8]) -> Vec<(Vec<u8>, Duration)> {
    machine.write_file("/tmp/in.y4m", 0o644, picture).unwrap();
    let made = CODECS.map(|codec| {
        let line = format!(
            "-nostdin -v error -y -threads 1 -i /tmp/in.y4m -threads 1 -c:v {codec} {EXACT} -f avi /tmp/out.avi"
        );
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let command = Command::new("/usr/bin/ffmpeg").args(line.split(' '));
            let start = Instant::now();
            let limits = Limits::default();
            let output = machine.output(command, b"", &limits).unwrap();
            times.push(start.elapsed());
            assert_eq!(output.status.code(), 0, "{output:?}");
        }
        times.sort();
        (machine.read_file("/tmp/out.avi").unwrap(), times[RUNS / 2])
    });
    Vec::from(made)
}

#[test]
fn the_hosts_ffmpeg_makes_the_same_files_sooner() {
    let Ok(name) = std::env::var("TUXLET_FFMPEG_MACHINE") else {
        eprintln!("SKIPPED: TUXLET_FFMPEG_MACHINE names no machine with ffmpeg");
        return;
    };
    let Some(ffmpeg) = host_program("ffmpeg") else {
        eprintln!("SKIPPED: the host has no ffmpeg");
        return;
    };
    let store = Store::open_default().unwrap();
    // What is written stays in a clone.
    let clone = format!("{name}-offload-{}", process::id());
    let machine = store.clone_machine(&name, &clone).unwrap();
    let root = Root::Layers {
        upper: machine.fs_dir(),
        lower: store.layer_paths(&machine.record.layers()).unwrap(),
    };
    let build = |builder: Builder| builder.root(root.clone()).build().unwrap();
    let picture = picture(&ffmpeg);
    let emulated = encode(&build(Machine::builder()), &picture);
    let program = HostProgram::new(&ffmpeg).staging(|args| {
        let input = args
            .iter()
            .position(|a| a == "-i")
            .map(|i| Staged::Input(i + 1));
        let output = Some(Staged::Output(args.len() - 1));
        input.into_iter().chain(output).collect()
    });
    let offloaded = Machine::builder().native_host("/usr/bin/ffmpeg", program);
    let native = encode(&build(offloaded), &picture);
    store.remove_machine(&clone).unwrap();
    for ((codec, (slow, long)), (fast, short)) in CODECS.iter().zip(&emulated).zip(&native) {
        let name = codec.split(' ').next().unwrap_or_default();
        println!(
            "{name}: {} bytes, emulated {long:.2?}, of the host {short:.2?}: {:.1} times as fast",
            slow.len(),
            long.as_secs_f64() / short.as_secs_f64()
        );
        assert!(slow == fast, "{name}: other bytes");
        assert!(!slow.is_empty());
    }
}
