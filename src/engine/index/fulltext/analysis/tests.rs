//! Words and terms, by example, and whatever the text is.

use proptest::prelude::*;

use super::*;

fn terms(text: &str, params: &FulltextParams) -> Vec<String> {
    Analyzer::new(params).tokens(text).into_iter().map(|token| token.term).collect()
}

#[test]
fn texts_are_cut_into_terms() {
    let base = FulltextParams::default();
    let of = |language| FulltextParams { language, ..base.clone() };
    for (language, text, expected) in [
        (
            Language::English,
            "The dogs' owner’s RUNNING; well-known 3.14 foo_bar!",
            "dog owner run well known 3.14 foo_bar",
        ),
        (Language::English, "Ærøskøbing naïve Łódź ﬁne Ⅷ", "aeroskobing naiv lodz fine viii"),
        (Language::French, "L'été des généraux", "ete general"),
        (Language::German, "Die größten Häuser", "grosst haus"),
        (Language::Russian, "в домах", "дом"),
        (Language::Turkish, "İstanbul", "istanbul"),
        (Language::Greek, "ΟΔΟΣ οδός", "οδ οδ"),
        (Language::None, "The dogs", "the dogs"),
        (Language::None, "東京都 ア", "東京 京都 都 ア"),
        (Language::None, "한국어abc日本", "한국 국어 어 abc 日本 本"),
        (Language::None, "🙂 — …", ""),
    ] {
        assert_eq!(terms(text, &of(language)).join(" "), expected, "{text}");
    }
    let long = format!("a {} {} b", "x".repeat(255), "y".repeat(256));
    assert_eq!(terms(&long, &of(Language::None)).len(), 3);
    assert_eq!(Analyzer::new(&base).tokens("the dog of war").last().map(|token| token.position), Some(3));
}

#[test]
fn each_language_has_a_stemmer() {
    for language in Language::ALL {
        let params = FulltextParams { language: *language, ..FulltextParams::default() };
        assert_eq!(Analyzer::new(&params).stemmer.is_some(), *language != Language::None, "{language:?}");
        assert_eq!(serde_json::to_value(language).unwrap(), language.as_str());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_has_terms_at_places_in_it(
        text in "(\\PC|[a-zßéا-يա-ֆα-ωа-яក-៓ก-๎아-힣ァ-ヺ一-龥 '’.\u{301}\u{3099}]){0,40}",
        language in prop::sample::select(Language::ALL),
        switches in any::<[bool; 3]>(),
    ) {
        let [stemming, ascii_folding, case_sensitive] = switches;
        let params = FulltextParams { language, stemming, ascii_folding, case_sensitive, ..FulltextParams::default() };
        let tokens = Analyzer::new(&params).tokens(&text);
        for token in &tokens {
            prop_assert!(!text[token.range.clone()].is_empty());
            prop_assert!(!token.term.is_empty() && token.term.len() <= MAX_TERM);
        }
        prop_assert!(tokens.windows(2).all(|pair| pair[0].position < pair[1].position && pair[0].range.start < pair[1].range.start));
    }
}
