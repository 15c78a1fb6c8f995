//! `tuxlet cp`

use std::path::{Path, PathBuf};

use anyhow::bail;
use tuxlet::Machine;
use tuxlet_image::{
    Error,
    store::{self, Store},
};

use crate::{
    args::CpArgs,
    cmd::run,
    control::{self, Reply, Request},
    settings::Settings,
};

pub(crate) fn run(args: &CpArgs) -> anyhow::Result<()> {
    let (machine, request) = match (in_machine(&args.from), in_machine(&args.to)) {
        (Some((machine, from)), None) => (
            machine,
            Request::CopyOut {
                from: absolute(from),
                to: std::path::absolute(&args.to)?,
            },
        ),
        (None, Some((machine, to))) => (
            machine,
            Request::CopyIn {
                from: std::path::absolute(&args.from)?,
                to: absolute(to),
            },
        ),
        _ => bail!(
            "one side must be MACHINE:PATH and the other a path of the host (with a slash where it has a colon)"
        ),
    };
    let store = Store::open_default()?;
    let record = store.machine(machine)?;
    let skipped = match record.lock() {
        Ok(mut claim) => {
            // Nobody is to wait for it to answer.
            claim.started();
            copy(&start(&store, &record)?, request)?
        }
        Err(Error::MachineBusy(_)) => {
            let connection = control::connect(&record)?;
            connection.send(&request, &[])?;
            match connection.receive()? {
                Reply::Copied { skipped } => skipped,
                other => bail!("the machine answers {other:?}"),
            }
        }
        Err(error) => return Err(error.into()),
    };
    for path in skipped {
        eprintln!("tuxlet: {path} is left out: neither a file, a directory nor a link");
    }
    Ok(())
}

/// The machine without anything that runs in it, as `run` would see it.
fn start(store: &Store, record: &store::Machine) -> anyhow::Result<Machine> {
    let settings = Settings::of(&record.record.config)?;
    let builder = settings.builder(&record.record.name);
    Ok(run::placed(store, record, builder)?.build()?)
}

fn copy(machine: &Machine, request: Request) -> tuxlet::Result<Vec<String>> {
    match request {
        Request::CopyOut { from, to } => machine.copy_out(&from, &to),
        Request::CopyIn { from, to } => machine.copy_in(&from, &to),
        Request::Exec { .. } | Request::Signal { .. } | Request::KillAll | Request::Processes => {
            Ok(Vec::new())
        }
    }
}

/// `MACHINE:PATH`; a path of the host has a slash before any colon.
fn in_machine(text: &str) -> Option<(&str, &str)> {
    text.split_once(':')
        .filter(|(machine, _)| !machine.is_empty() && !machine.contains('/'))
}

/// Paths of a machine begin at its root, as with Docker.
fn absolute(path: &str) -> String {
    let root = Path::new("/");
    let joined: PathBuf = root.join(path);
    let mut text = joined.to_string_lossy().into_owned();
    if path.ends_with('/') && !text.ends_with('/') {
        text.push('/');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_and_paths_are_told_apart() {
        assert_eq!(in_machine("work:/etc"), Some(("work", "/etc")));
        assert_eq!(in_machine("work:"), Some(("work", "")));
        for host in ["./a:b", "/a:b", "a", ":b"] {
            assert_eq!(in_machine(host), None, "{host}");
        }
        assert_eq!(absolute("etc/"), "/etc/");
        assert_eq!(absolute("/x"), "/x");
        assert_eq!(absolute(""), "/");
    }
}
