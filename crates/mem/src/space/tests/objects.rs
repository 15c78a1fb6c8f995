//! Mappings of files and shared memory.

use super::*;
use crate::{Backing, FilePages};

/// A file in a vector.
#[derive(Debug, Default)]
struct Disk {
    data: Mutex<Vec<u8>>,
    reads: AtomicUsize,
    writes: AtomicUsize,
    full: std::sync::atomic::AtomicBool,
}

impl Disk {
    fn new(size: usize) -> Arc<Self> {
        let data = (0..size).map(|i| (i / P as usize + 1) as u8).collect();
        Arc::new(Self {
            data: Mutex::new(data),
            ..Self::default()
        })
    }

    fn truncate(&self, pages: &FilePages, size: usize) {
        let old = self.size();
        self.data.lock().resize(size, 0);
        pages.truncated(old);
    }
}

impl Backing for Disk {
    fn size(&self) -> u64 {
        self.data.lock().len() as u64
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let data = self.data.lock();
        let from = data.len().min(offset as usize);
        let n = buf.len().min(data.len() - from);
        buf[..n].copy_from_slice(&data[from..from + n]);
        Ok(n)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Errno::ENOSPC);
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mut data = self.data.lock();
        let end = offset as usize + bytes.len();
        if data.len() < end {
            data.resize(end, 0);
        }
        data[offset as usize..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }
    fn sync(&self) -> Result<()> {
        Ok(())
    }
    fn path(&self) -> Vec<u8> {
        b"/disk".to_vec()
    }
}

fn file(s: &AddressSpace, size: usize) -> (Arc<Disk>, Arc<FilePages>) {
    let disk = Disk::new(size);
    let pages = FilePages::new(s.budget(), disk.clone(), (8, 42));
    (disk, pages)
}

fn read_file(pages: &FilePages, offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0; len];
    let mut to: &mut [u8] = &mut buf;
    let n = pages.read_at(offset, &mut to).unwrap();
    buf.truncate(n);
    buf
}

#[test]
fn private_and_shared_mappings_of_a_file() {
    let s = space();
    let (disk, pages) = file(&s, 5 * P as usize / 2);
    let len = 4 * P;
    let private = s
        .map(MapRequest::private(pages.clone(), 0, len, Prot::RW))
        .unwrap();
    let shared = s
        .map(MapRequest::shared(pages.clone(), P, 2 * P, Prot::RW))
        .unwrap();
    assert_eq!(
        (peek(&s, private), peek(&s, private + P), peek(&s, shared)),
        (1, 2, 2)
    );
    // One read brought everything.
    assert_eq!(disk.reads.load(Ordering::Relaxed), 1);
    // The rest of the last page is zero, the page behind it does not exist.
    assert_eq!(peek(&s, private + 5 * P / 2), 0);
    let mut b = [0];
    assert_eq!(
        kind(s.copy_in(private + 3 * P, &mut b)),
        FaultKind::BusAdrErr
    );
    s.write(private, &77u8).unwrap();
    assert_eq!(read_file(&pages, 0, 1), [1]);
    s.write(shared + 3, &88u8).unwrap();
    assert_eq!(peek(&s, private + P + 3), 88);
    assert_eq!(read_file(&pages, P + 2, 3), [2, 88, 2]);
    // write(2) is seen by mappings that have no copy.
    let mut data: &[u8] = &[5; 2];
    assert_eq!(pages.write_at(P - 1, &mut data), Ok(2));
    assert_eq!((peek(&s, private + P - 1), peek(&s, private + P)), (1, 5));
    assert_eq!(peek(&s, shared), 5);
    let info = s.vma_at(shared).unwrap();
    assert_eq!(
        (info.offset, info.id, &info.path[..]),
        (P, (8, 42), &b"/disk"[..])
    );
    assert_eq!(s.usage().rss_anon, 1);
}

