//! Random operations against a naive model: one entry per page.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Pages of the arena that operations work on.
const ARENA: u64 = 24;
const BASE: u64 = 0x1_0000_0000 - 8 * P;

#[derive(Clone, Debug)]
enum Op {
    Map {
        at: u64,
        pages: u64,
        prot: u32,
        shared: bool,
    },
    Unmap {
        at: u64,
        pages: u64,
    },
    Protect {
        at: u64,
        pages: u64,
        prot: u32,
    },
    Remap {
        at: u64,
        pages: u64,
        to: u64,
        new_pages: u64,
    },
    Drop {
        at: u64,
        pages: u64,
    },
    Write {
        at: u64,
        value: u8,
    },
    Fork,
}

fn op() -> impl Strategy<Value = Op> {
    let at = 0..ARENA;
    let pages = 1..8u64;
    prop_oneof![
        3 => (at.clone(), pages.clone(), 0..8u32, any::<bool>())
            .prop_map(|(at, pages, prot, shared)| Op::Map { at, pages, prot, shared }),
        2 => (at.clone(), pages.clone()).prop_map(|(at, pages)| Op::Unmap { at, pages }),
        2 => (at.clone(), pages.clone(), 0..8u32)
            .prop_map(|(at, pages, prot)| Op::Protect { at, pages, prot }),
        1 => (at.clone(), pages.clone(), at.clone(), 1..8u64)
            .prop_map(|(at, pages, to, new_pages)| Op::Remap { at, pages, to, new_pages }),
        1 => (at.clone(), pages).prop_map(|(at, pages)| Op::Drop { at, pages }),
        6 => (at, any::<u8>()).prop_map(|(at, value)| Op::Write { at, value }),
        1 => Just(Op::Fork),
    ]
}

/// A page of the model: protection, and where its byte is.
#[derive(Clone, Debug, PartialEq)]
struct Page {
    prot: Prot,
    content: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    Private(u8),
    /// Object number and page.
    Shared(usize, u64),
}

#[derive(Clone, Debug, Default)]
struct Model {
    pages: BTreeMap<u64, Page>,
}

/// Shared pages by object and index, common to all processes.
type Objects = BTreeMap<(usize, u64), u8>;

impl Model {
    fn byte(&self, objects: &Objects, at: u64) -> Option<u8> {
        let page = self.pages.get(&at)?;
        page.prot.allows(Access::Read).then(|| match &page.content {
            Content::Private(b) => *b,
            Content::Shared(o, i) => objects.get(&(*o, *i)).copied().unwrap_or(0),
        })
    }
}

struct World {
    spaces: Vec<(Arc<AddressSpace>, Model)>,
    objects: Objects,
    next_object: usize,
}

