//! Where the command line meets the machine.

use std::path::Path;

use anyhow::bail;
use tuxlet_image::{
    Error, Result,
    debian::{Configure, GuestCommand},
};

/// Runs the set-up of packages while an image is made.
#[derive(Debug, Default)]
pub(crate) struct Guest;

impl Configure for Guest {
    fn run(&mut self, _: &Path, commands: &[GuestCommand], _: &mut dyn FnMut(&[u8])) -> Result<()> {
        Err(Error::Configure {
            step: commands
                .first()
                .map_or_else(String::new, |c| c.title.clone()),
            reason: "this build has no engine".to_owned(),
        })
    }
}

/// Fails: there is no engine in this build.
pub(crate) fn missing<T>() -> anyhow::Result<T> {
    bail!("this build has no engine")
}
