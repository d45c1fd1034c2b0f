//! The Merkle tree of [`proof`](super::proof), kept in pages of four levels.
//!
//! A page holds the nodes below one node, four levels deep: up to thirty. So a way through a million keys reads five
//! pages. All that a block changes goes into the tree at once, by one walk over what it touches.
//!
//! A leaf's page says its hash alone: which key it is of, the table of entries says, in which keys with one prefix
//! stand together. Changes therefore go into the tree before they go into the entries.

use std::collections::BTreeMap;

use anabranch::chain::Hash;
use anabranch::chain::native::blake2b;
use redb::{ReadableTable, Table};

use super::database::Fault;
use super::proof::{EMPTY, MAX_DEPTH, Proof, bit, inner, leaf};
use super::snapshot::Part;

/// How many levels a page has.
const LEVELS: usize = 4;

/// The places of a page: 1 is the node that it hangs on, 2n and 2n + 1 are below n.
const PLACES: usize = 2 << LEVELS;

/// A page's key: its depth over [`LEVELS`], then the bits that lead to it, filled up with zeros to a whole byte.
pub(super) type PageKey = Vec<u8>;

/// A node: its hash, and what it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Node {
    #[default]
    Empty,
    Leaf(Hash),
    Inner(Hash),
}

impl Node {
    pub(super) fn hash(self) -> Hash {
        match self {
            Self::Empty => EMPTY,
            Self::Leaf(hash) | Self::Inner(hash) => hash,
        }
    }
}

/// A way from the root: the first bits of a hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    bits: Hash,
    depth: usize,
}

impl Way {
    /// To the root.
    pub(super) const ROOT: Self = Self { bits: Hash([0; 32]), depth: 0 };

    fn down(mut self, right: bool) -> Self {
        // Equal hashes would be needed to get deeper.
        assert!(self.depth < MAX_DEPTH, "two keys part within the bits of their hashes");
        if right {
            self.bits.0[self.depth / 8] |= 0x80 >> (self.depth % 8);
        }
        self.depth += 1;
        self
    }

    /// Which page the node at the end of the way is in, and at which place.
    fn place(&self) -> (PageKey, usize) {
        if self.depth == 0 {
            // The root hangs on nothing: it has a page of its own.
            return (Vec::new(), 1);
        }
        let level = (self.depth - 1) / LEVELS;
        let start = level * LEVELS;
        let mut key = vec![level as u8];
        key.extend_from_slice(&self.bits.0[..start.div_ceil(8)]);
        if let (Some(last), 4) = (key.get_mut(1..).and_then(<[u8]>::last_mut), start % 8) {
            // The bits below the page's node are the place's.
            *last &= 0xf0;
        }
        let place = (start..self.depth).fold(1, |at, depth| at << 1 | usize::from(bit(&self.bits, depth)));
        (key, place)
    }

    /// How many turns it has.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// A name for the node at its end: the number of turns, two bytes, then their bits, filled up with zeros.
    pub(super) fn name(&self) -> Vec<u8> {
        let depth = u16::try_from(self.depth).expect("a way has at most as many turns as a hash has bits");
        [&depth.to_be_bytes(), &self.bits.0[..self.depth.div_ceil(8)]].concat()
    }

    /// Reads a name.
    pub(super) fn of_name(name: &[u8]) -> Option<Self> {
        let (depth, bits) = name.split_first_chunk()?;
        let depth = usize::from(u16::from_be_bytes(*depth));
        if depth > MAX_DEPTH || bits.len() != depth.div_ceil(8) {
            return None;
        }
        let mut way = Self { depth, ..Self::ROOT };
        way.bits.0[..bits.len()].copy_from_slice(bits);
        let is_filled_up = (depth..8 * bits.len()).all(|depth| !bit(&way.bits, depth));
        is_filled_up.then_some(way)
    }

    /// The first hash that the way leads to, filled up with zeros.
    pub(super) fn first(&self) -> [u8; 32] {
        self.bits.0
    }

    /// Whether the way to a key begins so.
    pub(super) fn leads_to(&self, key: &Hash) -> bool {
        (0..self.depth).all(|depth| bit(key, depth) == bit(&self.bits, depth))
    }
}

/// The nodes of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Page([Node; PLACES]);

impl Page {
    /// Which places have a node, which of these are leaves, then the hashes in their order.
    fn encode(&self) -> Vec<u8> {
        let (mut there, mut leaves, mut hashes) = (0u32, 0u32, Vec::new());
        for (node, at) in self.0.iter().zip(0..) {
            match node {
                Node::Empty => continue,
                Node::Leaf(hash) => {
                    leaves |= 1 << at;
                    hashes.extend_from_slice(&hash.0);
                }
                Node::Inner(hash) => hashes.extend_from_slice(&hash.0),
            }
            there |= 1 << at;
        }
        [there.to_be_bytes().as_slice(), &leaves.to_be_bytes(), &hashes].concat()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (there, rest) = bytes.split_first_chunk()?;
        let (leaves, mut rest) = rest.split_first_chunk()?;
        let (there, leaves) = (u32::from_be_bytes(*there), u32::from_be_bytes(*leaves));
        let mut page = Self::default();
        for (node, at) in page.0.iter_mut().zip(0..) {
            if there >> at & 1 == 1 {
                let (hash, after) = rest.split_first_chunk()?;
                (*node, rest) = (
                    if leaves >> at & 1 == 1 { Node::Leaf(Hash(*hash)) } else { Node::Inner(Hash(*hash)) },
                    after,
                );
            }
        }
        (rest.is_empty() && leaves & !there == 0).then_some(page)
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|node| *node == Node::Empty)
    }
}

