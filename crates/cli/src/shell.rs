//! The command of terminals that are shown elsewhere: in the browser, over VNC.

use tuxlet::{Command, Machine};

/// How to run what somebody has given as a line, or else root's login shell.
#[derive(Clone, Debug)]
pub(crate) struct Shell(Vec<String>);

impl Shell {
    pub(crate) fn new(machine: &Machine, line: Option<&str>) -> Self {
        match line {
            Some(line) => Self(["/bin/sh", "-c", line].map(str::to_owned).to_vec()),
            None => Self(vec![login_shell(machine)]),
        }
    }

    /// The command of a new terminal, which understands what xterm does.
    pub(crate) fn command(&self) -> Command {
        let mut words = self.0.iter().cloned();
        Command::new(words.next().unwrap_or_default())
            .args(words)
            .env("TERM", "xterm-256color")
            .env("COLORTERM", "truecolor")
    }
}

/// What passwd(5) says of root.
fn login_shell(machine: &Machine) -> String {
    let users = machine.read_file("/etc/passwd").unwrap_or_default();
    let users = String::from_utf8_lossy(&users);
    let root = users.lines().find(|l| l.split(':').nth(2) == Some("0"));
    let shell = root.and_then(|l| l.split(':').nth(6));
    shell
        .filter(|s| !s.is_empty())
        .unwrap_or("/bin/sh")
        .to_owned()
}
