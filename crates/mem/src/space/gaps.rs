//! The free ranges of an address space, for the search for room: a treap by address in which each node knows the longest
//! range below it, so that a search takes logarithmic time however many mappings there are.

const NIL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Node {
    start: u64,
    end: u64,
    /// The longest range in this subtree, in bytes.
    longest: u64,
    left: u32,
    right: u32,
}

/// Free ranges, none of them empty, none touching another.
#[derive(Clone, Debug)]
pub(super) struct Gaps {
    nodes: Vec<Node>,
    unused: Vec<u32>,
    root: u32,
}

/// What decides which of two nodes is above the other: mixes the address' bits, so that the tree is balanced whatever the order.
fn rank(start: u64) -> u64 {
    let x = (start ^ start >> 12).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ x >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

impl Gaps {
    /// One range.
    pub(super) fn new(start: u64, end: u64) -> Self {
        let mut gaps = Self {
            nodes: Vec::new(),
            unused: Vec::new(),
            root: NIL,
        };
        gaps.set(start, end);
        gaps
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    fn longest(&self, at: u32) -> u64 {
        if at == NIL { 0 } else { self.node(at).longest }
    }

    fn refresh(&mut self, at: u32) {
        let node = *self.node(at);
        let below = self.longest(node.left).max(self.longest(node.right));
        self.node_mut(at).longest = below.max(node.end - node.start);
    }

    /// The range that begins at `start` ends at `end` from now on; it is new if there was none, and gone if `end` is not
    /// behind `start`.
    pub(super) fn set(&mut self, start: u64, end: u64) {
        let root = self.root;
        if end <= start {
            self.root = self.remove(root, start);
        } else if !self.resize(root, start, end) {
            let node = Node {
                start,
                end,
                longest: end - start,
                left: NIL,
                right: NIL,
            };
            let new = match self.unused.pop() {
                Some(at) => {
                    *self.node_mut(at) = node;
                    at
                }
                None => {
                    self.nodes.push(node);
                    // An address space has fewer pages than this has numbers.
                    (self.nodes.len() - 1) as u32
                }
            };
            self.root = self.insert(root, new);
        }
    }

    /// Forgets the range that begins at `start`, if there is one.
    pub(super) fn clear(&mut self, start: u64) {
        let root = self.root;
        self.root = self.remove(root, start);
    }

    fn resize(&mut self, at: u32, start: u64, end: u64) -> bool {
        if at == NIL {
            return false;
        }
        let node = *self.node(at);
        let found = match start.cmp(&node.start) {
            std::cmp::Ordering::Less => self.resize(node.left, start, end),
            std::cmp::Ordering::Greater => self.resize(node.right, start, end),
            std::cmp::Ordering::Equal => {
                self.node_mut(at).end = end;
                true
            }
        };
        if found {
            self.refresh(at);
        }
        found
    }

    fn insert(&mut self, at: u32, new: u32) -> u32 {
        if at == NIL {
            return new;
        }
        let (key, node) = (self.node(new).start, *self.node(at));
        if rank(key) > rank(node.start) {
            let (left, right) = self.split(at, key);
            let new_node = self.node_mut(new);
            (new_node.left, new_node.right) = (left, right);
            self.refresh(new);
            return new;
        }
        if key < node.start {
            self.node_mut(at).left = self.insert(node.left, new);
        } else {
            self.node_mut(at).right = self.insert(node.right, new);
        }
        self.refresh(at);
        at
    }

    /// The nodes that begin below `key`, and the others.
    fn split(&mut self, at: u32, key: u64) -> (u32, u32) {
        if at == NIL {
            return (NIL, NIL);
        }
        let node = *self.node(at);
        let parts = if node.start < key {
            let (left, right) = self.split(node.right, key);
            self.node_mut(at).right = left;
            (at, right)
        } else {
            let (left, right) = self.split(node.left, key);
            self.node_mut(at).left = right;
            (left, at)
        };
        self.refresh(at);
        parts
    }

    fn remove(&mut self, at: u32, start: u64) -> u32 {
        if at == NIL {
            return NIL;
        }
        let node = *self.node(at);
        match start.cmp(&node.start) {
            std::cmp::Ordering::Less => self.node_mut(at).left = self.remove(node.left, start),
            std::cmp::Ordering::Greater => self.node_mut(at).right = self.remove(node.right, start),
            std::cmp::Ordering::Equal => {
                self.unused.push(at);
                return self.join(node.left, node.right);
            }
        }
        self.refresh(at);
        at
    }

    /// Everything in `left` is below everything in `right`.
    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == NIL || right == NIL {
            return if left == NIL { right } else { left };
        }
        let (l, r) = (*self.node(left), *self.node(right));
        let top = if rank(l.start) > rank(r.start) {
            self.node_mut(left).right = self.join(l.right, right);
            left
        } else {
            self.node_mut(right).left = self.join(left, r.left);
            right
        };
        self.refresh(top);
        top
    }

    /// The highest `len` free bytes in `[bottom, top)`: where they start.
    pub(super) fn highest(&self, len: u64, bottom: u64, top: u64) -> Option<u64> {
        self.highest_below(self.root, len, bottom, top)
    }

    fn highest_below(&self, at: u32, len: u64, bottom: u64, top: u64) -> Option<u64> {
        if self.longest(at) < len || at == NIL {
            return None;
        }
        let node = self.node(at);
        if node.start >= top {
            return self.highest_below(node.left, len, bottom, top);
        }
        if let Some(found) = self.highest_below(node.right, len, bottom, top) {
            return Some(found);
        }
        let fits = |start: &u64| *start >= node.start.max(bottom);
        if let Some(start) = node.end.min(top).checked_sub(len).filter(fits) {
            return Some(start);
        }
        if node.start <= bottom {
            return None;
        }
        self.highest_below(node.left, len, bottom, top)
    }
}

#[cfg(test)]
mod tests {
    use super::Gaps;
    use std::collections::BTreeMap;

    /// The same, by looking at all of them.
    fn highest(all: &BTreeMap<u64, u64>, len: u64, bottom: u64, top: u64) -> Option<u64> {
        all.iter()
            .rev()
            .filter_map(|(start, end)| {
                let at = (*end).min(top).checked_sub(len)?;
                (at >= (*start).max(bottom)).then_some(at)
            })
            .next()
    }

    #[test]
    fn finds_what_a_scan_finds() {
        let mut gaps = Gaps::new(0, 4);
        let mut all = BTreeMap::from([(0, 4)]);
        let mut seed = 1u64;
        let mut random = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..20_000 {
            let start = random(300) * 10;
            match random(3) {
                0 => {
                    gaps.clear(start);
                    all.remove(&start);
                }
                _ => {
                    let len = random(10);
                    gaps.set(start, start + len);
                    all.remove(&start);
                    if len > 0 {
                        all.insert(start, start + len);
                    }
                }
            }
            let (len, bottom) = (1 + random(10), random(3000));
            let top = bottom + random(3000);
            let found = gaps.highest(len, bottom, top);
            assert_eq!(found, highest(&all, len, bottom, top));
        }
    }
}