#[test]
fn dirty_pages_are_written_back_once() {
    let s = space();
    let (disk, pages) = file(&s, 3 * P as usize);
    let a = s
        .map(MapRequest::shared(pages.clone(), 0, 3 * P, Prot::RW))
        .unwrap();
    assert_eq!(peek(&s, a + P), 2);
    assert!(!pages.is_dirty());
    s.write(a + P, &9u8).unwrap();
    assert!(pages.is_dirty());
    s.msync(a, 3 * P, MS_SYNC).unwrap();
    assert!(!pages.is_dirty());
    assert_eq!(disk.data.lock()[P as usize], 9);
    assert_eq!(disk.writes.load(Ordering::Relaxed), 1);
    s.msync(a, 3 * P, MS_SYNC).unwrap();
    assert_eq!(disk.writes.load(Ordering::Relaxed), 1);
    // The next write is noticed although the page was writable before.
    s.write(a + P, &10u8).unwrap();
    assert!(pages.is_dirty());
    disk.full.store(true, Ordering::Relaxed);
    assert_eq!(s.msync(a, 3 * P, MS_SYNC), Err(Errno::ENOSPC));
    assert!(pages.is_dirty());
    disk.full.store(false, Ordering::Relaxed);
    s.unmap(a, 3 * P).unwrap();
    drop(pages);
    assert_eq!(disk.data.lock()[P as usize], 10);
    assert_eq!(disk.data.lock().len(), 3 * P as usize);
}

#[test]
fn truncation_takes_pages_away_from_everybody() {
    let s = space();
    let (disk, pages) = file(&s, 3 * P as usize);
    let a = s
        .map(MapRequest::shared(pages.clone(), 0, 3 * P, Prot::RW))
        .unwrap();
    let b = s
        .map(MapRequest::private(pages.clone(), 0, 3 * P, Prot::RW))
        .unwrap();
    s.write(a + 2 * P, &1u8).unwrap();
    s.write(b + 2 * P, &1u8).unwrap();
    s.write(b, &1u8).unwrap();
    let child = s.fork().unwrap();
    disk.truncate(&pages, P as usize + 10);
    let mut byte = [0];
    for space in [&s, &child] {
        assert_eq!(
            kind(space.copy_in(a + 2 * P, &mut byte)),
            FaultKind::BusAdrErr
        );
        assert_eq!(
            kind(space.copy_in(b + 2 * P, &mut byte)),
            FaultKind::BusAdrErr
        );
        assert_eq!((peek(space, a + P + 9), peek(space, a + P + 10)), (2, 0));
        assert_eq!(peek(space, b), 1);
    }
    // What a mapping writes behind the end stays out of the file when it grows.
    s.write(a + P + 20, &7u8).unwrap();
    disk.truncate(&pages, 2 * P as usize);
    assert_eq!(peek(&s, a + P + 20), 0);
    s.write(a + P + 30, &6u8).unwrap();
    let mut data: &[u8] = &[5];
    disk.truncate(&pages, P as usize + 10);
    s.write(a + P + 20, &7u8).unwrap();
    assert_eq!(pages.write_at(P + 25, &mut data), Ok(1));
    assert_eq!(peek(&s, a + P + 20), 0);
    assert_eq!(peek(&s, a + P + 25), 5);
}

#[test]
fn clean_unmapped_pages_are_given_up() {
    let budget = MemoryBudget::new(40);
    let s = AddressSpace::new(&budget).unwrap();
    let (_disk, pages) = file(&s, 16 * P as usize);
    let a = s
        .map(MapRequest::shared(pages.clone(), 0, 16 * P, Prot::RW))
        .unwrap();
    s.write(a, &200u8).unwrap();
    assert_eq!(peek(&s, a + P), 2);
    let used = budget.used_pages();
    assert!(used >= 20);
    let mut frames = Vec::new();
    while let Ok(frame) = budget.alloc() {
        frames.push(frame);
    }
    // All but the two mapped pages.
    assert_eq!(frames.len(), 40 - used + 14);
    s.unmap(a, 16 * P).unwrap();
    // The dirty page stays.
    let more: Vec<_> = std::iter::from_fn(|| budget.alloc().ok()).collect();
    assert!(more.len() >= 4);
    assert_eq!(read_file(&pages, 0, 1), [200]);
    assert!(pages.is_dirty());
}

