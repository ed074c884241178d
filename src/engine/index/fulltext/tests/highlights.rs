//! What is marked, and how fragments are cut.

use super::{
    super::*,
    collection::{Texts, all_fields, open, text},
};
use crate::types::text::{FulltextParams, Limits, TextQuery};

fn fragments(words: &str, query: &str, style: &Style) -> Vec<String> {
    let (params, limits) = (FulltextParams::default(), Limits::default());
    let rows = Texts(vec![text(words)]);
    let index = open(&rows, &params);
    let analyzer = Analyzer::new(&params);
    let query = TextQuery::parse(query, "query", &limits).unwrap();
    let mut plan = Plan::new(&all_fields(&params), &query, "query", &analyzer, &params, &limits).unwrap();
    expand(&mut plan, &[(&index, &Live::new(crate::engine::index::Mask::All, 1))], "query", &limits, &|| {
        false
    })
    .unwrap();
    let highlighter = Highlighter::new(&plan, &analyzer, &params, style).unwrap();
    highlighter.fragments(rows.0[0].as_deref().unwrap()).remove(0)
}

#[test]
fn what_a_query_finds_is_marked_and_nothing_else() {
    for (words, query, expected) in [
        ("Foxes & <dogs>", "fox -dogs", "<em>Foxes</em> &amp; &lt;dogs&gt;"),
        ("the lazy dog, a dog", "\"lazy dog\"", "the <em>lazy</em> <em>dog</em>, a dog"),
        (
            "a red fox, a red dog, red foxes",
            "\"red fox\" \"dog red\" \"red cat\"",
            "a <em>red</em> <em>fox</em>, a red <em>dog</em>, <em>red</em> <em>foxes</em>",
        ),
        ("running runs, ruins", "run*", "<em>running</em> <em>runs</em>, ruins"),
        ("quick", "quikc~", "<em>quick</em>"),
        ("東京都に", "京都", "東<em>京都</em>に"),
        ("東京都に", "東京都", "<em>東京都</em>に"),
        ("'Café'", "cafe", "&#39;<em>Café</em>&#39;"),
    ] {
        assert_eq!(fragments(words, query, &Style::default()), [expected], "{query}");
    }
    assert_eq!(fragments("nothing", "fox", &Style::default()), [""; 0]);
}

#[test]
fn long_texts_are_cut_between_words() {
    let filler = "lorem ipsum dolor sit amet ".repeat(20);
    let words = format!("{filler}wolf {filler}wolf moon sun {filler}moon {filler}");
    let style = Style { fragments: 2, length: 60, ..Style::default() };
    let found = fragments(&words, "wolf moon sun", &style);
    assert_eq!(found.len(), 2);
    assert!(found[1].contains("<em>wolf</em> <em>moon</em> <em>sun</em>"), "{found:?}");
    for fragment in &found {
        assert!(fragment.starts_with('…') && fragment.ends_with('…') && fragment.len() < 120, "{fragment}");
        let plain = fragment.replace("<em>", "").replace("</em>", "");
        assert!(words.contains(plain.trim_matches('…')), "{plain}");
        assert!(
            words.split(' ').any(|word| plain.trim_start_matches('…').starts_with(&format!("{word} "))),
            "{plain}"
        );
    }
    // Letters of several bytes are not cut.
    let found = fragments(&"é".repeat(3).repeat(100).replace("éééééé", "ééé 東京 "), "東京", &style);
    assert_eq!(found.len(), 2);
}
