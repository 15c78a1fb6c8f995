//! A file system that is being configured: what fsopen(2) and fspick(2) open.

use crate::kernel::Parameter;
use parking_lot::Mutex;
use std::{any::Any, sync::Arc};
use tuxlet_mem::IoWrite;
use tuxlet_uapi::{
    errno::{Errno, Result},
    fcntl::OpenFlags,
};
use tuxlet_vfs::{Attr, Cx, File, FileOps, FileSystem, Path};

/// How far a configuration has come.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// Parameters are given.
    Creating,
    /// There is a file system to mount.
    Created(Arc<dyn FileSystem>),
    /// Parameters of a mounted one are given.
    Reconfiguring(Path),
    /// It has been mounted or has failed.
    Done,
}

/// What has been given so far.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) phase: Phase,
    pub(crate) source: Option<Vec<u8>>,
    pub(crate) read_only: bool,
    /// The file system's own options.
    pub(crate) parameters: Vec<Parameter>,
}

/// The operations of a configuration's descriptor.
#[derive(Debug)]
pub(crate) struct FsConfig {
    /// The type of file system.
    pub(crate) kind: Vec<u8>,
    pub(crate) config: Mutex<Config>,
    attr: Attr,
}

/// A file for a configuration.
pub(crate) fn open(cx: &Cx, kind: Vec<u8>, phase: Phase) -> Arc<File> {
    let ops = FsConfig {
        kind,
        config: Mutex::new(Config {
            phase,
            source: None,
            read_only: false,
            parameters: Vec::new(),
        }),
        attr: crate::anon::attr(cx),
    };
    File::anonymous(
        cx,
        Arc::new(ops),
        b"anon_inode:[fscontext]",
        OpenFlags::RDWR,
    )
}

impl Config {
    /// Takes a parameter that is a flag, or (with `value`) a string; `check` looks at the file system's own ones, of which it is then
    /// the last.
    pub(crate) fn set(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        check: impl FnOnce(&[Parameter]) -> Result<()>,
    ) -> Result<()> {
        if !matches!(self.phase, Phase::Creating | Phase::Reconfiguring(_)) {
            return Err(Errno::EBUSY);
        }
        match (key, value) {
            (b"ro", None) => self.read_only = true,
            (b"rw", None) => self.read_only = false,
            // The superblock's other flags mean nothing to file systems that keep what they are given.
            (b"sync" | b"async" | b"dirsync" | b"lazytime" | b"nolazytime" | b"silent", None) => {}
            (b"source", Some(source)) => {
                if self.source.is_some() {
                    return Err(Errno::EINVAL);
                }
                self.source = Some(source.to_vec());
            }
            (b"source", None) => return Err(Errno::EINVAL),
            _ => {
                self.parameters
                    .push((key.to_vec(), value.map(<[u8]>::to_vec)));
                if let Err(e) = check(&self.parameters) {
                    self.parameters.pop();
                    return Err(e);
                }
            }
        }
        Ok(())
    }
}

impl FileOps for FsConfig {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn attr(&self, _: &Cx) -> Result<Attr> {
        Ok(self.attr)
    }
    fn seekable(&self) -> bool {
        false
    }
    /// Messages about what went wrong; there are none, which Linux says the same way.
    fn read_at(&self, _: &Cx, _: u64, _: &mut dyn IoWrite) -> Result<usize> {
        Err(Errno::ENODATA)
    }
}
