//! The processor to compare with: QEMU, or an AArch64 Linux host.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::image::Image;

/// Where programs run.
#[derive(Clone, Debug)]
pub(crate) enum Reference {
    /// qemu-aarch64 with all features but those that we do not offer either.
    Qemu(PathBuf),
    /// The host itself, an AArch64 Linux.
    Native,
    /// As [`Native`](Self::Native) by way of a program that runs AArch64 programs: what the host
    /// is to other programs.
    Through(PathBuf),
}

impl Reference {
    /// The name and version, for the record.
    pub(crate) fn name(&self) -> String {
        match self.qemu_version() {
            Some(version) => format!("qemu {version}"),
            None => "native".to_owned(),
        }
    }

    /// Whether it has FEAT_LSE2; qemu before 9 has not.
    pub(crate) fn has_lse2(&self) -> bool {
        self.qemu_version().is_none_or(|version| {
            let major = version.split('.').next().unwrap_or_default();
            major.parse::<u32>().is_ok_and(|n| n >= 9)
        })
    }

    /// "10.0.13" of "qemu-aarch64 version 10.0.13 (Debian ...)".
    fn qemu_version(&self) -> Option<String> {
        let Reference::Qemu(program) = self else {
            return None;
        };
        let output = Command::new(program).arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        Some(text.split_whitespace().nth(2)?.to_owned())
    }

    /// What the program writes to its standard output, which must be `len` bytes.
    pub(crate) fn run(&self, image: &Image, len: u64) -> Result<Vec<u8>, String> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "vectors-{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        let say = |e: std::io::Error| e.to_string();
        fs::write(&path, image.elf()).map_err(say)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(say)?;
        let mut command = match self {
            Reference::Qemu(qemu) => {
                let mut command = Command::new(qemu);
                command.args(["-cpu", "max,pauth=off"]).arg(&path);
                command
            }
            Reference::Native => Command::new(&path),
            Reference::Through(program) => {
                let mut command = Command::new(program);
                command.arg(&path);
                command
            }
        };
        let output = command.stderr(Stdio::null()).output().map_err(say);
        fs::remove_file(&path).map_err(say)?;
        let output = output?;
        if !output.status.success() {
            return Err(format!("reference: {}", output.status));
        }
        if output.stdout.len() as u64 != len {
            return Err(format!(
                "reference wrote {} bytes, not {len}",
                output.stdout.len()
            ));
        }
        Ok(output.stdout)
    }
}