/// A tree to read, over its two tables.
pub(super) struct Reader<P, E> {
    pages: P,
    entries: E,
}

/// The tables: pages by their key, and (key, value) by the hash of the key.
pub(super) trait Pages: ReadableTable<&'static [u8], &'static [u8]> {}
impl<T: ReadableTable<&'static [u8], &'static [u8]>> Pages for T {}
pub(super) trait Entries: ReadableTable<&'static [u8; 32], (&'static [u8], &'static [u8])> {}
impl<T: ReadableTable<&'static [u8; 32], (&'static [u8], &'static [u8])>> Entries for T {}

impl<P: Pages, E: Entries> Reader<P, E> {
    pub(super) fn new(pages: P, entries: E) -> Self {
        Self { pages, entries }
    }

    pub(super) fn root(&self) -> Result<Hash, Fault> {
        Ok(page(&self.pages, &[])?.0[1].hash())
    }

    /// The nodes below one, so many levels deep.
    pub(super) fn part(&self, way: Way, levels: usize) -> Result<Part, Fault> {
        let (key, place) = way.place();
        match page(&self.pages, &key)?.0[place] {
            Node::Empty => Ok(Part::Empty),
            Node::Inner(_) if levels > 0 => {
                let left = self.part(way.down(false), levels - 1)?;
                let right = self.part(way.down(true), levels - 1)?;
                Ok(Part::Parted(Box::new((left, right))))
            }
            Node::Leaf(hash) | Node::Inner(hash) => Ok(Part::Whole(hash)),
        }
    }

    /// The value of a key, if it has one, and what shows it.
    pub(super) fn find(&self, key: &[u8]) -> Result<(Option<Vec<u8>>, Proof), Fault> {
        let key_hash = blake2b(key);
        let value = self.entries.get(&key_hash.0)?.map(|entry| entry.value().1.to_vec());
        let (mut way, mut beside) = (Way::ROOT, Vec::new());
        let mut known = (Vec::new(), page(&self.pages, &[])?);
        let mut node = known.1.0[1];
        while let Node::Inner(_) = node {
            let right = bit(&key_hash, way.depth);
            way = way.down(right);
            let (at, place) = way.place();
            if at != known.0 {
                known = (at.clone(), page(&self.pages, &at)?);
            }
            node = known.1.0[place];
            beside.push(known.1.0[place ^ 1].hash());
        }
        let other = match (node, &value) {
            (Node::Leaf(_), None) => Some(under(&self.entries, &way)?),
            _ => None,
        };
        Ok((value, Proof { beside, other }))
    }
}

/// A tree to change.
pub(super) struct Writer<'a, 'txn, E> {
    pages: &'a mut Table<'txn, &'static [u8], &'static [u8]>,
    /// As they were before the changes.
    entries: &'a E,
    /// The pages that were touched.
    known: BTreeMap<PageKey, Page>,
}

/// Something for each of some keys, ordered by their hashes.
type Keyed<T> = [(Hash, T)];

/// A key's new value, as hashes of both; without a value it goes.
pub(super) type Changed = (Hash, Option<Hash>);

impl<'a, 'txn, E: Entries> Writer<'a, 'txn, E> {
    pub(super) fn new(pages: &'a mut Table<'txn, &'static [u8], &'static [u8]>, entries: &'a E) -> Self {
        Self { pages, entries, known: BTreeMap::new() }
    }

    /// Puts all changes in, which are ordered by key, each key once. The new root.
    pub(super) fn change(mut self, changes: &[Changed]) -> Result<Hash, Fault> {
        assert!(changes.is_sorted_by(|one, next| one.0 < next.0), "each key once, in order");
        let root = self.node(&Way::ROOT)?;
        let root = self.changed(Way::ROOT, root, changes)?;
        self.set(&Way::ROOT, root)?;
        self.write()?;
        Ok(root.hash())
    }

    /// Puts these leaves below the end of a way, where nothing stood before: all that will ever be there.
    pub(super) fn put_leaves(mut self, way: Way, leaves: &[(Hash, Hash)]) -> Result<(), Fault> {
        let node = self.grown(way, leaves)?;
        self.set(&way, node)?;
        self.write()
    }

    /// Puts the nodes of a part of the tree at the end of a way; the ways to those of which more is to come.
    pub(super) fn put_part(mut self, way: Way, part: &Part) -> Result<Vec<(Way, Hash)>, Fault> {
        let mut open = Vec::new();
        self.put_nodes(way, part, &mut open)?;
        self.write()?;
        Ok(open)
    }

