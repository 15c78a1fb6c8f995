//! `tuxlet exec`

use std::process::ExitCode;

use crate::{args::ExecArgs, guest};

pub(crate) fn run(args: ExecArgs) -> anyhow::Result<ExitCode> {
    let _command = crate::args::without_dashes(args.command);
    guest::missing()
}
