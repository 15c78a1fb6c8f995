//! `tuxlet run`

use std::process::ExitCode;

use crate::{args::RunArgs, guest};

pub(crate) fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let _command = crate::args::without_dashes(args.rest);
    guest::missing()
}
