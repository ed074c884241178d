//! A slow evaluation of queries: on the texts, in 64-bit floats, by the definitions.

use serde_json::Value;

use super::{
    super::analysis::{Analyzer, Shape, Token, words},
    collection::Texts,
};
use crate::types::text::{Clause, FulltextParams, Group, Kind, Part, TextQuery};

/// The terms of a row's field, with their positions.
type Terms = Vec<(String, u32)>;

pub struct Reference {
    params: FulltextParams,
    analyzer: Analyzer,
    /// For each live row its number and the terms of its fields.
    rows: Vec<(usize, Vec<Terms>)>,
}

/// What is found in a row: nothing, or a score.
type Found = Option<f64>;

impl Reference {
    pub fn new(rows: &Texts, params: &FulltextParams, dead: &[usize]) -> Self {
        let analyzer = Analyzer::new(params);
        let live = rows.0.iter().enumerate().filter(|(row, _)| !dead.contains(row));
        let terms = |metadata: &Option<String>| {
            let value: Value = serde_json::from_str(metadata.as_deref().unwrap_or("{}")).unwrap();
            params.fields.iter().map(|field| terms(&analyzer, &value[field])).collect()
        };
        let rows = live.map(|(row, metadata)| (row, terms(metadata))).collect();
        Self { params: params.clone(), analyzer, rows }
    }

    /// The rows that match, with their scores.
    pub fn search(&self, query: &TextQuery) -> Vec<(usize, f64)> {
        let rows = self.rows.iter().enumerate();
        rows.filter_map(|(at, (row, _))| Some((*row, self.group(&query.root, at)??))).collect()
    }

    /// None if there is nothing in it but stop words.
    fn group(&self, group: &Group, row: usize) -> Option<Found> {
        let of = |clauses: &[Clause], all| -> Vec<Found> {
            clauses.iter().filter_map(|clause| self.clause(clause, all, row)).collect()
        };
        let (must, should, must_not) =
            (of(&group.must, true), of(&group.should, false), of(&group.must_not, false));
        let asked = !group.must.is_empty() || !group.should.is_empty();
        if must.is_empty() && should.is_empty() && (asked || must_not.is_empty()) {
            return None;
        }
        let is_found = must.iter().all(Option::is_some)
            && must_not.iter().all(Option::is_none)
            && (!must.is_empty() || should.is_empty() || should.iter().any(Option::is_some));
        Some(is_found.then(|| must.iter().chain(&should).flatten().sum()))
    }

    fn clause(&self, clause: &Clause, all: bool, row: usize) -> Option<Found> {
        match clause {
            Clause::Group(group) => self.group(group, row),
            Clause::Part(part) => self.part(part, all, row),
        }
    }

    fn part(&self, part: &Part, all: bool, row: usize) -> Option<Found> {
        let tokens = |text: &str| -> Vec<Token> {
            self.analyzer.tokens(text).into_iter().filter(|token| token.shape != Shape::Last).collect()
        };
        let exact = |token: Token| -> Box<dyn Fn(&str) -> bool> {
            Box::new(move |term| {
                if token.shape == Shape::Only { term.starts_with(&token.term) } else { term == token.term }
            })
        };
        let found: Vec<Found> = match part.kind {
            Kind::Words => {
                tokens(&part.text).into_iter().map(|token| self.any(part, &exact(token), row)).collect()
            }
            Kind::Phrase => match tokens(&part.text) {
                tokens if tokens.len() > 1 => vec![self.phrase(part, &tokens, row)],
                tokens => tokens.into_iter().map(|token| self.any(part, &exact(token), row)).collect(),
            },
            Kind::Fuzzy(distance) => tokens(&part.text)
                .into_iter()
                .map(|token| self.any(part, &|term| is_near(&token.term, term, distance.into()), row))
                .collect(),
            Kind::Prefix => {
                let last = words(&part.text).filter(|word| word.shape != Shape::Last).last()?;
                let prefix = self.analyzer.prefix(&part.text[last.range.clone()]);
                let before = tokens(&part.text).into_iter();
                let before = before
                    .filter(|token| token.range.start < last.range.start)
                    .map(|token| self.any(part, &exact(token), row));
                before.chain([self.any(part, &|term| term.starts_with(&prefix), row)]).collect()
            }
        };
        if found.is_empty() {
            return None;
        }
        let all = all || part.kind != Kind::Words;
        let is_found =
            if all { found.iter().all(Option::is_some) } else { found.iter().any(Option::is_some) };
        Some(is_found.then(|| found.iter().flatten().sum()))
    }

