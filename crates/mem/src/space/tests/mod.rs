//! Tests of address spaces.

use super::*;
use crate::{Access, Fault, FaultKind, IoRead, IoWrite, Prot, ShmObject, UserReader, UserWriter};
use tuxlet_uapi::mman::*;

const P: u64 = PAGE_SIZE;

fn space() -> Arc<AddressSpace> {
    AddressSpace::new(&MemoryBudget::unlimited()).unwrap()
}

fn anon(pages: u64) -> MapRequest {
    MapRequest::anonymous(pages * P, Prot::RW)
}

fn peek(s: &AddressSpace, addr: u64) -> u8 {
    s.read::<u8>(addr).unwrap()
}

fn kind(r: core::result::Result<usize, Fault>) -> FaultKind {
    r.unwrap_err().kind
}

/// Runs `f` with what `/proc/PID/maps` would show.
fn maps(s: &AddressSpace) -> Vec<(u64, u64, Prot)> {
    s.vmas().iter().map(|v| (v.start, v.end, v.prot)).collect()
}

#[test]
fn faults_say_what_is_wrong() {
    let s = space();
    let a = s.map(anon(4)).unwrap();
    s.protect(a + P, P, Prot::READ, false).unwrap();
    s.protect(a + 2 * P, P, Prot::NONE, false).unwrap();
    s.protect(a + 3 * P, P, Prot::EXEC, false).unwrap();
    let mut b = [0];
    assert_eq!(s.copy_in(a, &mut b), Ok(1));
    assert_eq!(s.copy_out(a, &[1]), Ok(1));
    assert_eq!(s.copy_in(a + P, &mut b), Ok(1));
    assert_eq!(kind(s.copy_out(a + P, &[1])), FaultKind::AccErr);
    assert_eq!(kind(s.copy_in(a + 2 * P, &mut b)), FaultKind::AccErr);
    assert_eq!(kind(s.copy_in(a + 3 * P, &mut b)), FaultKind::AccErr);
    assert_eq!(kind(s.copy_in(a + 4 * P, &mut b)), FaultKind::MapErr);
    for wild in [0, TASK_SIZE, u64::MAX, 1 << 63] {
        assert_eq!(kind(s.copy_in(wild, &mut b)), FaultKind::MapErr);
    }
    let mut tlb = Tlb::new();
    s.attach(&mut tlb);
    assert!(s.fetch_page(&mut tlb, a + 3 * P).is_ok());
    assert_eq!(
        s.fetch_page(&mut tlb, a).unwrap_err().kind,
        FaultKind::AccErr
    );
    assert_eq!(
        s.fault(&mut tlb, a + 2 * P, Access::Write)
            .unwrap_err()
            .addr,
        a + 2 * P
    );
}

#[test]
fn copies_stop_at_the_first_bad_byte() {
    let s = space();
    let a = s.map(anon(2)).unwrap();
    s.unmap(a + P, P).unwrap();
    let data = vec![7; 100];
    assert_eq!(s.copy_out(a + P - 60, &data), Ok(60));
    let mut back = vec![0; 100];
    assert_eq!(s.copy_in(a + P - 61, &mut back), Ok(61));
    assert_eq!(back[0], 0);
    assert!(back[1..61].iter().all(|&b| b == 7));
    assert_eq!(s.read_bytes(a + P - 1, &mut [0; 2]), Err(Errno::EFAULT));
    assert_eq!(s.read::<u32>(a + P - 4), Ok(0x0707_0707));
}

