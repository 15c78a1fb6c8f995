//! `tuxlet cp`

use crate::{args::CpArgs, guest};

pub(crate) fn run(_: &CpArgs) -> anyhow::Result<()> {
    guest::missing()
}
