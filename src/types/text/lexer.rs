//! The signs and words of a query.

/// A piece of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `AND`
    And,
    /// `OR`
    Or,
    /// `NOT`
    Not,
    /// `+` before something
    Plus,
    /// `-` before something
    Minus,
    /// `name:` before something
    Field(String),
    /// `"…"`
    Phrase(String),
    /// A word
    Word(String),
    /// `word*`
    Prefix(String),
    /// `word~1`
    Fuzzy(String, u8),
}

/// What is wrong, and the byte where.
pub type Malformed = (usize, &'static str);

/// The pieces of a query, with the byte at which each begins.
pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>, Malformed> {
    let (mut tokens, mut lexer) = (Vec::new(), Lexer { text, at: 0 });
    loop {
        lexer.skip_space();
        let at = lexer.at;
        match lexer.token()? {
            Some(token) => tokens.push((at, token)),
            None => return Ok(tokens),
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..).and_then(|rest| rest.chars().next())
    }

    fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += letter.len_utf8();
        Some(letter)
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.next();
        }
    }

    /// Whether something is next that a sign before it can belong to.
    fn is_before_something(&self) -> bool {
        self.peek().is_some_and(|letter| !letter.is_whitespace() && letter != ')')
    }

    fn token(&mut self) -> Result<Option<Token>, Malformed> {
        let start = self.at;
        let Some(letter) = self.peek() else { return Ok(None) };
        match letter {
            '(' => self.sign(Token::Open),
            ')' => self.sign(Token::Close),
            '"' => self.phrase(),
            '+' | '-' => {
                self.next();
                if self.is_before_something() {
                    return Ok(Some(if letter == '+' { Token::Plus } else { Token::Minus }));
                }
                Ok(Some(Token::Word(letter.into())))
            }
            _ => self.word(start),
        }
    }

    fn sign(&mut self, token: Token) -> Result<Option<Token>, Malformed> {
        self.next();
        Ok(Some(token))
    }

    fn phrase(&mut self) -> Result<Option<Token>, Malformed> {
        let (start, mut phrase) = (self.at, String::new());
        self.next();
        while let Some(letter) = self.next() {
            match letter {
                '"' => return Ok(Some(Token::Phrase(phrase))),
                '\\' => phrase.extend(self.next()),
                letter => phrase.push(letter),
            }
        }
        Err((start, "this quotation mark has no partner; write \\\" for the character"))
    }

    /// A word, and what its last characters mean.
    fn word(&mut self, start: usize) -> Result<Option<Token>, Malformed> {
        let (mut word, mut is_escaped) = (String::new(), false);
        while let Some(letter) = self.peek() {
            match letter {
                '(' | ')' | '"' => break,
                letter if letter.is_whitespace() => break,
                '*' => return self.prefix(word),
                '~' => return self.fuzzy(word),
                _ => {}
            }
            self.next();
            match letter {
                ':' if !is_escaped && is_name(&word) && self.is_before_value() => {
                    return Ok(Some(Token::Field(word)));
                }
                '\\' => {
                    is_escaped = true;
                    let at = self.at - 1;
                    word.push(self.next().ok_or((at, "a backslash stands before a character"))?);
                }
                letter => word.push(letter),
            }
        }
        Ok(Some(match &self.text[start..self.at] {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            _ => Token::Word(word),
        }))
    }

    /// Whether a colon here makes what is before it a name: `http://` and `12: 30` are words.
    fn is_before_value(&self) -> bool {
        self.is_before_something() && !matches!(self.peek(), Some('/' | ':'))
    }

    fn prefix(&mut self, word: String) -> Result<Option<Token>, Malformed> {
        let at = self.at;
        self.next();
        if word.is_empty() {
            return Err((at, "a star needs letters before it; write \\* for the character"));
        }
        self.is_end(at, "a star stands at the end of a word; write \\* for the character")?;
        Ok(Some(Token::Prefix(word)))
    }

    fn fuzzy(&mut self, word: String) -> Result<Option<Token>, Malformed> {
        const RULE: &str =
            "a tilde stands at the end of a word, with 1 or 2 after it; write \\~ for the character";
        let at = self.at;
        self.next();
        let distance = match self.peek() {
            Some('1') => self.next().map(|_| 1),
            Some('2') => self.next().map(|_| 2),
            _ => Some(1),
        };
        if word.is_empty() {
            return Err((at, RULE));
        }
        self.is_end(at, RULE)?;
        Ok(Some(Token::Fuzzy(word, distance.unwrap_or(1))))
    }

    fn is_end(&self, at: usize, rule: &'static str) -> Result<(), Malformed> {
        let is_end = self.peek().is_none_or(|letter| letter.is_whitespace() || letter == ')');
        is_end.then_some(()).ok_or((at, rule))
    }
}

/// Whether a word can be the name of a field in a query.
fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first.is_alphabetic() || first == '_')
        && word.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '.' | '-' | '$'))
}
