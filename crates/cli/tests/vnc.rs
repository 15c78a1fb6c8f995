//! `tuxlet vnc`, as it is started: the address, the password, a viewer of the host's. What viewers see is tested in `tuxlet-vnc`.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
};

/// Ends the process whatever happens to the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_screen_is_offered_and_a_viewer_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    fs::copy(shell, root.join("bin/sh")).unwrap();
    // Stands for the viewer.
    let viewer = dir.path().join("vncviewer");
    fs::write(
        &viewer,
        "#!/bin/sh\necho viewer: \"$VNC_PASSWORD\" \"$@\" >&2\n",
    )
    .unwrap();
    fs::set_permissions(&viewer, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", dir.path().display());
    let mut vnc = Command::new(env!("CARGO_BIN_EXE_tuxlet"))
        .args([
            "vnc",
            "--listen",
            "127.0.0.1:0",
            "--cols",
            "40",
            "--rows",
            "10",
        ])
        .args(["--window", "--shell", "hang", "--rootfs"])
        .arg(&root)
        .env("TUXLET_HOME", dir.path().join("home"))
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(vnc.stderr.take().unwrap()).lines();
    let _running = Running(vnc);
    let mut said = |mark: &str| -> String {
        let line = lines.by_ref().find_map(|l| {
            let line = l.unwrap();
            line.find(mark).map(|at| line[at + mark.len()..].to_owned())
        });
        line.unwrap_or_else(|| panic!("nothing says {mark}"))
    };
    let address = said("vnc://");
    let password = said("Password: ");
    assert_eq!(password.len(), 8);
    if !cfg!(target_os = "macos") {
        let shown = said("viewer: ");
        assert_eq!(shown, format!("{password} {}", address.replace(':', "::")));
    }
    let mut hello = [0; 12];
    TcpStream::connect(&address)
        .unwrap()
        .read_exact(&mut hello)
        .unwrap();
    assert_eq!(&hello, b"RFB 003.008\n");
}
