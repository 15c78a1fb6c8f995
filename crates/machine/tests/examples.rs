//! The examples in `examples/rust`.

#[path = "../../../examples/rust/agent_sandbox.rs"]
mod agent_sandbox;

use agent_sandbox::Sandbox;
use tuxlet::Root;

#[test]
fn tasks_of_agents_are_apart_and_their_files_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let shell = tuxlet_test_support::programs(env!("CARGO_TARGET_TMPDIR")).join("sh");
    std::fs::copy(shell, bin.join("sh")).unwrap();
    let sandbox = Sandbox::new(Root::HostDir(dir.path().to_owned())).unwrap();
    let one = sandbox.run(1, "pwd;write /workspace/a one;fork").unwrap();
    assert_eq!(one.output, "/var/tasks/1\nfork: ok\n");
    assert_eq!(one.written, ["/var/tasks/1/a"]);
    let two = sandbox
        .run(2, "read /workspace/a;write b two;exit 3")
        .unwrap();
    assert_eq!(two.output, "/workspace/a: ENOENT\n");
    assert_eq!((two.exit_code, two.timed_out), (3, false));
    assert_eq!(two.written, ["/var/tasks/2/b"]);
    assert_eq!(sandbox.result(2, "b").unwrap(), b"two");
    assert!(sandbox.result(1, "b").is_err());
}
