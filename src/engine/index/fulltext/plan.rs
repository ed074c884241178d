//! A query made ready for an index: which terms of which fields it asks for, and how they are joined.
//!
//! A word is looked for in all fields, and its score is the sum of theirs. A word without a term (a stop
//! word) is left out, whatever its sign; if nothing is left that could match, nothing matches.

use std::borrow::Cow;

use hashbrown::HashMap;

use super::analysis::{Analyzer, Shape, Token, words};
use crate::{
    error::{Error, Result},
    types::text::{Clause, FulltextParams, Group, Kind, Limits, Part, TextQuery},
};

/// A query over an index.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// How the leaves are joined. None: nothing matches.
    pub root: Option<Node>,
    /// What is looked for.
    pub leaves: Vec<Leaf>,
}

/// A leaf, so many times, or several joined.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A leaf by its place, and how often it is asked for.
    Leaf(usize, u32),
    /// As [`Group`].
    Group {
        /// All of these.
        must: Vec<Node>,
        /// One of these, if nothing must.
        should: Vec<Node>,
        /// None of these.
        must_not: Vec<Node>,
    },
}

/// What is looked for in a field.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// The place of the field among those of the index.
    pub field: usize,
    /// What.
    pub find: Find,
}

/// What is looked for. Rows are scored by how often they have it, however it is made up.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Find {
    /// Any of these terms.
    Terms(Vec<String>),
    /// These terms, each so far from the first.
    Phrase(Vec<(u32, String)>),
    /// Terms that begin so; to be expanded.
    Prefix(String),
    /// Terms that differ by so many letters at most; to be expanded.
    Fuzzy(String, u8),
}

impl Plan {
    /// Plans a query. Words that name no field are looked for in `fields`, by their places among those of
    /// `params`; `place` is where the query stands in the request.
    ///
    /// # Errors
    /// `Invalid` if it names a field that the index has not; `LimitExceeded` if it has too many terms.
    pub fn new(
        fields: &[usize],
        query: &TextQuery,
        place: &str,
        analyzer: &Analyzer,
        params: &FulltextParams,
        limits: &Limits,
    ) -> Result<Self> {
        let mut planner =
            Planner { place, analyzer, params, fields, limits, leaves: Vec::new(), places: HashMap::new() };
        let root = planner.group(&query.root)?;
        Ok(Self { root, leaves: planner.leaves })
    }
}

struct Planner<'a> {
    place: &'a str,
    analyzer: &'a Analyzer,
    params: &'a FulltextParams,
    fields: &'a [usize],
    limits: &'a Limits,
    leaves: Vec<Leaf>,
    /// Where each of them is.
    places: HashMap<Leaf, usize>,
}

impl<'a> Planner<'a> {
    /// None if nothing of it is left that could match.
    fn group(&mut self, group: &Group) -> Result<Option<Node>> {
        if *group == Group::default() {
            return Ok(None);
        }
        let must = self.clauses(&group.must, true)?;
        let should = self.clauses(&group.should, false)?;
        let must_not = self.clauses(&group.must_not, false)?;
        let asked = !group.must.is_empty() || !group.should.is_empty();
        if must.is_empty() && should.is_empty() && (asked || must_not.is_empty()) {
            return Ok(None);
        }
        Ok(Some(joined(must, should, must_not)))
    }