#[test]
fn terabytes_cost_nothing_until_touched() {
    let budget = MemoryBudget::new(1000);
    let s = AddressSpace::new(&budget).unwrap();
    let mut request = MapRequest::anonymous(64 << 40, Prot::NONE);
    request.flags = VmaFlags::NORESERVE;
    let a = s.map(request.clone()).unwrap();
    assert_eq!(budget.used_pages(), 1);
    s.protect(a + (3 << 40), 4 * P, Prot::RW, false).unwrap();
    s.write(a + (3 << 40), &5u64).unwrap();
    assert!(budget.used_pages() < 10);
    s.unmap(a, 64 << 40).unwrap();
    assert_eq!(budget.used_pages(), 1);
    // Without MAP_NORESERVE, what can never be had is refused.
    request.flags = VmaFlags::empty();
    request.prot = Prot::RW;
    assert_eq!(s.map(request), Err(Errno::ENOMEM));
    assert_eq!(s.map(anon(1 << 40)), Err(Errno::ENOMEM));
    assert_eq!(
        s.map(MapRequest::anonymous(u64::MAX, Prot::NONE)),
        Err(Errno::ENOMEM)
    );
}

#[test]
fn out_of_memory_is_an_error() {
    let budget = MemoryBudget::new(20);
    let s = AddressSpace::new(&budget).unwrap();
    let mut request = anon(100);
    request.flags = VmaFlags::NORESERVE;
    let a = s.map(request).unwrap();
    let written = s.copy_out(a, &vec![1; 100 * P as usize]).unwrap();
    // The root and three nodes.
    assert_eq!(written, 16 * P as usize);
    assert_eq!(kind(s.copy_out(a + 50 * P, &[1])), FaultKind::Oom);
    // Reading needs no memory.
    assert_eq!(peek(&s, a + 50 * P), 0);
    assert_eq!(s.fork().unwrap_err(), Errno::ENOMEM);
    s.unmap(a, 50 * P).unwrap();
    assert_eq!(s.copy_out(a + 50 * P, &[1]), Ok(1));
}

#[test]
fn placement() {
    let s = space();
    let top = s.layout().mmap_top;
    let a = s.map(anon(2)).unwrap();
    assert_eq!(a, top - 2 * P);
    let b = s.map(anon(3)).unwrap();
    assert_eq!(b, a - 3 * P);
    // They are one VMA.
    assert_eq!(s.vma_count(), 1);
    s.unmap(a, P).unwrap();
    assert_eq!(s.map(anon(2)).unwrap(), b - 2 * P);
    assert_eq!(s.map(anon(1)).unwrap(), a);
    let hint = 0x1234_5000;
    assert_eq!(
        s.map(anon(1).at(Placement::Hint(hint + 5))).unwrap(),
        hint + P
    );
    assert_ne!(
        s.map(anon(1).at(Placement::Hint(hint + P))).unwrap(),
        hint + P
    );
    assert_eq!(
        s.map(anon(1).at(Placement::Fixed(hint + 1))),
        Err(Errno::EINVAL)
    );
    assert_eq!(s.map(anon(1).at(Placement::Fixed(0))), Err(Errno::EPERM));
    assert_eq!(
        s.map(anon(1).at(Placement::Fixed(TASK_SIZE))),
        Err(Errno::ENOMEM)
    );
    assert_eq!(
        s.map(anon(2).at(Placement::FixedNoReplace(hint))),
        Err(Errno::EEXIST)
    );
    assert_eq!(s.map(anon(1).at(Placement::FixedNoReplace(hint))), Ok(hint));
    s.write(hint, &1u8).unwrap();
    assert_eq!(s.map(anon(1).at(Placement::Fixed(hint))), Ok(hint));
    assert_eq!(peek(&s, hint), 0);
    assert_eq!(s.map(anon(0)), Err(Errno::EINVAL));
    assert_eq!(s.unmap(hint, 0), Err(Errno::EINVAL));
    assert_eq!(s.unmap(hint + 1, P), Err(Errno::EINVAL));
    assert_eq!(s.unmap(u64::MAX - P + 1, P), Err(Errno::EINVAL));
}

