//! Reads the paths out of a source file. Not a parser of Rust: it knows comments, literals, inline
//! modules and the braces of `use`, which is all that tells a path from text that looks like one.

/// A path with `crate`, `super` and `self` resolved, so that it starts at the crate's root.
pub struct Found {
    pub path: Vec<String>,
    pub line: usize,
}

/// Every path in `source`, the file of `module`, that begins with `crate`, `super` or `self`.
pub fn paths_of(source: &str, module: &[String]) -> Vec<Found> {
    let mut reader = Reader { tokens: tokens(source), at: 0, found: Vec::new() };
    reader.read(module);
    reader.found
}

#[derive(PartialEq)]
enum Token {
    Word(String),
    /// `::`
    Step,
    Other(char),
}

struct Reader {
    tokens: Vec<(Token, usize)>,
    at: usize,
    found: Vec<Found>,
}

impl Reader {
    fn read(&mut self, file: &[String]) {
        // One entry for each open brace: whether it opened an inline module.
        let mut braces: Vec<bool> = Vec::new();
        let mut module = file.to_vec();
        while self.at < self.tokens.len() {
            if let Some(name) = self.inline_module() {
                module.push(name);
                braces.push(true);
                self.at += 3;
            } else if self.starts_path() {
                let line = self.tokens[self.at].1;
                self.path(module.clone(), true, line);
            } else {
                match self.token(0) {
                    Some(Token::Other('{')) => braces.push(false),
                    Some(Token::Other('}')) if braces.pop() == Some(true) => {
                        module.pop();
                    }
                    _ => {}
                }
                self.at += 1;
            }
        }
    }

    fn token(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead).map(|(token, _)| token)
    }

    fn word(&self, ahead: usize) -> Option<&str> {
        match self.token(ahead) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    /// `mod name {`
    fn inline_module(&self) -> Option<String> {
        let is_module = self.word(0) == Some("mod") && self.token(2) == Some(&Token::Other('{'));
        is_module.then(|| self.word(1).map(String::from))?
    }

    fn starts_path(&self) -> bool {
        // `pub(in crate::x)` says who may look in, not what is looked at.
        let before = self.at.checked_sub(1).map(|at| &self.tokens[at].0);
        let continues = before == Some(&Token::Step);
        let visibility = matches!(before, Some(Token::Word(word)) if word == "in")
            && self.at >= 2
            && self.tokens[self.at - 2].0 == Token::Other('(');
        matches!(self.word(0), Some("crate" | "super" | "self"))
            && self.token(1) == Some(&Token::Step)
            && !continues
            && !visibility
    }

    /// Reads one path, or the tree of paths that its braces hold; `base` is what it is relative to.
    fn path(&mut self, mut base: Vec<String>, mut first: bool, line: usize) {
        loop {
            match self.token(0) {
                Some(Token::Word(word)) => {
                    match word.as_str() {
                        "crate" if first => base.clear(),
                        "super" => {
                            base.pop();
                        }
                        "self" => {}
                        _ => base.push(word.clone()),
                    }
                    self.at += 1;
                }
                Some(Token::Other('{')) => return self.group(&base),
                // A glob takes from where it stands; `::<` are a call's type arguments.
                _ => break,
            }
            if self.token(0) != Some(&Token::Step) {
                break;
            }
            self.at += 1;
            first = false;
        }
        self.found.push(Found { path: base, line });
    }

    fn group(&mut self, base: &[String]) {
        self.at += 1;
        while let Some((token, line)) = self.tokens.get(self.at) {
            let line = *line;
            match token {
                Token::Other('}') => {
                    self.at += 1;
                    return;
                }
                // `name as other`: the other name leads to the same place.
                Token::Word(word) if word == "as" => self.at += 2,
                Token::Word(_) | Token::Other('*' | '{') => {
                    let star = *token == Token::Other('*');
                    self.path(base.to_vec(), false, line);
                    self.at += usize::from(star);
                }
                _ => self.at += 1,
            }
        }
    }
}

fn tokens(source: &str) -> Vec<(Token, usize)> {
    let text: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let rest = &text[at..];
        let (token, length) = next(rest);
        tokens.extend(token.map(|token| (token, line)));
        let length = length.min(rest.len());
        line += rest[..length].iter().filter(|&&c| c == '\n').count();
        at += length;
    }
    tokens
}

/// The token at the start of `rest`, none for space, comments and literals, and its length.
fn next(rest: &[char]) -> (Option<Token>, usize) {
    match rest {
        ['/', '/', ..] => (None, until(rest, '\n')),
        ['/', '*', ..] => (None, comment(rest)),
        ['"', ..] => (None, string(rest)),
        ['b' | 'c', '"', ..] => (None, 1 + string(&rest[1..])),
        ['\'', '\\', ..] => (None, 2 + 1 + until(&rest[3.min(rest.len())..], '\'') + 1),
        ['\'', _, '\'', ..] => (None, 3),
        [':', ':', ..] => (Some(Token::Step), 2),
        _ if raw_string(rest).is_some() => (None, raw_string(rest).unwrap_or(1)),
        [c, ..] if c.is_alphanumeric() || *c == '_' => {
            let length = rest.iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
            (Some(Token::Word(rest[..length].iter().collect())), length)
        }
        [c, ..] if c.is_whitespace() => (None, 1),
        [c, ..] => (Some(Token::Other(*c)), 1),
        [] => (None, 1),
    }
}

fn until(rest: &[char], end: char) -> usize {
    rest.iter().position(|&c| c == end).unwrap_or(rest.len())
}

/// Block comments nest.
fn comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != '"' {
        at += if rest[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(rest.len())
}

/// `r"…"`, `r#"…"#`, `br"…"`: its length, if one starts here.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = match rest {
        ['r', ..] => 1,
        ['b' | 'c', 'r', ..] => 2,
        _ => return None,
    };
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + hashes;
    (rest.get(open) == Some(&'"')).then_some(())?;
    let closing: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[open + 1..];
    let end = body.windows(closing.len()).position(|window| window == closing).unwrap_or(body.len());
    Some((open + 1 + end + closing.len()).min(rest.len()))
}
