//! Host files and directories in a machine.

use tuxlet::{Bind, Machine, Root};

#[test]
fn a_file_and_a_directory_appear_where_nothing_was() -> Result<(), Box<dyn std::error::Error>> {
    let host = std::env::temp_dir().join(format!("tuxlet-bind-{}", std::process::id()));
    std::fs::create_dir_all(&host)?;
    std::fs::write(host.join("file"), b"content")?;
    let bind = |path: &std::path::Path, guest: &str| Bind {
        host: path.to_owned(),
        guest: guest.into(),
        read_only: true,
    };
    let machine = Machine::builder()
        .root(Root::Memory)
        .bind(bind(&host.join("file"), "/new"))
        .bind(bind(&host.join("file"), "/deep/below/new"))
        .bind(bind(&host, "/dir"))
        .build()?;
    for path in ["/new", "/deep/below/new", "/dir/file"] {
        assert_eq!(machine.read_file(path)?, b"content", "{path}");
    }
    assert!(
        machine.write_file("/new", 0o644, b"x").is_err(),
        "mounted read-only"
    );
    drop(machine);
    std::fs::remove_dir_all(&host)?;
    Ok(())
}
