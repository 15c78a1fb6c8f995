//! `tuxlet export`

use std::{
    fs::{self, File},
    io::{self, BufWriter, IsTerminal, Write},
    path::Path,
};

use anyhow::{Context, bail};
use tuxlet_image::{
    Error, export_image, export_machine,
    store::{ImageName, Store},
};

use crate::args::ExportArgs;

pub(crate) fn run(args: &ExportArgs) -> anyhow::Result<()> {
    let store = Store::open_default()?;
    write(args.output.as_deref(), |output| {
        export(&store, &args.name, output)
    })
}

/// Writes an archive to a file, which appears when it is whole, or to standard output.
pub(crate) fn write(
    path: Option<&Path>,
    archive: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else {
        if io::stdout().is_terminal() {
            bail!("an archive is nothing for a terminal; use -o FILE or a pipe");
        }
        let mut output = BufWriter::new(io::stdout().lock());
        archive(&mut output)?;
        return Ok(output.flush()?);
    };
    // Under another name until it is whole.
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = Path::new(&temporary);
    let write = || -> anyhow::Result<()> {
        let file = File::create(temporary)
            .with_context(|| format!("cannot make {}", temporary.display()))?;
        let mut output = BufWriter::new(file);
        archive(&mut output)?;
        output
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?
            .sync_all()?;
        fs::rename(temporary, path).with_context(|| format!("cannot make {}", path.display()))
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(temporary);
    })
}

fn export(store: &Store, name: &str, output: &mut dyn Write) -> anyhow::Result<()> {
    match store.machine(name) {
        Ok(machine) => return Ok(export_machine(store, &machine, output)?),
        // Names of images may have a form that names of machines have not.
        Err(Error::NoMachine(_) | Error::BadName { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let image: ImageName = name.parse()?;
    Ok(export_image(store, &image, output)?)
}
