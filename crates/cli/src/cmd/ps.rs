//! `tuxlet ps`

use tuxlet_image::store::Store;

use crate::{
    args::PsArgs,
    control::{self, Reply, Request},
    table,
};

pub(crate) fn run(args: &PsArgs) -> anyhow::Result<()> {
    if args.processes {
        return processes();
    }
    let mut rows = Vec::new();
    if !args.quiet {
        rows.push(
            ["MACHINE", "IMAGE", "COMMAND", "CREATED", "STATUS"]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    for machine in Store::open_default()?.machines()? {
        let running = machine.is_running()?;
        if !running && !args.all {
            continue;
        }
        let record = machine.record;
        if args.quiet {
            rows.push(vec![record.name]);
            continue;
        }
        let words = record.config.get("command").and_then(|c| c.as_array());
        let command: Vec<&str> = words
            .into_iter()
            .flatten()
            .filter_map(|w| w.as_str())
            .collect();
        let mut command = command.join(" ");
        if command.chars().count() > 40 {
            command = command.chars().take(39).chain(['…']).collect();
        }
        rows.push(vec![
            record.name,
            record
                .image
                .map_or_else(|| "-".to_owned(), |image| image.to_string()),
            command,
            table::age(record.created),
            if running { "running" } else { "stopped" }.to_owned(),
        ]);
    }
    Ok(table::print(&rows)?)
}

/// Lists what runs in the machines.
fn processes() -> anyhow::Result<()> {
    let heading = ["MACHINE", "PID", "PPID", "STATE", "NAME"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for machine in Store::open_default()?.machines()? {
        if !machine.is_running()? {
            continue;
        }
        let name = &machine.record.name;
        let answer = control::connect(&machine).and_then(|connection| {
            connection.send(&Request::Processes, &[])?;
            connection.receive()
        });
        match answer {
            Ok(Reply::Processes(processes)) => {
                rows.extend(processes.into_iter().map(|p| {
                    let state = if p.zombie { "zombie" } else { "alive" };
                    vec![
                        name.clone(),
                        p.pid.to_string(),
                        p.parent.to_string(),
                        state.to_owned(),
                        p.name,
                    ]
                }));
            }
            Ok(other) => tracing::warn!("{name} answers {other:?}"),
            // It may just have ended.
            Err(error) => tracing::warn!("{name}: {error:#}"),
        }
    }
    Ok(table::print(&rows)?)
}