/// read(2) into a mapping of the same file, and write(2) from it, take no lock twice.
#[test]
fn a_file_can_be_copied_onto_its_own_mapping() {
    let s = space();
    let (_disk, pages) = file(&s, 4 * P as usize);
    let a = s
        .map(MapRequest::shared(pages.clone(), 0, 4 * P, Prot::RW))
        .unwrap();
    let mut to = UserWriter::new(&s, a + 2 * P, 2 * P).unwrap();
    assert_eq!(pages.read_at(0, &mut to), Ok(2 * P as usize));
    assert_eq!((peek(&s, a + 2 * P), peek(&s, a + 3 * P)), (1, 2));
    let mut from = UserReader::new(&s, a + 3 * P, P).unwrap();
    assert_eq!(pages.write_at(0, &mut from), Ok(P as usize));
    assert_eq!(peek(&s, a), 2);
    let shm = ShmObject::anonymous(s.budget(), 4 * P);
    let b = s
        .map(MapRequest::shared(shm.clone(), 0, 4 * P, Prot::RW))
        .unwrap();
    s.write(b, &3u8).unwrap();
    let mut from = UserReader::new(&s, b, 2 * P).unwrap();
    assert_eq!(shm.write_at(P, &mut from), Ok(2 * P as usize));
    assert_eq!(peek(&s, b + P), 3);
}

#[test]
fn shared_memory_is_a_sparse_file() {
    let s = space();
    let shm = ShmObject::new(s.budget(), (1, 2), b"/memfd:x (deleted)");
    let mut data: &[u8] = b"hello";
    assert_eq!(shm.write_at(3 * P + 10, &mut data), Ok(5));
    assert_eq!((shm.size(), shm.page_count()), (3 * P + 15, 1));
    let mut all = Vec::new();
    assert_eq!(shm.read_at(3 * P + 5, &mut all), Ok(10));
    assert_eq!(all, b"\0\0\0\0\0hello");
    assert_eq!(shm.read_at(4 * P, &mut all), Ok(0));
    assert_eq!(
        (shm.seek(0, true), shm.seek(0, false)),
        (Some(3 * P), Some(0))
    );
    assert_eq!(
        (shm.seek(3 * P + 1, true), shm.seek(3 * P, false)),
        (Some(3 * P + 1), Some(3 * P + 15))
    );
    assert_eq!(shm.seek(4 * P, true), None);
    let a = s
        .map(MapRequest::shared(shm.clone(), 0, 4 * P, Prot::RW))
        .unwrap();
    assert_eq!(s.read_cstr(a + 3 * P + 10, 10).unwrap(), b"hello");
    assert_eq!(s.usage().rss_shmem, 1);
    s.write(a + P, &1u8).unwrap();
    shm.set_size(P + 1);
    let mut byte = [0];
    assert_eq!(kind(s.copy_in(a + 3 * P, &mut byte)), FaultKind::BusAdrErr);
    s.write(a + P + 1, &2u8).unwrap();
    shm.set_size(0);
    shm.set_size(2 * P);
    assert_eq!((peek(&s, a + P), peek(&s, a + P + 1)), (0, 0));
    s.write(a, &[1u8; 4096]).unwrap();
    s.write(a + P, &[1u8; 4096]).unwrap();
    shm.punch_hole(10..20);
    shm.punch_hole(P - 1..2 * P);
    assert_eq!(
        (peek(&s, a + 9), peek(&s, a + 10), peek(&s, a + 20)),
        (1, 0, 1)
    );
    assert_eq!(
        (peek(&s, a + P - 2), peek(&s, a + P - 1), peek(&s, a + P)),
        (1, 0, 0)
    );
    let limited = MemoryBudget::new(2);
    let small = ShmObject::new(&limited, (1, 3), b"");
    let mut data: &[u8] = &[1; 3 * 4096];
    assert_eq!(small.write_at(0, &mut data), Ok(2 * P as usize));
    assert_eq!(small.write_at(2 * P, &mut data), Err(Errno::ENOSPC));
    let mut nothing: &[u8] = b"x";
    assert_eq!(
        small.write_at(i64::MAX as u64, &mut nothing),
        Err(Errno::EFBIG)
    );
}
