//! How a row is decided: one pass over its metadata, whatever the number of conditions.
//!
//! The paths of all conditions form a tree, along which the text is walked; each condition that accepts
//! something sets its bit. Then the logic is applied to the bits. Passing over a value that no path
//! leads to is a scan for its end.

use super::{
    condition::Test,
    node::Node,
    path::index,
    reader::{Items, Read, Value},
};

/// A filter made ready for rows.
#[derive(Debug, Clone)]
pub struct Plan {
    root: Branch,
    logic: Logic,
    bits: usize,
}

/// A place in the tree of paths.
#[derive(Debug, Clone, Default)]
struct Branch {
    /// Sorted by key.
    children: Vec<(Box<str>, Branch)>,
    /// The children that are also places in arrays, ascending: the place, and which child.
    places: Vec<(usize, usize)>,
    /// What is asked of values here, and each test's bit.
    tests: Vec<(usize, Test)>,
}

/// The logic over the bits.
#[derive(Debug, Clone)]
enum Logic {
    All(Vec<Logic>),
    Any(Vec<Logic>),
    Not(Box<Logic>),
    Bit(usize),
}

/// Bits that need no allocation: as many as a filter has conditions by default.
const INLINE_BITS: usize = 1024;
/// Children of a branch whose places in an object need none.
const INLINE_CHILDREN: usize = 8;

impl Plan {
    /// The plan for a filter.
    pub fn new(node: &Node) -> Self {
        let (mut root, mut bits) = (Branch::default(), 0);
        let logic = root.plan(node, &mut bits);
        root.index_places();
        Self { root, logic, bits }
    }

    /// Whether the filter matches an object, given as JSON text.
    pub fn matches(&self, object: &str) -> Read<bool> {
        let (mut inline, mut heap) = ([0; INLINE_BITS / 64], Vec::new());
        let words = self.bits.div_ceil(64);
        let bits = inline.get_mut(..words).unwrap_or_else(|| {
            heap.resize(words, 0);
            &mut heap
        });
        self.root.visit_members(Items::of_object(object)?, bits)?.end()?;
        Ok(self.logic.holds(bits))
    }
}

impl Branch {
    /// Puts the conditions of `node` into the tree.
    fn plan(&mut self, node: &Node, bits: &mut usize) -> Logic {
        match node {
            Node::All(nodes) => Logic::All(nodes.iter().map(|node| self.plan(node, bits)).collect()),
            Node::Any(nodes) => Logic::Any(nodes.iter().map(|node| self.plan(node, bits)).collect()),
            Node::Not(node) => Logic::Not(Box::new(self.plan(node, bits))),
            Node::Condition(condition) => {
                let branch = condition.path.parts().iter().fold(self, |branch, part| branch.child(part));
                let accepted = branch.bit(condition.test.clone(), bits);
                if !condition.test.accepts_nothing() {
                    return accepted;
                }
                let is_there = branch.bit(Test::Exists, bits);
                Logic::Any(vec![accepted, Logic::Not(Box::new(is_there))])
            }
        }
    }

    fn child(&mut self, part: &str) -> &mut Self {
        let place = self.find(part).unwrap_or_else(|place| {
            self.children.insert(place, (part.into(), Self::default()));
            place
        });
        &mut self.children[place].1
    }

    fn find(&self, key: &str) -> Result<usize, usize> {
        match self.children.as_slice() {
            // The usual case, and no order is needed to be sure of it.
            [(only, _)] if **only == *key => Ok(0),
            children => children.binary_search_by(|(child, _)| (**child).cmp(key)),
        }
    }

    fn bit(&mut self, test: Test, bits: &mut usize) -> Logic {
        self.tests.push((*bits, test));
        *bits += 1;
        Logic::Bit(*bits - 1)
    }

    fn index_places(&mut self) {
        let children = self.children.iter().enumerate();
        self.places = children.filter_map(|(child, (part, _))| Some((index(part)?, child))).collect();
        self.places.sort_unstable();
        self.children.iter_mut().for_each(|(_, child)| child.index_places());
    }

    /// Tests a value that the path reaches, and goes on in it.
    fn visit(&self, value: &Value<'_>, bits: &mut [u64]) -> Read<()> {
        for (bit, test) in &self.tests {
            if test.accepts(value)? {
                bits[bit / 64] |= 1 << (bit % 64);
            }
        }
        match value {
            Value::Object(text) if !self.children.is_empty() => {
                self.visit_members(Items::of(text), bits).map(|_| ())
            }
            Value::Array(text) if !self.children.is_empty() => self.visit_elements(text, bits),
            _ => Ok(()),
        }
    }

    /// Goes on in the members of an object. Of members with the same key the last one counts, so that
    /// values are looked at when all keys are known. Returns what follows the members.
    fn visit_members<'a>(&self, mut items: Items<'a>, bits: &mut [u64]) -> Read<Items<'a>> {
        let (mut inline, mut heap) = ([None; INLINE_CHILDREN], Vec::new());
        let found = inline.get_mut(..self.children.len()).unwrap_or_else(|| {
            heap.resize(self.children.len(), None);
            &mut heap
        });
        while let Some(key) = items.key()? {
            let value = items.skip()?;
            if let Ok(child) = self.find(&key) {
                found[child] = Some(value);
            }
        }
        for (child, value) in found.iter().enumerate() {
            if let Some(value) = value {
                self.children[child].1.visit(&value.read()?, bits)?;
            }
        }
        Ok(items)
    }

    /// Goes on in the elements of an array: in the one whose place is the next part of the path, and in
    /// the members of those that are objects.
    fn visit_elements(&self, array: &str, bits: &mut [u64]) -> Read<()> {
        let (mut items, mut places) = (Items::of(array), self.places.iter().peekable());
        let mut place = 0;
        while let Some(element) = items.element()? {
            if let Some((_, child)) = places.next_if(|(next, _)| *next == place) {
                self.children[*child].1.visit(&element, bits)?;
            }
            if let Value::Object(text) = element {
                self.visit_members(Items::of(text), bits)?;
            }
            place += 1;
        }
        Ok(())
    }
}

impl Logic {
    fn holds(&self, bits: &[u64]) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(bits)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(bits)),
            Self::Not(part) => !part.holds(bits),
            Self::Bit(bit) => bits[bit / 64] >> (bit % 64) & 1 == 1,
        }
    }
}
