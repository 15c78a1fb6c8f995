//! `tuxlet inspect`

use serde_json::{Value, json};
use tuxlet_image::{
    Error,
    store::{ImageName, Store},
};

use crate::args::InspectArgs;

pub(crate) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let all: anyhow::Result<Vec<Value>> = args
        .names
        .iter()
        .map(|name| describe(&store, name))
        .collect();
    println!("{}", serde_json::to_string_pretty(&all?)?);
    Ok(())
}

/// All that is known of a machine, or of the image of that name.
fn describe(store: &Store, name: &str) -> anyhow::Result<Value> {
    match store.machine(name) {
        Ok(machine) => {
            let record = &machine.record;
            return Ok(json!({
                "kind": "machine",
                "name": record.name,
                "running": machine.is_running()?,
                "image": record.image,
                "created": record.created,
                "layers": record.layers(),
                "directory": machine.dir(),
                "snapshots": record.snapshots.iter().map(|s| json!({ "name": s.name, "created": s.created })).collect::<Vec<_>>(),
                "patches": record.patches,
                "settings": record.config,
            }));
        }
        // Names of images may have a form that names of machines have not.
        Err(Error::NoMachine(_) | Error::BadName { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let image: ImageName = name.parse()?;
    let image = store.image(&image)?;
    Ok(json!({
        "kind": "image",
        "name": image.name,
        "from": image.origin,
        "digest": image.digest,
        "created": image.created,
        "size": image.size,
        "layers": image.layers(),
        "config": image.config,
    }))
}
