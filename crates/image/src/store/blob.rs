//! Downloads, kept by what they contain.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use sha2::{Digest as _, Sha256};

use super::{open_lock, sync_dir};
use crate::{Error, Result};

/// A SHA-256 checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// Of everything a stream gives, with the number of bytes.
    pub fn of_stream(mut stream: impl Read) -> io::Result<(Digest, u64)> {
        let mut hash = Sha256::new();
        let size = io::copy(&mut stream, &mut HashWriter(&mut hash))?;
        Ok((Digest(hash.finalize().into()), size))
    }
}

/// Computes the checksum of what is read through it.
#[derive(Debug)]
pub(crate) struct DigestReader<R> {
    input: R,
    hash: Sha256,
}

impl<R> DigestReader<R> {
    pub(crate) fn new(input: R) -> DigestReader<R> {
        DigestReader {
            input,
            hash: Sha256::new(),
        }
    }

    /// Of all that has been read.
    pub(crate) fn digest(self) -> Digest {
        Digest(self.hash.finalize().into())
    }
}

impl<R: Read> Read for DigestReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buf)?;
        self.hash.update(&buf[..n]);
        Ok(n)
    }
}

struct HashWriter<'a>(&'a mut Sha256);

impl Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Digest, ()> {
        let digits = text.as_bytes();
        if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |d: u8| char::from(d).to_digit(16).unwrap_or(0) as u8;
            *byte = value(pair[0]) << 4 | value(pair[1]);
        }
        Ok(Digest(digest))
    }
}

/// The downloads of a store. Files in it are never changed, only added and removed; they are checked again when they are used.
#[derive(Debug, Clone)]
pub struct BlobCache {
    root: PathBuf,
}

/// A download on its way; other processes wait for it.
pub(crate) struct PartialBlob {
    path: PathBuf,
    /// What has come so far, positioned at its end.
    pub(crate) file: File,
}

impl BlobCache {
    pub(super) fn new(root: PathBuf) -> BlobCache {
        BlobCache { root }
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.to_string())
    }

    /// Opens a complete blob after checking that it still is what its name says; one that is not is thrown away.
    pub fn open(&self, digest: &Digest) -> Result<Option<File>> {
        let path = self.blob_path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("open", &path, e)),
        };
        let (got, _) = Digest::of_stream(&file).map_err(|e| Error::io("read", &path, e))?;
        if got != *digest {
            tracing::warn!("{} is damaged; fetching it again", path.display());
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
            return Ok(None);
        }
        file.rewind().map_err(|e| Error::io("read", &path, e))?;
        Ok(Some(file))
    }

    /// The place where a blob is collected, with what is there from earlier attempts. Waits for a process that is at it.
    pub(crate) fn partial(&self, digest: &Digest) -> Result<PartialBlob> {
        let path = self.root.join("partial").join(digest.to_string());
        loop {
            let mut file = open_lock(&path)?;
            file.lock().map_err(|e| Error::io("lock", &path, e))?;
            // The one waited for has renamed the file away; then it is the finished blob now.
            if is_same_file(&file, &path).map_err(|e| Error::io("read", &path, e))? {
                file.seek(io::SeekFrom::End(0))
                    .map_err(|e| Error::io("read", &path, e))?;
                return Ok(PartialBlob { path, file });
            }
        }
    }

    /// Makes a partial blob, complete and checked by the caller, a whole one; returns it, positioned at its begin.
    pub(crate) fn complete(&self, mut partial: PartialBlob, digest: &Digest) -> Result<File> {
        let path = self.blob_path(digest);
        partial
            .file
            .sync_all()
            .map_err(|e| Error::io("sync", &partial.path, e))?;
        fs::rename(&partial.path, &path).map_err(|e| Error::io("make", &path, e))?;
        sync_dir(path.parent().unwrap_or(&self.root))?;
        // Who waits for this one must not wait until it has been read, too: its reader may wait for theirs.
        partial
            .file
            .unlock()
            .map_err(|e| Error::io("unlock", &path, e))?;
        partial
            .file
            .rewind()
            .map_err(|e| Error::io("read", &path, e))?;
        Ok(partial.file)
    }

    /// Removes a blob that is of no more use; who has it open keeps it.
    pub(crate) fn remove(&self, digest: &Digest) -> Result<()> {
        let path = self.blob_path(digest);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", &path, e)),
            _ => Ok(()),
        }
    }

    /// Removes every download; those on their way are left alone.
    pub fn clear(&self) -> Result<()> {
        let blobs = self.root.join("blobs/sha256");
        for path in super::list(&blobs)? {
            fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
        Ok(())
    }
}

impl PartialBlob {
    /// Where it is, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(unix)]
fn is_same_file(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((open.dev(), open.ino()) == (there.dev(), there.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_are_completed_and_checked() {
        let dir = tempfile::tempdir().unwrap();
        let cache = crate::store::Store::open(dir.path()).unwrap().blobs();
        let digest = Digest::of(b"hello");
        assert!(cache.open(&digest).unwrap().is_none());
        let mut partial = cache.partial(&digest).unwrap();
        partial.file.write_all(b"hello").unwrap();
        cache.complete(partial, &digest).unwrap();
        let mut text = String::new();
        cache
            .open(&digest)
            .unwrap()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "hello");
        fs::write(cache.blob_path(&digest), "hellO").unwrap();
        assert!(cache.open(&digest).unwrap().is_none());
        assert!(!cache.blob_path(&digest).exists());
    }

    #[test]
    fn digests_parse() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("zz".parse::<Digest>().is_err());
        assert!("g".repeat(64).parse::<Digest>().is_err());
    }
}