#[test]
fn as_many_mappings_as_linux_allows() {
    let s = space();
    // Neighbours differ, so they stay apart.
    let prot = |i: u64| {
        if i.is_multiple_of(2) {
            Prot::READ
        } else {
            Prot::RW
        }
    };
    let map = |i: u64| s.map(MapRequest::anonymous(PAGE_SIZE, prot(i)));
    let first = map(0).expect("room");
    for i in 1..=65_530 {
        assert_eq!(map(i), Ok(first - i * PAGE_SIZE));
    }
    assert_eq!(map(65_531), Err(Errno::ENOMEM));
    // The only hole is found among all of them.
    s.unmap(first - 9 * PAGE_SIZE, PAGE_SIZE).expect("mapped");
    assert_eq!(map(0), Ok(first - 9 * PAGE_SIZE));
}

#[test]
fn split_pieces_merge_again() {
    let s = space();
    let a = s.map(anon(5)).unwrap();
    s.protect(a + P, P, Prot::READ, false).unwrap();
    s.protect(a + 3 * P, P, Prot::READ, false).unwrap();
    assert_eq!(s.vma_count(), 5);
    s.protect(a + 2 * P, P, Prot::READ, false).unwrap();
    assert_eq!(s.vma_count(), 3);
    s.protect(a, 5 * P, Prot::RW, false).unwrap();
    assert_eq!(maps(&s), [(a, a + 5 * P, Prot::RW)]);
    assert_eq!(s.usage().mapped, 5);
}

#[test]
fn protect_reports_holes_and_limits() {
    let s = space();
    let a = s.map(anon(4)).unwrap();
    s.unmap(a + 2 * P, P).unwrap();
    assert_eq!(s.protect(a + 1, P, Prot::READ, false), Err(Errno::EINVAL));
    assert_eq!(s.protect(a, 4 * P, Prot::READ, false), Err(Errno::ENOMEM));
    // What lies before the hole was changed.
    assert_eq!(s.vma_at(a).unwrap().prot, Prot::READ);
    assert_eq!(s.vma_at(a + 3 * P).unwrap().prot, Prot::RW);
    assert_eq!(
        s.protect(a + 2 * P, P, Prot::READ, false),
        Err(Errno::ENOMEM)
    );
    assert_eq!(s.protect(a, P, Prot::RW, true), Err(Errno::EINVAL));
    assert_eq!(s.protect(a, 0, Prot::RW, false), Ok(()));
    let shm = ShmObject::anonymous(s.budget(), P);
    let mut request = MapRequest::shared(shm, 0, P, Prot::READ);
    request.max_prot = Prot::RX;
    let b = s.map(request).unwrap();
    assert_eq!(s.protect(b, P, Prot::RW, false), Err(Errno::EACCES));
}

#[test]
fn a_forked_child_and_its_parent_do_not_see_each_others_writes() {
    let s = space();
    let a = s.map(anon(3)).unwrap();
    s.write(a, &1u64).unwrap();
    s.write(a + P, &2u64).unwrap();
    let before = s.budget().used_pages();
    let c = s.fork().unwrap();
    // Only the child's page table.
    assert_eq!(s.budget().used_pages(), before + 4);
    s.write(a, &10u64).unwrap();
    c.write(a + P, &20u64).unwrap();
    c.write(a + 2 * P, &30u64).unwrap();
    assert_eq!((s.read::<u64>(a), c.read::<u64>(a)), (Ok(10), Ok(1)));
    assert_eq!(
        (s.read::<u64>(a + P), c.read::<u64>(a + P)),
        (Ok(2), Ok(20))
    );
    assert_eq!(
        (s.read::<u64>(a + 2 * P), c.read::<u64>(a + 2 * P)),
        (Ok(0), Ok(30))
    );
    assert_eq!(c.usage().rss_anon, 3);
    drop(c);
    let used = s.budget().used_pages();
    // Exclusive again: no copy.
    s.write(a + P, &3u64).unwrap();
    assert_eq!(s.budget().used_pages(), used);
    assert_eq!(used, before);
}

