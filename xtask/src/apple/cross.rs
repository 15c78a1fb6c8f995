//! Compilers of C for Apple's systems: Xcode's on a Mac, elsewhere Zig's with the headers that it brings along.

use super::{Slice, target_dir};
use anyhow::{Context, Result, bail};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Oldest systems that the library runs on.
const IOS: &str = "16.0";
const MACOS: &str = "13.0";

pub(super) struct Tools {
    /// Zig and its headers; none on a Mac.
    zig: Option<(PathBuf, PathBuf)>,
}

impl Tools {
    pub(super) fn find(zig: Option<&Path>) -> Result<Self> {
        if cfg!(target_os = "macos") {
            return Ok(Self { zig: None });
        }
        let named = zig.map(Path::to_path_buf);
        let named = named.or_else(|| std::env::var_os("TUXLET_ZIG").map(PathBuf::from));
        let zig = named.unwrap_or("zig".into());
        let out = Command::new(&zig).arg("env").output();
        let Ok(out) = out else {
            bail!("SQLite is C: on this host that needs Zig, on PATH or in --zig");
        };
        // ZON or JSON, depending on the version.
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let lib = text.split_once("lib_dir").map_or("", |(_, rest)| rest);
        let lib = lib.trim_start_matches('"').split('"').nth(1);
        let lib = lib.context("`zig env` tells no lib_dir")?;
        let headers = Path::new(lib).join("libc/include/any-darwin-any");
        Ok(Self {
            zig: Some((zig, headers)),
        })
    }

    /// Makes cargo build for a slice.
    pub(super) fn set(&self, command: &mut Command, slice: Slice) -> Result<()> {
        command.env("IPHONEOS_DEPLOYMENT_TARGET", IOS);
        command.env("MACOSX_DEPLOYMENT_TARGET", MACOS);
        // An app does not load code, and nothing here loads extensions of SQLite.
        command.env(
            "LIBSQLITE3_FLAGS",
            "-USQLITE_ENABLE_LOAD_EXTENSION -DSQLITE_OMIT_LOAD_EXTENSION",
        );
        let Some((zig, headers)) = &self.zig else {
            return Ok(());
        };
        let dir = target_dir().join("apple-tools");
        // An empty SDK keeps build scripts from asking Xcode for one.
        let sdk = dir.join("sdk");
        fs::create_dir_all(&sdk)?;
        let zig_target = match slice {
            Slice::Ios => format!("aarch64-ios.{IOS}"),
            Slice::IosSim => format!("aarch64-ios.{IOS}-simulator"),
            Slice::Macos => format!("aarch64-macos.{MACOS}"),
        };
        let script = dir.join(format!("cc-{}", slice.target()));
        let text = format!(
            "#!/bin/sh\n\
             # Zig has its own names for what these arguments of Apple's compilers say.\n\
             skip=\n\
             for arg do\n\
             shift\n\
             [ -z \"$skip\" ] || {{ skip=; continue; }}\n\
             case $arg in\n\
             -isysroot|-arch) skip=1 ;;\n\
             --target=*|-m*-version-min=*) ;;\n\
             *) set -- \"$@\" \"$arg\" ;;\n\
             esac\n\
             done\n\
             exec '{}' cc -target {zig_target} -isystem '{}' \"$@\"\n",
            zig.display(),
            headers.display()
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let absolute = |path: &Path| fs::canonicalize(path);
        command.env("SDKROOT", absolute(&sdk)?);
        let variable = format!("CC_{}", slice.target().replace('-', "_"));
        command.env(variable, absolute(&script)?);
        Ok(())
    }
}