    fn fields(&self, part: &Part) -> Vec<usize> {
        let is_wanted = |name: &String| part.field.as_ref().is_none_or(|field| *field.name == **name);
        (0..self.params.fields.len()).filter(|field| is_wanted(&self.params.fields[*field])).collect()
    }

    fn any(&self, part: &Part, is_wanted: &dyn Fn(&str) -> bool, row: usize) -> Found {
        let scores = self.fields(part).into_iter().filter_map(|field| {
            let count =
                |row: usize| self.rows[row].1[field].iter().filter(|(term, _)| is_wanted(term)).count();
            let with = (0..self.rows.len()).filter(|row| count(*row) > 0).count();
            (count(row) > 0).then(|| self.score(field, row, count(row), self.idf(field, with)))
        });
        scores.reduce(|left, right| left + right)
    }

    fn phrase(&self, part: &Part, tokens: &[Token], row: usize) -> Found {
        let scores = self.fields(part).into_iter().filter_map(|field| {
            let terms = &self.rows[row].1[field];
            let stands = |start: u32| {
                tokens.iter().all(|token| {
                    terms.contains(&(token.term.clone(), start + token.position - tokens[0].position))
                })
            };
            let count =
                terms.iter().filter(|(term, start)| *term == tokens[0].term && stands(*start)).count();
            let idf = tokens.iter().map(|token| {
                let has = |terms: &Terms| terms.iter().any(|(term, _)| *term == token.term);
                self.idf(field, self.rows.iter().filter(|(_, fields)| has(&fields[field])).count())
            });
            (count > 0).then(|| self.score(field, row, count, idf.sum()))
        });
        scores.reduce(|left, right| left + right)
    }

    fn idf(&self, field: usize, with: usize) -> f64 {
        let all = self.rows.iter().filter(|(_, fields)| !fields[field].is_empty()).count();
        (1.0 + (all as f64 - with as f64 + 0.5) / (with as f64 + 0.5)).ln()
    }

    fn score(&self, field: usize, row: usize, count: usize, idf: f64) -> f64 {
        let lengths = || self.rows.iter().map(|(_, fields)| fields[field].len()).filter(|length| *length > 0);
        let average = lengths().sum::<usize>() as f64 / lengths().count() as f64;
        let (k1, b) = (f64::from(self.params.k1.value()), f64::from(self.params.b.value()));
        // Texts here have at most 40 words, so their bytes are their lengths.
        let length = self.rows[row].1[field].len() as f64;
        let norm = k1 * (1.0 - b + b * length / average);
        let count = count as f64;
        f64::from(self.params.weight(field)) * idf * (k1 + 1.0) * count / (count + norm)
    }
}

fn terms(analyzer: &Analyzer, value: &Value) -> Terms {
    let texts: Vec<&str> = match value {
        Value::String(text) => vec![text],
        Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let (mut terms, mut start) = (Vec::new(), 0);
    for text in texts {
        let tokens = analyzer.tokens(text);
        terms.extend(tokens.into_iter().map(|token| (token.term, start + token.position)));
        start += 1000;
    }
    terms
}

/// Whether a term becomes another by so many changes of letters, with no letter changed twice.
fn is_near(from: &str, to: &str, distance: usize) -> bool {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    near(&from, &to, distance)
}

fn near(from: &[char], to: &[char], rest: usize) -> bool {
    let ([a, left @ ..], [b, right @ ..]) = (from, to) else { return from.len() + to.len() <= rest };
    if a == b && near(left, right, rest) {
        return true;
    }
    let Some(rest) = rest.checked_sub(1) else { return false };
    let is_swapped = match (left, right) {
        ([c, left @ ..], [d, right @ ..]) => a == d && b == c && near(left, right, rest),
        _ => false,
    };
    is_swapped || near(left, right, rest) || near(left, to, rest) || near(from, right, rest)
}
