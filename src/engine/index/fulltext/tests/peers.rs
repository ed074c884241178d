//! The same scores as tantivy has: `tests/data/wordnet/bm25.jsonl` is what tantivy 0.27 answered on the
//! same terms (`benches/text` wrote it).

use serde::Deserialize;

use super::collection::{Collection, Texts};
use crate::types::text::{FulltextParams, TextQuery};

#[derive(Deserialize)]
struct Answer {
    text: String,
    scores: Vec<f32>,
}

fn read(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/wordnet");
    std::fs::read_to_string(format!("{folder}/{name}")).unwrap()
}

#[test]
fn scores_are_those_of_tantivy() {
    let docs = read("docs.jsonl");
    let rows = Texts(docs.lines().map(|line| Some(line.to_owned())).collect());
    let collection = Collection::whole(&rows, &FulltextParams::default());
    let answers = read("bm25.jsonl");
    let mut count = 0;
    for line in answers.lines() {
        let answer: Answer = serde_json::from_str(line).unwrap();
        let found = collection.search_among(&TextQuery::plain(&answer.text), 10, &|_| true).unwrap();
        assert_eq!(found.len(), answer.scores.len(), "{}", answer.text);
        for ((_, score), expected) in found.iter().zip(&answer.scores) {
            assert!((score - expected).abs() < 1e-4, "{}: {score} {expected}", answer.text);
            count += 1;
        }
    }
    assert!(count > 500, "{count}");
}