#[test]
fn shares_tell_who_else_has_a_page() {
    let s = space();
    let a = s.map(anon(2)).unwrap();
    s.write(a, &1u64).unwrap();
    s.write(a + P, &2u64).unwrap();
    let shares = |s: &AddressSpace| {
        let vmas = s.vmas();
        vmas.iter().find(|v| v.start == a).unwrap().shares
    };
    let alone = Shares {
        private_dirty: 2,
        pss: 2 * P,
        pss_dirty: 2 * P,
        ..Shares::default()
    };
    assert_eq!(shares(&s), alone);
    let child = s.fork().unwrap();
    let both = Shares {
        shared_dirty: 2,
        pss: P,
        pss_dirty: P,
        ..Shares::default()
    };
    assert_eq!((shares(&s), shares(&child)), (both, both));
    child.write(a, &3u64).unwrap();
    let copied = Shares {
        private_dirty: 1,
        shared_dirty: 1,
        pss: P + P / 2,
        pss_dirty: P + P / 2,
        ..Shares::default()
    };
    assert_eq!(shares(&child), copied);
    drop(child);
    assert_eq!(shares(&s), alone);

    // The object's own reference is no mapping.
    let shm = ShmObject::anonymous(s.budget(), P);
    let b = s.map(MapRequest::shared(shm, 0, P, Prot::RW)).unwrap();
    s.write(b, &1u64).unwrap();
    let vmas = s.vmas();
    let seen = vmas.iter().find(|v| v.start == b).unwrap().shares;
    assert_eq!((seen.private_dirty, seen.pss), (1, P));
}

#[test]
fn fork_obeys_sharing_and_advice() {
    let s = space();
    let mut request = anon(1);
    request.flags = VmaFlags::SHARED;
    let shared = s.map(request).unwrap();
    let wiped = s.map(anon(1).at(Placement::Fixed(0x1000_0000))).unwrap();
    let gone = s.map(anon(1).at(Placement::Fixed(0x2000_0000))).unwrap();
    for a in [shared, wiped, gone] {
        s.write(a, &1u8).unwrap();
    }
    s.advise(wiped, P, MADV_WIPEONFORK).unwrap();
    s.advise(gone, P, MADV_DONTFORK).unwrap();
    assert_eq!(s.advise(shared, P, MADV_WIPEONFORK), Err(Errno::EINVAL));
    s.lock(wiped, P, false).unwrap();
    let c = s.fork().unwrap();
    c.write(shared, &9u8).unwrap();
    assert_eq!(peek(&s, shared), 9);
    s.write(shared, &8u8).unwrap();
    assert_eq!(peek(&c, shared), 8);
    assert_eq!((peek(&s, wiped), peek(&c, wiped)), (1, 0));
    assert_eq!(peek(&s, gone), 1);
    assert_eq!(c.read::<u8>(gone), Err(Errno::EFAULT));
    assert_eq!((s.usage().locked, c.usage().locked), (1, 0));
    assert_eq!(
        s.futex_key(shared, true).unwrap(),
        c.futex_key(shared, true).unwrap()
    );
    assert_ne!(
        s.futex_key(wiped, true).unwrap(),
        c.futex_key(wiped, true).unwrap()
    );
    assert_eq!(s.futex_key(wiped, true), s.futex_key(wiped, false));
    assert_eq!(s.futex_key(0x10, true), Err(Errno::EFAULT));
}