    fn clauses(&mut self, clauses: &[Clause], all: bool) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for clause in clauses {
            nodes.extend(match clause {
                Clause::Part(part) => self.part(part, all)?,
                Clause::Group(group) => self.group(group)?,
            });
        }
        Ok(nodes)
    }

    /// A part; of several words all, or any.
    fn part(&mut self, part: &Part, all: bool) -> Result<Option<Node>> {
        let fields = self.fields(part)?;
        let found: Vec<Find> = match part.kind {
            Kind::Words => self.terms(&part.text).map(|token| word(token.term, token.shape)).collect(),
            Kind::Phrase => phrase(self.terms(&part.text).collect()).into_iter().collect(),
            Kind::Prefix => self.prefix(&part.text),
            Kind::Fuzzy(distance) => {
                self.terms(&part.text).map(|token| Find::Fuzzy(token.term, distance)).collect()
            }
        };
        let mut nodes = Vec::new();
        for find in found {
            let mut of_fields = Vec::new();
            for field in fields.iter().copied() {
                of_fields.push(Node::Leaf(self.leaf(Leaf { field, find: find.clone() })?, 1));
            }
            nodes.push(joined(Vec::new(), of_fields, Vec::new()));
        }
        if nodes.is_empty() {
            return Ok(None);
        }
        let all = all || part.kind != Kind::Words;
        Ok(Some(if all {
            joined(nodes, Vec::new(), Vec::new())
        } else {
            joined(Vec::new(), nodes, Vec::new())
        }))
    }

    fn terms(&self, text: &str) -> impl Iterator<Item = Token> + use<> {
        // A last letter is part of the pair before it.
        self.analyzer.tokens(text).into_iter().filter(|token| token.shape != Shape::Last)
    }

    /// The terms of all words but the last one, and what that begins with.
    fn prefix(&self, text: &str) -> Vec<Find> {
        let Some(last) = words(text).filter(|word| word.shape != Shape::Last).last() else {
            return Vec::new();
        };
        // Of the whole text: a letter before the last pair is part of a pair, too.
        let before = self.terms(text).filter(|token| token.range.start < last.range.start);
        let before = before.map(|token| word(token.term, token.shape));
        let prefix = Find::Prefix(self.analyzer.prefix(&text[last.range.clone()]));
        before.chain([prefix]).collect()
    }

    fn fields(&self, part: &Part) -> Result<Cow<'a, [usize]>> {
        let fields = &self.params.fields;
        let Some(wanted) = &part.field else { return Ok(self.fields.into()) };
        let place = fields.iter().position(|field| **field == *wanted.name).ok_or_else(|| {
            let begin: String = wanted.name.chars().take(64).collect();
            let message = format!(
                "character {}: {:?} is not a field of the index, which is over {}; before a colon, write \\: for the \
                 character",
                wanted.character,
                begin,
                fields.join(", ")
            );
            Error::invalid(self.place, message)
        })?;
        Ok(vec![place].into())
    }

    /// The place of a leaf; equal leaves have one.
    fn leaf(&mut self, leaf: Leaf) -> Result<usize> {
        if let Some(place) = self.places.get(&leaf) {
            return Ok(*place);
        }
        self.places.insert(leaf.clone(), self.leaves.len());
        self.leaves.push(leaf);
        if self.leaves.len() <= self.limits.terms {
            return Ok(self.leaves.len() - 1);
        }
        Err(Error::LimitExceeded {
            field: self.place.into(),
            limit: "limits.text_query_terms",
            max: self.limits.terms as u64,
            actual: self.leaves.len() as u64,
        })
    }
}

impl Plan {
    /// Whether single terms are all that it asks for, and only rows with some of them match.
    pub fn is_of_words(&self) -> bool {
        self.leaves.iter().all(|leaf| matches!(leaf.find, Find::Terms(_)))
            && self.root.as_ref().is_none_or(Node::needs_a_leaf)
    }
}

impl Node {
    /// Whether only rows match that match a leaf. Negations alone match nearly all rows.
    fn needs_a_leaf(&self) -> bool {
        match self {
            Self::Leaf(..) => true,
            Self::Group { must, should, .. } if must.is_empty() => {
                !should.is_empty() && should.iter().all(Self::needs_a_leaf)
            }
            Self::Group { must, .. } => must.iter().any(Self::needs_a_leaf),
        }
    }

    /// Calls `visit` with the leaves that a row may have to match.
    pub fn wanted(&self, visit: &mut dyn FnMut(usize)) {
        match self {
            Self::Leaf(leaf, _) => visit(*leaf),
            Self::Group { must, should, must_not: _ } => {
                must.iter().chain(should).for_each(|node| node.wanted(visit));
            }
        }
    }
}

/// One letter of a script without boundaries begins the pairs in which it is found.
fn word(term: String, shape: Shape) -> Find {
    if shape == Shape::Only { Find::Prefix(term) } else { Find::Terms(vec![term]) }
}

fn phrase(mut tokens: Vec<Token>) -> Option<Find> {
    if tokens.len() < 2 {
        return tokens.pop().map(|token| word(token.term, token.shape));
    }
    let first = tokens[0].position;
    Some(Find::Phrase(tokens.into_iter().map(|token| (token.position - first, token.term)).collect()))
}

/// Joins nodes. Alternatives among alternatives are alternatives, and equal ones are one.
fn joined(mut must: Vec<Node>, should: Vec<Node>, must_not: Vec<Node>) -> Node {
    let (mut flat, mut places) = (Vec::new(), HashMap::new());
    let mut add = |node: Node| match node {
        Node::Leaf(leaf, times) => match places.get(&leaf).and_then(|place: &usize| flat.get_mut(*place)) {
            Some(Node::Leaf(_, sum)) => *sum += times,
            _ => {
                places.insert(leaf, flat.len());
                flat.push(node);
            }
        },
        node @ Node::Group { .. } => flat.push(node),
    };
    for node in should {
        match node {
            Node::Group { must, should, must_not } if must.is_empty() && must_not.is_empty() => {
                should.into_iter().for_each(&mut add);
            }
            node => add(node),
        }
    }
    match (&mut must, &mut flat) {
        (one, none) | (none, one) if one.len() == 1 && none.is_empty() && must_not.is_empty() => {
            one.swap_remove(0)
        }
        _ => Node::Group { must, should: flat, must_not },
    }
}
