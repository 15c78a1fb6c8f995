//! `tuxlet fsck`

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use tuxlet_image::{
    Error, check, repair,
    store::{ImageName, Machine, Store},
};

use crate::args::FsckArgs;

/// Exit statuses of fsck(8).
const CORRECTED: u8 = 1;
const LEFT: u8 = 4;

/// How many contradictions are shown of each file system.
const SHOWN: usize = 20;

pub(crate) fn run(args: &FsckArgs) -> anyhow::Result<ExitCode> {
    let store = Store::open_default()?;
    let mut names = args.names.clone();
    if names.is_empty() {
        for machine in store.machines()? {
            if machine.is_running()? {
                println!("{}: runs, and is not looked at", machine.record.name);
            } else {
                names.push(machine.record.name);
            }
        }
        names.extend(store.images()?.iter().map(|i| i.name.to_string()));
    }
    let mut status = 0;
    let mut failed = false;
    for name in &names {
        match look_at(&store, name, args.repair) {
            Ok(found) => status |= found,
            // One that is beyond help says nothing of the others.
            Err(error) => {
                eprintln!("tuxlet: {error:#}");
                failed = true;
            }
        }
    }
    Ok(ExitCode::from(if failed { crate::FAILED } else { status }))
}

fn look_at(store: &Store, name: &str, mend: bool) -> anyhow::Result<u8> {
    match store.machine(name) {
        Ok(machine) => check_machine(&machine, mend),
        // Names of images may have a form that names of machines have not.
        Err(Error::NoMachine(_) | Error::BadName { .. }) => check_image(store, name),
        Err(error) => Err(error.into()),
    }
}

fn check_machine(machine: &Machine, mend: bool) -> anyhow::Result<u8> {
    let name = &machine.record.name;
    let _claim = machine.lock()?;
    let mut places = vec![(name.clone(), machine.fs_dir())];
    for (number, directory) in volumes(machine)? {
        places.push((format!("{name}, volume {number}"), directory));
    }
    let mut status = 0;
    for (what, directory) in places {
        // A machine that has kept nothing yet has no store.
        if !directory.exists() {
            println!("{what}: nothing kept yet");
            continue;
        }
        if mend {
            let done = repair(&directory).with_context(|| damaged(&what))?;
            if !done.is_empty() {
                report(&what, &done, "put in order");
                status |= CORRECTED;
            }
        }
        let problems = check(&directory)
            .with_context(|| unreadable(&what, mend))?
            .problems;
        let verdict = if mend {
            "left: nobody but you knows what they are for"
        } else {
            "contradictions; --repair puts them in order"
        };
        report(&what, &problems, verdict);
        status |= if problems.is_empty() { 0 } else { LEFT };
    }
    Ok(status)
}

/// Layers of images are shared and never written: one that is damaged has to come anew.
fn check_image(store: &Store, name: &str) -> anyhow::Result<u8> {
    let image: ImageName = name.parse()?;
    let mut status = 0;
    for directory in store.layer_dirs(&store.image(&image)?)? {
        let what = format!("image {name}");
        let problems = check(&directory).with_context(|| damaged(&what))?.problems;
        report(
            &what,
            &problems,
            "contradictions; remove the image and get it again",
        );
        status |= if problems.is_empty() { 0 } else { LEFT };
    }
    Ok(status)
}

fn unreadable(what: &str, mended: bool) -> String {
    if mended {
        damaged(what)
    } else {
        format!("{what}: cannot be read whole; --repair keeps what can be read")
    }
}

fn damaged(what: &str) -> String {
    format!("{what}: cannot be read whole; restore a snapshot, or make it anew")
}

fn report(what: &str, lines: &[String], verdict: &str) {
    if lines.is_empty() {
        println!("{what}: in order");
        return;
    }
    for line in lines.iter().take(SHOWN) {
        println!("{what}: {line}");
    }
    println!("{what}: {} {verdict}", lines.len());
}

fn volumes(machine: &Machine) -> io::Result<Vec<(usize, PathBuf)>> {
    let directory: &Path = &machine.dir().join("volumes");
    let entries = match fs::read_dir(directory) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        // What has another name is on its way to be one.
        if let Some(number) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) {
            all.push((number, machine.volume_dir(number)));
        }
    }
    all.sort();
    Ok(all)
}