#[test]
fn the_stack_grows_within_its_limit_and_keeps_its_gap() {
    let s = space();
    let top = 0x7000_0000;
    let mut request = anon(4).at(Placement::Fixed(top - 4 * P));
    request.flags = VmaFlags::GROWSDOWN | VmaFlags::STACK;
    s.map(request).unwrap();
    s.set_limits(Limits {
        stack: 4 << 20,
        ..Limits::default()
    });
    s.write(top - 100 * P, &1u8).unwrap();
    let v = s.vma_at(top - P).unwrap();
    assert_eq!(
        (v.start, v.end, &v.path[..]),
        (top - 100 * P, top, &b"[stack]"[..])
    );
    assert!(s.write(top - (4 << 20), &1u8).is_ok());
    assert_eq!(s.write(top - (4 << 20) - 1, &1u8), Err(Errno::EFAULT));
    s.set_limits(Limits {
        stack: u64::MAX,
        ..Limits::default()
    });
    let below = s.map(anon(1).at(Placement::Fixed(0x6000_0000))).unwrap();
    assert_eq!(s.write(below + P + (1 << 20) - 1, &1u8), Err(Errno::EFAULT));
    assert!(s.write(below + P + (1 << 20), &1u8).is_ok());
    // New mappings keep away from a stack.
    let taken = s.map(anon(1).at(Placement::Hint(below + P))).unwrap();
    assert_ne!(taken, below + P);
    assert_eq!(s.protect(top - P, P, Prot::READ, true), Ok(()));
    assert_eq!(s.vma_at(below + P + (1 << 20)).unwrap().prot, Prot::READ);
}

#[test]
fn the_heap_moves() {
    let s = space();
    s.set_brk_start(0x50_0123, 0x1000);
    assert_eq!(s.brk(0), 0x50_0123);
    assert_eq!(s.brk(0x50_0fff), 0x50_0fff);
    assert_eq!(s.vma_count(), 0);
    assert_eq!(s.brk(0x50_5001), 0x50_5001);
    assert_eq!(maps(&s), [(0x50_1000, 0x50_6000, Prot::RW)]);
    assert_eq!(s.vmas()[0].path, b"[heap]");
    s.write(0x50_5ff0, &1u8).unwrap();
    assert_eq!(s.brk(0x50_2000), 0x50_2000);
    assert_eq!(s.read::<u8>(0x50_2000), Err(Errno::EFAULT));
    assert_eq!(s.brk(0x50_6000), 0x50_6000);
    assert_eq!(peek(&s, 0x50_5ff0), 0);
    assert_eq!(s.vma_count(), 1);
    s.map(anon(1).at(Placement::Fixed(0x50_8000))).unwrap();
    assert_eq!(s.brk(0x50_9000), 0x50_6000);
    s.set_limits(Limits {
        data: 0x5000,
        ..Limits::default()
    });
    assert_eq!(s.brk(0x50_7000), 0x50_6000);
}

