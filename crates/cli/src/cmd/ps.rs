//! `tuxlet ps`

use tuxlet_image::store::Store;

use crate::{args::PsArgs, table};

pub(crate) fn run(args: &PsArgs) -> anyhow::Result<()> {
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
