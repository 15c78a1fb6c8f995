//! How long work tells its caller how far it is; the command line draws bars from it.

/// The parts a provisioning job consists of, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading release files and package indices; counted in bytes.
    Index,
    /// Fetching packages; counted in bytes.
    Download,
    /// Fetching the layers of an image; counted in bytes.
    Layers,
    /// Writing packages or layers into trees; counted in those.
    Unpack,
    /// Reading an imported archive; counted in (compressed) bytes.
    Import,
    /// Running the packages' own set-up inside the guest; counted in packages.
    Configure,
}

/// Receives progress; called from several threads at once.
pub trait Progress: Send + Sync {
    /// A stage begins; `total` is in the stage's unit, 0 where it is not known.
    fn begin(&self, stage: Stage, total: u64);
    /// `n` more units are done.
    fn advance(&self, stage: Stage, n: u64);
    /// One of several parts of a stage that go on side by side: `done` of `total` units of it are done.
    fn part(&self, stage: Stage, name: &str, done: u64, total: u64) {
        let _ = (stage, name, done, total);
    }
    /// What is being worked on now.
    fn item(&self, stage: Stage, text: &str);
    /// The stage is over.
    fn end(&self, stage: Stage);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn begin(&self, _: Stage, _: u64) {}
    fn advance(&self, _: Stage, _: u64) {}
    fn item(&self, _: Stage, _: &str) {}
    fn end(&self, _: Stage) {}
}