#[test]
fn remap_grows_moves_and_shrinks() {
    let s = space();
    let a = s.map(anon(2).at(Placement::Fixed(0x10_0000_0000))).unwrap();
    s.write(a, &1u8).unwrap();
    s.write(a + P, &2u8).unwrap();
    // In place.
    assert_eq!(s.remap(a, 2 * P, 4 * P, 0, 0), Ok(a));
    assert_eq!(maps(&s), [(a, a + 4 * P, Prot::RW)]);
    // Not in place.
    let b = s.map(anon(1).at(Placement::Fixed(a + 4 * P))).unwrap();
    s.protect(b, P, Prot::READ, false).unwrap();
    assert_eq!(s.remap(a, 4 * P, 8 * P, 0, 0), Err(Errno::ENOMEM));
    let c = s.remap(a, 4 * P, 8 * P, MREMAP_MAYMOVE, 0).unwrap();
    assert_ne!(c, a);
    assert_eq!(
        (peek(&s, c), peek(&s, c + P), peek(&s, c + 7 * P)),
        (1, 2, 0)
    );
    assert_eq!(s.read::<u8>(a), Err(Errno::EFAULT));
    // To a fixed place, shrinking; what was there goes.
    let d = 0x20_0000_0000;
    s.map(anon(4).at(Placement::Fixed(d))).unwrap();
    s.write(d, &77u8).unwrap();
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert_eq!(s.remap(c, 8 * P, 2 * P, flags, d), Ok(d));
    assert_eq!(
        (peek(&s, d), peek(&s, d + P), peek(&s, d + 2 * P)),
        (1, 2, 0)
    );
    assert_eq!(s.read::<u8>(c + 3 * P), Err(Errno::EFAULT));
    // The old range stays, empty.
    let flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP;
    let e = s.remap(d, 2 * P, 2 * P, flags, 0).unwrap();
    assert_eq!((peek(&s, e), peek(&s, d)), (1, 0));
    assert_eq!(s.remap(e, 2 * P, P, 0, 0), Ok(e));
    assert_eq!(s.read::<u8>(e + P), Err(Errno::EFAULT));
    // Errors.
    assert_eq!(s.remap(e, P, P, 8, 0), Err(Errno::EINVAL));
    assert_eq!(s.remap(e, P, P, MREMAP_FIXED, 0), Err(Errno::EINVAL));
    assert_eq!(s.remap(e, P, 2 * P, flags, 0), Err(Errno::EINVAL));
    assert_eq!(s.remap(e + 1, P, P, 0, 0), Err(Errno::EINVAL));
    assert_eq!(s.remap(e, P, 0, 0, 0), Err(Errno::EINVAL));
    assert_eq!(s.remap(0x3000_0000, P, P, 0, 0), Err(Errno::EFAULT));
    assert_eq!(
        s.remap(e, 4 * P, 8 * P, MREMAP_MAYMOVE, 0),
        Err(Errno::EFAULT)
    );
    assert_eq!(s.remap(e, 0, P, MREMAP_MAYMOVE, 0), Err(Errno::EINVAL));
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    assert_eq!(s.remap(e, P, P, flags, e), Err(Errno::EINVAL));
    // Length 0 duplicates a shared mapping.
    let mut request = anon(1);
    request.flags = VmaFlags::SHARED;
    let f = s.map(request).unwrap();
    let g = s.remap(f, 0, P, MREMAP_MAYMOVE, 0).unwrap();
    s.write(f, &5u8).unwrap();
    assert_eq!(peek(&s, g), 5);
}

/// The page table nodes of the new place were freed with the old place.
#[test]
fn remap_within_a_page_table_node_keeps_the_pages() {
    let s = space();
    let a = s.map(anon(3).at(Placement::Fixed(0x1000_0000))).unwrap();
    s.write(a, &7u8).unwrap();
    let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
    s.remap(a, 3 * P, 3 * P, flags, a - 3 * P).unwrap();
    assert_eq!(peek(&s, a - 3 * P), 7);
    let budget = s.budget().clone();
    drop(s);
    assert_eq!(budget.used_pages(), 0);
}

/// Writable memory is readable, whatever `prot` says; this once hung.
#[test]
fn write_only_mappings_can_be_read() {
    let s = space();
    let a = s.map(MapRequest::anonymous(2 * P, Prot::WRITE)).unwrap();
    assert_eq!(peek(&s, a), 0);
    s.write(a, &1u8).unwrap();
    assert_eq!(peek(&s, a), 1);
    s.write(a + P, &1u8).unwrap();
    s.protect(a, 2 * P, Prot::READ, false).unwrap();
    s.protect(a, 2 * P, Prot::WRITE, false).unwrap();
    assert_eq!(peek(&s, a + P), 1);
}

