//! tantivy, with our analysis.

use quiver::engine::index::fulltext::Analyzer;
use tantivy::{
    Index, Searcher, TantivyDocument, Term,
    collector::TopDocs,
    query::{BooleanQuery, Occur, Query, TermQuery},
    schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions},
    tokenizer::{Token, TokenStream, Tokenizer},
};

pub struct Peer {
    field: Field,
    searcher: Searcher,
}

impl Peer {
    pub fn build(texts: &[String], analyzer: &Analyzer) -> Self {
        let options = TextFieldIndexing::default()
            .set_tokenizer("ours")
            .set_index_option(IndexRecordOption::WithFreqsAndPositions);
        let mut schema = Schema::builder();
        let field = schema.add_text_field("text", TextOptions::default().set_indexing_options(options));
        let index = Index::create_in_ram(schema.build());
        index.tokenizers().register("ours", Ours(analyzer.clone()));
        let mut writer = index.writer_with_num_threads(1, 1 << 30).expect("a writer");
        for text in texts {
            let mut document = TantivyDocument::default();
            document.add_text(field, text);
            writer.add_document(document).expect("room");
        }
        writer.commit().expect("a commit");
        Self { field, searcher: index.reader().expect("a reader").searcher() }
    }

    pub fn size(&self) -> usize {
        self.searcher.space_usage().expect("sizes").total().get_bytes() as usize
    }

    /// The scores of the best rows.
    pub fn search(&self, query: &str, top_k: usize, analyzer: &Analyzer) -> Vec<f32> {
        let terms = analyzer.tokens(query).into_iter().map(|token| {
            let term = Term::from_field_text(self.field, &token.term);
            let query: Box<dyn Query> = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
            (Occur::Should, query)
        });
        let query = BooleanQuery::new(terms.collect());
        let found = self.searcher.search(&query, &TopDocs::with_limit(top_k).order_by_score());
        found.expect("an answer").into_iter().map(|(score, _)| score).collect()
    }
}

/// Our analysis as a tokenizer.
#[derive(Clone)]
struct Ours(Analyzer);

struct Tokens {
    tokens: Vec<Token>,
    next: usize,
}

impl Tokenizer for Ours {
    type TokenStream<'a> = Tokens;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Tokens {
        let tokens = self.0.tokens(text).into_iter().map(|token| Token {
            offset_from: token.range.start,
            offset_to: token.range.end,
            position: token.position as usize,
            text: token.term,
            position_length: 1,
        });
        Tokens { tokens: tokens.collect(), next: 0 }
    }
}

impl TokenStream for Tokens {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        &self.tokens[self.next - 1]
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.tokens[self.next - 1]
    }
}
