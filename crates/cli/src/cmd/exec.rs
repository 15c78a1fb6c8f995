//! `tuxlet exec`

use std::process::ExitCode;

use tuxlet_image::{Error, store::Store};

use crate::{
    args::{ExecArgs, without_dashes},
    cmd::run,
    process::{self, Spec},
    settings::Settings,
};

pub(crate) fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let command = run::texts(without_dashes(args.command))?;
    let store = Store::open_default()?;
    let record = store.machine(&args.machine)?;
    let settings = Settings::of(&record.record.config)?;
    let spec = Spec::new(&args.process, &settings, command)?;
    match record.lock() {
        Ok(mut claim) => {
            // Nobody runs it, so it runs for this command.
            let builder = settings.builder(&record.record.name);
            run::run_in(
                &store,
                &record,
                &mut claim,
                builder,
                &args.process,
                spec,
                || {},
            )
        }
        Err(Error::MachineBusy(_)) => process::run_elsewhere(&record, &args.process, spec),
        Err(error) => Err(error.into()),
    }
}
