//! Where the words of a query stand in the texts of a row.
//!
//! Fragments are cut from the texts in the row's metadata, so they show what is stored now. They are
//! safe to put into a page: everything but the marks is escaped for HTML.

use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use super::{
    analysis::{Analyzer, Token},
    extract::Extractor,
    plan::{Find, Plan},
};
use crate::types::text::FulltextParams;

/// How fragments are cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// Fragments of a field, at most.
    pub fragments: usize,
    /// Bytes of a fragment's text, roughly.
    pub length: usize,
    /// What stands before a word that was found.
    pub open: String,
    /// What stands after it.
    pub close: String,
}

impl Default for Style {
    fn default() -> Self {
        Self { fragments: 3, length: 160, open: "<em>".into(), close: "</em>".into() }
    }
}

/// Marks what an expanded plan finds.
#[derive(Debug)]
pub struct Highlighter<'a> {
    analyzer: &'a Analyzer,
    extractor: Extractor,
    style: &'a Style,
    /// For each field the terms that are marked wherever they stand.
    terms: Vec<HashSet<&'a str>>,
    /// For each field the phrases: terms, each so far from the first.
    phrases: Vec<Vec<&'a [(u32, String)]>>,
}

impl<'a> Highlighter<'a> {
    /// For the fields of an index.
    pub fn new(
        plan: &'a Plan,
        analyzer: &'a Analyzer,
        params: &FulltextParams,
        style: &'a Style,
    ) -> Result<Self, String> {
        let fields = params.fields.len();
        let (mut terms, mut phrases) = (vec![HashSet::new(); fields], vec![Vec::new(); fields]);
        let mut wanted = Vec::new();
        if let Some(root) = &plan.root {
            root.wanted(&mut |leaf| wanted.push(leaf));
        }
        for leaf in
            wanted.into_iter().filter_map(|leaf| plan.leaves.get(leaf)).filter(|leaf| leaf.field < fields)
        {
            match &leaf.find {
                Find::Terms(found) => terms[leaf.field].extend(found.iter().map(String::as_str)),
                Find::Phrase(phrase) => phrases[leaf.field].push(&phrase[..]),
                Find::Prefix(_) | Find::Fuzzy(..) => {}
            }
        }
        Ok(Self { analyzer, extractor: Extractor::new(params)?, style, terms, phrases })
    }

    /// The fragments of each field of a row, by the places of the fields.
    pub fn fragments(&self, metadata: &str) -> Vec<Vec<String>> {
        let mut fragments = vec![Vec::new(); self.terms.len()];
        self.extractor.visit(metadata, &mut |field, text| {
            let rest = self.style.fragments.saturating_sub(fragments[field].len());
            fragments[field].extend(self.of_text(field, text, rest));
        });
        fragments
    }

    fn of_text(&self, field: usize, text: &str, limit: usize) -> Vec<String> {
        let marks = self.marks(field, &self.analyzer.tokens(text));
        let mut groups: Vec<&[Range<usize>]> = Vec::new();
        let mut rest = &marks[..];
        while let Some(first) = rest.first() {
            let length =
                rest.iter().take_while(|mark| mark.end <= first.start + self.style.length).count().max(1);
            let (group, others) = rest.split_at(length);
            groups.push(group);
            rest = others;
        }
        // Those with the most marks, in the order of the text.
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_by_key(|group| std::cmp::Reverse(groups[*group].len()));
        order.truncate(limit);
        order.sort_unstable();
        order.into_iter().map(|group| self.fragment(text, groups[group])).collect()
    }

    /// What is marked, in bytes of the text; marks do not overlap.
    fn marks(&self, field: usize, tokens: &[Token]) -> Vec<Range<usize>> {
        let of_words = tokens.iter().map(|token| self.terms[field].contains(token.term.as_str()));
        let mut is_found: Vec<bool> = of_words.collect();
        self.find_phrases(field, tokens, &mut is_found);
        let found = tokens.iter().zip(is_found).filter(|(_, is_found)| *is_found);
        let mut found: Vec<&Token> = found.map(|(token, _)| token).collect();
        found.sort_by_key(|token| (token.range.start, token.range.end));
        let mut marks: Vec<Range<usize>> = Vec::new();
        for token in found {
            match marks.last_mut() {
                Some(last) if token.range.start < last.end => last.end = last.end.max(token.range.end),
                _ => marks.push(token.range.clone()),
            }
        }
        marks
    }

    /// Says which tokens phrases have. Each is looked for where the rarest of its terms stands, so that many of
    /// them take little longer than a few.
    fn find_phrases(&self, field: usize, tokens: &[Token], is_found: &mut [bool]) {
        if self.phrases[field].is_empty() {
            return;
        }
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, token) in tokens.iter().enumerate() {
            places.entry(&token.term).or_default().push(place);
        }
        let places = |term: &String| places.get(term.as_str()).map_or(&[][..], Vec::as_slice);
        for phrase in &self.phrases[field] {
            let Some((offset, term)) = phrase.iter().min_by_key(|(_, term)| places(term).len()) else {
                continue;
            };
            let starts = places(term).iter().filter_map(|place| tokens[*place].position.checked_sub(*offset));
            for start in starts {
                let at = |(offset, term): &(u32, String)| {
                    let position = start.checked_add(*offset)?;
                    let place = tokens.binary_search_by_key(&position, |token| token.position).ok()?;
                    (tokens[place].term == *term).then_some(place)
                };
                let found = phrase.iter().map(at).collect::<Option<Vec<_>>>().unwrap_or_default();
                found.into_iter().for_each(|place| is_found[place] = true);
            }
        }
    }

    fn fragment(&self, text: &str, marks: &[Range<usize>]) -> String {
        let (Some(first), Some(last)) = (marks.first(), marks.last()) else { return String::new() };
        let around = self.style.length.saturating_sub(last.end - first.start) / 2;
        let range = widened(text, first.start..last.end, around);
        let mut fragment = String::from(if range.start > 0 { "…" } else { "" });
        let mut at = range.start;
        for mark in marks {
            escape(&text[at..mark.start], &mut fragment);
            fragment.push_str(&self.style.open);
            escape(&text[mark.clone()], &mut fragment);
            fragment.push_str(&self.style.close);
            at = mark.end;
        }
        escape(&text[at..range.end], &mut fragment);
        fragment.push_str(if range.end < text.len() { "…" } else { "" });
        fragment
    }
}

/// A range with about so many bytes on both sides, cut between words where there are some.
fn widened(text: &str, range: Range<usize>, around: usize) -> Range<usize> {
    let start = text.floor_char_boundary(range.start.saturating_sub(around));
    let end = text.ceil_char_boundary(range.end.saturating_add(around).min(text.len()));
    let skipped = if start == 0 { None } else { text[start..range.start].find(char::is_whitespace) };
    let kept = if end == text.len() { None } else { text[range.end..end].rfind(char::is_whitespace) };
    let start =
        skipped.map_or(start, |space| range.start - text[start + space..range.start].trim_start().len());
    start..kept.map_or(end, |space| range.end + space)
}

fn escape(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            letter => out.push(letter),
        }
    }
}