#[test]
fn advice_drops_pages_of_the_right_kind() {
    let s = space();
    let a = s.map(anon(2)).unwrap();
    s.write(a, &1u8).unwrap();
    s.advise(a, P, MADV_DONTNEED).unwrap();
    assert_eq!(peek(&s, a), 0);
    s.write(a, &1u8).unwrap();
    s.advise(a, P, MADV_FREE).unwrap();
    s.write(a + P, &3u8).unwrap();
    s.lock(a + P, P, false).unwrap();
    assert_eq!(s.advise(a, 2 * P, MADV_DONTNEED), Err(Errno::EINVAL));
    assert_eq!(peek(&s, a + P), 3);
    s.unlock(a, 2 * P).unwrap();
    let shm = ShmObject::anonymous(s.budget(), 4 * P);
    let b = s
        .map(MapRequest::shared(shm.clone(), 0, 4 * P, Prot::RW))
        .unwrap();
    let c = s
        .map(MapRequest::private(shm.clone(), 0, 4 * P, Prot::RW))
        .unwrap();
    s.write(b + P, &5u8).unwrap();
    s.write(c + P, &6u8).unwrap();
    s.advise(b, 4 * P, MADV_DONTNEED).unwrap();
    assert_eq!((peek(&s, b + P), peek(&s, c + P)), (5, 6));
    s.advise(c, 4 * P, MADV_DONTNEED).unwrap();
    assert_eq!(peek(&s, c + P), 5);
    assert_eq!(s.advise(b, P, MADV_FREE), Err(Errno::EINVAL));
    assert_eq!(s.advise(c, P, MADV_REMOVE), Err(Errno::EACCES));
    assert_eq!(s.advise(a, P, MADV_REMOVE), Err(Errno::EINVAL));
    s.advise(b + P, P, MADV_REMOVE).unwrap();
    assert_eq!((peek(&s, b + P), peek(&s, c + P)), (0, 0));
    assert_eq!(s.advise(a, P, 12345), Err(Errno::EINVAL));
    assert_eq!(s.advise(0x10_0000, P, MADV_WILLNEED), Err(Errno::ENOMEM));
    s.advise(a, 2 * P, MADV_POPULATE_WRITE).unwrap();
    assert_eq!(s.mincore(a, 2 * P), Ok(vec![1, 1]));
    s.protect(a, P, Prot::READ, false).unwrap();
    assert_eq!(s.advise(a, P, MADV_POPULATE_WRITE), Err(Errno::EINVAL));
    // Hints split VMAs and merge them again.
    let n = s.vma_count();
    s.advise(b + P, P, MADV_RANDOM).unwrap();
    assert_eq!(s.vma_count(), n + 2);
    s.advise(b, 4 * P, MADV_NORMAL).unwrap();
    assert_eq!(s.vma_count(), n);
}

#[test]
fn locking_counts() {
    let s = space();
    s.set_limits(Limits {
        locked: 4 * P,
        ..Limits::default()
    });
    let a = s.map(anon(8)).unwrap();
    s.lock(a + 10, 3 * P, false).unwrap();
    assert_eq!(s.usage().locked, 4);
    assert_eq!(s.mincore(a, 8 * P).unwrap(), [1, 1, 1, 1, 0, 0, 0, 0]);
    assert_eq!(s.lock(a, 5 * P, false), Err(Errno::ENOMEM));
    assert_eq!(s.lock(a, 4 * P, false), Ok(()));
    s.unlock(a, P).unwrap();
    assert_eq!(s.usage().locked, 3);
    assert_eq!(s.msync(a, 4 * P, MS_INVALIDATE), Err(Errno::EBUSY));
    s.unmap(a, 8 * P).unwrap();
    assert_eq!(s.usage().locked, 0);
    s.lock_all(false, true, false).unwrap();
    let b = s.map(anon(2)).unwrap();
    assert_eq!(s.mincore(b, 2 * P).unwrap(), [1, 1]);
    assert_eq!(s.map(anon(3)), Err(Errno::EAGAIN));
    s.unlock_all();
    assert_eq!(s.usage().locked, 0);
    s.set_limits(Limits {
        locked: 0,
        ..Limits::default()
    });
    assert_eq!(s.lock(b, P, false), Err(Errno::EPERM));
}

