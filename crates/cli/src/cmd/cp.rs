//! `tuxlet cp`

use crate::args::CpArgs;

pub(crate) fn run(_: &CpArgs) -> anyhow::Result<()> {
    anyhow::bail!("cp is missing")
}
