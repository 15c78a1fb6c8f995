//! `tuxlet patch`

use anyhow::bail;
use tuxlet_image::{patch::Patch, store::Store};

use crate::{args::PatchArgs, settings::Settings};

pub(crate) fn run(args: &PatchArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    let mut machine = store.machine(&args.machine)?;
    let _lock = machine.lock()?;
    let directories = if args.patches.is_empty() {
        Settings::of(&machine.record.config)?.patches
    } else {
        args.patches.clone()
    };
    if directories.is_empty() {
        bail!(
            "machine {} has no patches of its own; name their directories",
            args.machine
        );
    }
    for directory in directories {
        let patch = Patch::read(&directory)?;
        let applied = patch.apply(&store, &mut machine)?;
        let (name, version) = (patch.name(), patch.version());
        println!(
            "{name} {version}: {}",
            if applied {
                "applied"
            } else {
                "is there already"
            }
        );
    }
    Ok(())
}
