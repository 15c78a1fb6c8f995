//! Bootstraps Debian into a tar archive on standard output, unconfigured: `bootstrap [SUITE] > rootfs.tar`.

use std::io::{self, BufWriter};

use tuxlet_image::{Progress, Stage, config::Config, debian, store::Store, tar::TarWriter};

struct Print;
impl Progress for Print {
    fn begin(&self, stage: Stage, total: u64) {
        eprintln!("{stage:?}: {total}");
    }
    fn advance(&self, _: Stage, _: u64) {}
    fn item(&self, stage: Stage, text: &str) {
        eprintln!("  {stage:?} {text}");
    }
    fn end(&self, _: Stage) {}
}

fn main() -> tuxlet_image::Result<()> {
    let cache = Store::open_default()?.blobs();
    let options = debian::Options {
        suite: std::env::args().nth(1),
        ..debian::Options::new(&Config::load()?)
    };
    let bootstrap = debian::Bootstrap::download(&cache, &options, &Print)?;
    eprintln!(
        "{}: {:?}",
        bootstrap.origin(),
        bootstrap.packages().collect::<Vec<_>>()
    );
    let mut sink = TarWriter::new(BufWriter::new(io::stdout()));
    for command in bootstrap.unpack(&cache, &mut sink, &Print)? {
        eprintln!("to run: {} {:?}", command.argv.join(" "), command.env);
    }
    Ok(())
}