    fn put_nodes(&mut self, way: Way, part: &Part, open: &mut Vec<(Way, Hash)>) -> Result<(), Fault> {
        match part {
            Part::Empty => Ok(()),
            Part::Whole(hash) => {
                open.push((way, *hash));
                Ok(())
            }
            Part::Parted(below) => {
                self.set(&way, Node::Inner(part.hash()))?;
                self.put_nodes(way.down(false), &below.0, open)?;
                self.put_nodes(way.down(true), &below.1, open)
            }
        }
    }

    fn write(self) -> Result<(), Fault> {
        for (key, page) in self.known {
            if page.is_empty() {
                self.pages.remove(key.as_slice())?;
            } else {
                self.pages.insert(key.as_slice(), page.encode().as_slice())?;
            }
        }
        Ok(())
    }

    /// What becomes of the node at the end of a way, where all changes lead along that way.
    fn changed(&mut self, way: Way, node: Node, changes: &[Changed]) -> Result<Node, Fault> {
        if changes.is_empty() {
            return Ok(node);
        }
        let kept = |(key, value): &Changed| value.map(|value| (*key, leaf(key, &value)));
        match node {
            Node::Empty => self.grown(way, &changes.iter().filter_map(kept).collect::<Vec<_>>()),
            Node::Leaf(hash) => {
                let (key, _) = under(self.entries, &way)?;
                let mut leaves: Vec<_> = changes.iter().filter_map(kept).collect();
                if changes.binary_search_by(|(other, _)| other.cmp(&key)).is_err() {
                    let at = leaves.partition_point(|(other, _)| *other < key);
                    leaves.insert(at, (key, hash));
                }
                self.grown(way, &leaves)
            }
            Node::Inner(_) => {
                let (left, right) = (way.down(false), way.down(true));
                let (to_left, to_right) = parted(changes, way.depth);
                let (on_left, on_right) = (self.node(&left)?, self.node(&right)?);
                let on_left = self.changed(left, on_left, to_left)?;
                let on_right = self.changed(right, on_right, to_right)?;
                self.join(way, on_left, on_right)
            }
        }
    }

    /// The node over these leaves, where nothing stood before.
    fn grown(&mut self, way: Way, leaves: &[(Hash, Hash)]) -> Result<Node, Fault> {
        match leaves {
            [] => Ok(Node::Empty),
            [(_, hash)] => Ok(Node::Leaf(*hash)),
            _ => {
                let (left, right) = parted(leaves, way.depth);
                let left = self.grown(way.down(false), left)?;
                let right = self.grown(way.down(true), right)?;
                self.join(way, left, right)
            }
        }
    }

    /// The node over two, which are set below it; a leaf alone moves up.
    fn join(&mut self, way: Way, left: Node, right: Node) -> Result<Node, Fault> {
        let (node, left, right) = match (left, right) {
            (Node::Empty, Node::Empty) => (Node::Empty, Node::Empty, Node::Empty),
            (Node::Empty, Node::Leaf(_)) => (right, Node::Empty, Node::Empty),
            (Node::Leaf(_), Node::Empty) => (left, Node::Empty, Node::Empty),
            _ => (Node::Inner(inner(&left.hash(), &right.hash())), left, right),
        };
        self.set(&way.down(false), left)?;
        self.set(&way.down(true), right)?;
        Ok(node)
    }

    fn node(&mut self, way: &Way) -> Result<Node, Fault> {
        let (key, place) = way.place();
        Ok(self.page(key)?.0[place])
    }

    fn set(&mut self, way: &Way, node: Node) -> Result<(), Fault> {
        let (key, place) = way.place();
        self.page(key)?.0[place] = node;
        Ok(())
    }

    fn page(&mut self, key: PageKey) -> Result<&mut Page, Fault> {
        match self.known.entry(key) {
            std::collections::btree_map::Entry::Occupied(known) => Ok(known.into_mut()),
            std::collections::btree_map::Entry::Vacant(new) => {
                let page = page(self.pages, new.key())?;
                Ok(new.insert(page))
            }
        }
    }
}

/// A page as it is stored, or an empty one.
fn page(pages: &impl Pages, key: &[u8]) -> Result<Page, Fault> {
    let stored = pages.get(key)?;
    let page = stored.map(|stored| Page::decode(stored.value()).ok_or(Fault::Damaged("a page of its tree")));
    Ok(page.transpose()?.unwrap_or_default())
}

/// The only key at the end of a way, and its value, as hashes.
fn under(entries: &impl Entries, way: &Way) -> Result<(Hash, Hash), Fault> {
    let first = entries.range::<&[u8; 32]>(&way.first()..)?.next().transpose()?;
    let (key, entry) = first.ok_or(Fault::Damaged("an entry of its tree"))?;
    let key = Hash(*key.value());
    if way.leads_to(&key) {
        Ok((key, blake2b(entry.value().1)))
    } else {
        Err(Fault::Damaged("an entry of its tree"))
    }
}

/// Ordered by key: those whose way goes left at this depth, and those whose way goes right.
fn parted<T>(all: &Keyed<T>, depth: usize) -> (&Keyed<T>, &Keyed<T>) {
    all.split_at(all.partition_point(|(key, _)| !bit(key, depth)))
}