#[test]
fn readers_and_writers_report_progress_then_fault() {
    let s = space();
    let a = s.map(anon(3)).unwrap();
    s.unmap(a + 2 * P, P).unwrap();
    let data: Vec<u8> = (0..=255).cycle().take(3 * P as usize).collect();
    let mut w = UserWriter::new(&s, a, 3 * P).unwrap();
    assert_eq!(w.write_from(&data[..100]), Ok(100));
    assert_eq!(w.remaining(), 3 * P as usize - 100);
    assert_eq!(w.write_from(&data[100..]), Ok(2 * P as usize - 100));
    assert_eq!(w.write_from(b"x"), Err(Errno::EFAULT));
    assert_eq!(w.write_zeros(1), Err(Errno::EFAULT));
    let iov = [
        crate::IoVec {
            base: a + 10,
            len: 5,
        },
        crate::IoVec { base: 0, len: 0 },
        crate::IoVec {
            base: a + 2 * P - 3,
            len: 10,
        },
    ];
    let mut r = UserReader::vectored(&s, &iov);
    assert_eq!(r.remaining(), 15);
    let mut buf = [0; 15];
    r.skip(2);
    assert_eq!(r.read_into(&mut buf), Ok(6));
    assert_eq!(buf[..6], [12, 13, 14, 253, 254, 255]);
    assert_eq!(r.read_into(&mut buf), Err(Errno::EFAULT));
    assert!(UserReader::new(&s, TASK_SIZE - 1, 2).is_err());
    assert!(UserReader::new(&s, u64::MAX, 2).is_err());
    // Vectors from memory.
    s.write_slice(a, &iov).unwrap();
    assert_eq!(s.read_iovec(a, 3).unwrap(), iov);
    assert_eq!(s.read_iovec(a, 1025), Err(Errno::EINVAL));
    s.write(a + 8, &(1u64 << 63)).unwrap();
    assert_eq!(s.read_iovec(a, 3), Err(Errno::EINVAL));
    s.write(a + 8, &TASK_SIZE).unwrap();
    assert_eq!(s.read_iovec(a, 3), Err(Errno::EFAULT));
    assert_eq!(s.read_slice::<u64>(a, usize::MAX), Err(Errno::EFAULT));
    // Strings may end at the end of the mapping, and need not be readable behind their end.
    s.write_bytes(a + 2 * P - 4, b"abc\0").unwrap();
    assert_eq!(s.read_cstr(a + 2 * P - 4, 4096).unwrap(), b"abc");
    s.write_bytes(a + 2 * P - 4, b"abcd").unwrap();
    assert_eq!(s.read_cstr(a + 2 * P - 4, 4096), Err(Errno::EFAULT));
    assert_eq!(s.read_cstr(a + 2 * P - 4, 4), Err(Errno::ENAMETOOLONG));
}

#[test]
fn words_are_atomic() {
    let s = space();
    let a = s.map(anon(1)).unwrap();
    assert_eq!(s.load_u32(a), Ok(0));
    assert_eq!(s.cmpxchg_u32(a, 0, 5), Ok(0));
    assert_eq!(s.cmpxchg_u32(a, 0, 6), Ok(5));
    assert_eq!(s.fetch_update_u32(a, |v| v | 8), Ok(5));
    assert_eq!(s.load_u32(a), Ok(13));
    assert_eq!(s.load_u32(a + 2), Err(Errno::EINVAL));
    assert_eq!(s.load_u32(a + P), Err(Errno::EFAULT));
    s.protect(a, P, Prot::READ, false).unwrap();
    assert_eq!(s.load_u32(a), Ok(13));
    assert_eq!(s.cmpxchg_u32(a, 13, 0), Err(Errno::EFAULT));
    let budget = s.budget().used_pages();
    s.poke(a, &[9]).unwrap();
    assert_eq!(s.load_u32(a), Ok(9));
    assert_eq!(s.budget().used_pages(), budget);
    assert_eq!(s.cmpxchg_u32(a, 9, 0), Err(Errno::EFAULT));
}

mod concurrent;
mod model;
mod objects;