impl World {
    fn apply(&mut self, who: usize, op: &Op) {
        let who = who % self.spaces.len();
        let objects = &mut self.objects;
        let (space, model) = &mut self.spaces[who];
        let addr = |page: u64| BASE + page * P;
        match *op {
            Op::Map {
                at,
                pages,
                prot,
                shared,
            } => {
                let prot = Prot::from_bits_truncate(prot);
                let mut request =
                    MapRequest::anonymous(pages * P, prot).at(Placement::Fixed(addr(at)));
                if shared {
                    request.flags = VmaFlags::SHARED;
                }
                assert_eq!(space.map(request), Ok(addr(at)));
                self.next_object += 1;
                for i in 0..pages {
                    let content = if shared {
                        Content::Shared(self.next_object, i)
                    } else {
                        Content::Private(0)
                    };
                    model.pages.insert(at + i, Page { prot, content });
                }
            }
            Op::Unmap { at, pages } => {
                space.unmap(addr(at), pages * P).unwrap();
                model.pages.retain(|p, _| !(at..at + pages).contains(p));
            }
            Op::Protect { at, pages, prot } => {
                let prot = Prot::from_bits_truncate(prot);
                let mut expected = Ok(());
                for p in at..at + pages {
                    match model.pages.get_mut(&p) {
                        Some(page) => page.prot = prot,
                        None => {
                            expected = Err(Errno::ENOMEM);
                            break;
                        }
                    }
                }
                assert_eq!(space.protect(addr(at), pages * P, prot, false), expected);
            }
            Op::Remap {
                at,
                pages,
                to,
                new_pages,
            } => {
                let flags = MREMAP_MAYMOVE | MREMAP_FIXED;
                let result = space.remap(addr(at), pages * P, new_pages * P, flags, addr(to));
                // When it is refused depends on where VMAs end; the model follows, except that a refusal must
                // leave the source alone (the target may be gone, as on Linux).
                let pages_now: Vec<bool> = (0..ARENA + 16)
                    .map(|p| space.vma_at(addr(p)).is_some())
                    .collect();
                if result.is_err() {
                    model.pages.retain(|&p, _| {
                        let kept = pages_now[p as usize];
                        let in_target = (to..to + new_pages).contains(&p);
                        let cut = (at + new_pages..at + pages).contains(&p);
                        assert!(kept || in_target || cut, "page {p} vanished");
                        kept
                    });
                    return;
                }
                let source: Vec<Option<Page>> = (at..at + pages)
                    .map(|p| model.pages.get(&p).cloned())
                    .collect();
                let first = source[0].clone().expect("remap of nothing succeeded");
                model.pages.retain(|p, _| {
                    !(at..at + pages).contains(p) && !(to..to + new_pages).contains(p)
                });
                for i in 0..new_pages {
                    let page = match source.get(i as usize) {
                        Some(page) => page.clone().expect("remap over a hole succeeded"),
                        None => Page {
                            prot: first.prot,
                            content: match first.content {
                                Content::Private(_) => Content::Private(0),
                                Content::Shared(o, index) => Content::Shared(o, index + i),
                            },
                        },
                    };
                    model.pages.insert(to + i, page);
                }
            }
            Op::Drop { at, pages } => {
                let hole = (at..at + pages).any(|p| !model.pages.contains_key(&p));
                let expected = if hole { Err(Errno::ENOMEM) } else { Ok(()) };
                assert_eq!(space.advise(addr(at), pages * P, MADV_DONTNEED), expected);
                for p in at..at + pages {
                    if let Some(Page {
                        content: Content::Private(b),
                        ..
                    }) = model.pages.get_mut(&p)
                    {
                        *b = 0;
                    }
                }
            }
            Op::Write { at, value } => {
                let result = space.copy_out(addr(at), &[value]);
                match model.pages.get_mut(&at) {
                    None => assert_eq!(kind(result), FaultKind::MapErr),
                    Some(page) if !page.prot.contains(Prot::WRITE) => {
                        assert_eq!(kind(result), FaultKind::AccErr);
                    }
                    Some(page) => match &mut page.content {
                        Content::Private(b) => {
                            assert_eq!(result, Ok(1));
                            *b = value;
                        }
                        // Growing a mapping of an object does not grow the object.
                        Content::Shared(o, i) => match result {
                            Ok(_) => {
                                objects.insert((*o, *i), value);
                            }
                            Err(fault) => assert_eq!(fault.kind, FaultKind::BusAdrErr),
                        },
                    },
                }
            }
            Op::Fork => {
                let child = (space.fork().unwrap(), model.clone());
                if self.spaces.len() < 4 {
                    self.spaces.push(child);
                } else {
                    let at = (who + 1) % 4;
                    self.spaces[at] = child;
                }
            }
        }
    }

    fn check(&self) {
        for (space, model) in &self.spaces {
            let mut mapped = 0;
            for v in space.vmas() {
                for page in (v.start..v.end).step_by(P as usize) {
                    let expected = model.pages.get(&((page - BASE) / P)).map(|p| p.prot);
                    assert_eq!(expected, Some(v.prot), "page {page:#x}");
                    mapped += 1;
                }
            }
            assert_eq!(mapped, model.pages.len());
            assert_eq!(space.usage().mapped, mapped as u64);
            for page in 0..ARENA + 16 {
                let mut byte = [0];
                let real = space.copy_in(BASE + page * P, &mut byte);
                if real.is_err_and(|f| f.kind == FaultKind::BusAdrErr) {
                    continue;
                }
                let real = real.ok().map(|_| byte[0]);
                assert_eq!(real, model.byte(&self.objects, page), "page {page}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 200 }))]
    #[test]
    fn random_operations_agree_with_the_model(
        ops in prop::collection::vec((0..4usize, op()), 1..60)
    ) {
        let budget = MemoryBudget::unlimited();
        let space = AddressSpace::new(&budget).unwrap();
        let mut world = World {
            spaces: vec![(space, Model::default())],
            objects: Objects::new(),
            next_object: 0,
        };
        for (who, op) in &ops {
            world.apply(*who, op);
            world.check();
        }
        drop(world);
        prop_assert_eq!(budget.used_pages(), 0);
    }
}

/// Adjacent mappings with equal properties are always one VMA.
#[test]
fn neighbours_are_merged() {
    let s = space();
    for i in [0u64, 2, 1, 4, 3] {
        s.map(anon(1).at(Placement::Fixed(BASE + i * P))).unwrap();
    }
    assert_eq!(maps(&s), [(BASE, BASE + 5 * P, Prot::RW)]);
    let shm = ShmObject::anonymous(s.budget(), 8 * P);
    for i in [5u64, 6, 7] {
        let request = MapRequest::shared(shm.clone(), (i - 5) * P, P, Prot::RW);
        s.map(request.at(Placement::Fixed(BASE + i * P))).unwrap();
    }
    assert_eq!(s.vma_count(), 2);
    let request = MapRequest::shared(shm, 0, P, Prot::RW);
    s.map(request.at(Placement::Fixed(BASE + 8 * P))).unwrap();
    assert_eq!(s.vma_count(), 3);
}
