//! Guests of a few instructions each, and a place to run them from the command line.

use std::{
    error::Error,
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where the guests' only segment is loaded.
const BASE: u64 = 0x40_0000;
/// Lengths of an ELF header and a program header.
const HEADERS: u64 = 64 + 56;

/// write(1, "ok\n", 3), exit(9).
const OK: [u32; 9] = [
    0xd280_0020, // mov x0, #1
    0x1000_00e1, // adr x1, data
    0xd280_0062, // mov x2, #3
    0xd280_0808, // mov x8, #64
    0xd400_0001, // svc #0
    0xd280_0120, // mov x0, #9
    0xd280_0ba8, // mov x8, #93
    0xd400_0001, // svc #0
    0x000a_6b6f, // data: "ok\n"
];

/// ppoll(NULL, 0, NULL, NULL, 0): waits for a signal.
const WAIT: [u32; 7] = [
    0xd280_0000, // mov x0, #0
    0xd280_0001, // mov x1, #0
    0xd280_0002, // mov x2, #0
    0xd280_0003, // mov x3, #0
    0xd280_0004, // mov x4, #0
    0xd280_0928, // mov x8, #73
    0xd400_0001, // svc #0
];

/// write(1, "ok\n", 3), ppoll(NULL, 0, NULL, NULL, 0).
const SAY_AND_WAIT: [u32; 13] = [
    0xd280_0020, // mov x0, #1
    0x1000_0161, // adr x1, data
    0xd280_0062, // mov x2, #3
    0xd280_0808, // mov x8, #64
    0xd400_0001, // svc #0
    0xd280_0000, // mov x0, #0
    0xd280_0001, // mov x1, #0
    0xd280_0002, // mov x2, #0
    0xd280_0003, // mov x3, #0
    0xd280_0004, // mov x4, #0
    0xd280_0928, // mov x8, #73
    0xd400_0001, // svc #0
    0x000a_6b6f, // data: "ok\n"
];

/// A static program for a processor: elf(5).
fn elf(machine: u16, code: &[u32]) -> Vec<u8> {
    let size = HEADERS + 4 * code.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes());
    file.extend(machine.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    for word in [BASE + HEADERS, 64, 0] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0u32.to_le_bytes());
    for half in [64u16, 56, 1, 64, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // PT_LOAD, readable and executable.
    for word in [1u32, 5] {
        file.extend(word.to_le_bytes());
    }
    for word in [0, BASE, BASE, size, size, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code.iter().flat_map(|w| w.to_le_bytes()));
    file
}

const AARCH64: u16 = 183;
const X86_64: u16 = 62;

/// Writes its arguments, its environment and its directory, a line each; exits with its user.
const SHOW: [u32; 34] = [
    0xd280_0014, // mov x20, #0
    0x9100_03f3, // mov x19, sp
    0x9100_2273, // add x19, x19, #8
    0xf840_8661, // 1: ldr x1, [x19], #8
    0xb400_0161, // cbz x1, 3f
    0xaa01_03e2, // mov x2, x1
    0x3840_1443, // 2: ldrb w3, [x2], #1
    0x35ff_ffe3, // cbnz w3, 2b
    0x5280_0143, // mov w3, #'\n'
    0x381f_f043, // sturb w3, [x2, #-1]
    0xcb01_0042, // sub x2, x2, x1
    0xd280_0020, // mov x0, #1
    0xd280_0808, // mov x8, #64
    0xd400_0001, // svc #0
    0x17ff_fff5, // b 1b
    0xb500_0074, // 3: cbnz x20, 4f
    0xd280_0034, // mov x20, #1
    0x17ff_fff2, // b 1b
    0xd108_03ff, // 4: sub sp, sp, #512
    0x9100_03e0, // mov x0, sp
    0xd280_2001, // mov x1, #256
    0xd280_0228, // mov x8, #17
    0xd400_0001, // svc #0
    0xaa00_03e2, // mov x2, x0
    0x8b20_63e3, // add x3, sp, x0
    0x5280_0144, // mov w4, #'\n'
    0x381f_f064, // sturb w4, [x3, #-1]
    0x9100_03e1, // mov x1, sp
    0xd280_0020, // mov x0, #1
    0xd280_0808, // mov x8, #64
    0xd400_0001, // svc #0
    0xd280_15c8, // mov x8, #174
    0xd400_0001, // svc #0
    0xd280_0ba8, // mov x8, #93
];
/// svc #0, after [`SHOW`].
const SVC: u32 = 0xd400_0001;

/// openat(AT_FDCWD, argv[1], O_WRONLY | O_CREAT, 0644); exits with 0 or the error.
const MAKE: [u32; 10] = [
    0xf940_0be1, // ldr x1, [sp, #16]
    0x9280_0c60, // mov x0, #-100
    0xd280_0822, // mov x2, #0x41
    0xd280_3483, // mov x3, #0x1a4
    0xd280_0708, // mov x8, #56
    0xd400_0001, // svc #0
    0xf100_001f, // cmp x0, #0
    0xda80_a7e0, // csneg x0, xzr, x0, ge
    0xd280_0ba8, // mov x8, #93
    0xd400_0001, // svc #0
];

/// faccessat(AT_FDCWD, argv[1], F_OK); exits with 0 or the error.
const HAS: [u32; 8] = [
    0xf940_0be1, // ldr x1, [sp, #16]
    0x9280_0c60, // mov x0, #-100
    0xd280_0002, // mov x2, #0
    0xd280_0608, // mov x8, #48
    0xd400_0001, // svc #0
    0xcb00_03e0, // neg x0, x0
    0xd280_0ba8, // mov x8, #93
    0xd400_0001, // svc #0
];

/// Every guest: its name, its file.
pub(crate) fn programs() -> [(&'static str, Vec<u8>); 10] {
    [
        ("ok", elf(AARCH64, &OK)),
        ("wait", elf(AARCH64, &WAIT)),
        ("idle", elf(AARCH64, &SAY_AND_WAIT)),
        ("show", elf(AARCH64, &[&SHOW[..], &[SVC]].concat())),
        ("make", elf(AARCH64, &MAKE)),
        ("has", elf(AARCH64, &HAS)),
        ("foreign", elf(X86_64, &OK)),
        ("cut", elf(AARCH64, &OK)[..50].to_vec()),
        ("text", b"no program".to_vec()),
        ("lost", b"#!/bin/nothing\n".to_vec()),
    ]
}

pub(crate) struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Result<Place> {
        let place = Place {
            dir: tempfile::tempdir()?,
        };
        let bin = place.path("root/bin");
        fs::create_dir_all(&bin)?;
        fs::create_dir_all(place.path("root/etc"))?;
        for (name, content) in programs() {
            fs::write(bin.join(name), content)?;
            fs::set_permissions(bin.join(name), fs::Permissions::from_mode(0o755))?;
        }
        Ok(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn tuxlet(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tuxlet"));
        command
            .args(line.split_whitespace())
            .current_dir(self.dir.path())
            .env("TUXLET_HOME", self.path("home"))
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("DOCKER_CONFIG", self.path("docker"))
            .stdin(Stdio::null());
        command
    }

    /// The exit status, the standard output and the standard error.
    pub(crate) fn run(&self, line: &str) -> Result<(i32, String, String)> {
        let Output {
            status,
            stdout,
            stderr,
        } = self.tuxlet(line).output()?;
        let code = status.code().ok_or("killed")?;
        Ok((code, String::from_utf8(stdout)?, String::from_utf8(stderr)?))
    }
}
