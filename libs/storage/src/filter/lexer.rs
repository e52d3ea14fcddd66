//! Cuts a filter's text into tokens.

use super::{FilterError, Op};

/// A token and where it starts, in characters from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) position: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name, a number or an unquoted word; dots belong to it.
    Word(String),
    /// Quoted text.
    Text(String),
    /// A comparison.
    Op(Op),
}

pub(super) fn tokens(source: &str) -> Result<Vec<Token>, FilterError> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let position = at + 1;
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let (kind, length) = if c == '"' || c == '\'' {
            quoted(&chars[at..], position)?
        } else if let Some((op, length)) = comparison(c, chars.get(at + 1).copied()) {
            (TokenKind::Op(op), length)
        } else if is_word(c) {
            let word: String = chars[at..].iter().take_while(|c| is_word(**c)).collect();
            let length = word.chars().count();
            (TokenKind::Word(word), length)
        } else {
            return Err(FilterError {
                message: format!("{c:?} does not belong in a filter"),
                position,
            });
        };
        tokens.push(Token { kind, position });
        at += length;
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '/')
}

fn comparison(c: char, next: Option<char>) -> Option<(Op, usize)> {
    Some(match (c, next) {
        ('!', Some('=')) => (Op::Ne, 2),
        ('<', Some('=')) => (Op::Le, 2),
        ('>', Some('=')) => (Op::Ge, 2),
        ('<', _) => (Op::Lt, 1),
        ('>', _) => (Op::Gt, 1),
        ('=', _) => (Op::Eq, 1),
        (':', _) => (Op::Has, 1),
        _ => return None,
    })
}

/// Reads quoted text; `\` takes the next character as it is.
fn quoted(chars: &[char], position: usize) -> Result<(TokenKind, usize), FilterError> {
    let mark = chars[0];
    let mut text = String::new();
    let mut at = 1;
    while let Some(&c) = chars.get(at) {
        match c {
            '\\' => {
                at += 1;
                text.extend(chars.get(at));
            }
            c if c == mark => return Ok((TokenKind::Text(text), at + 1)),
            c => text.push(c),
        }
        at += 1;
    }
    Err(FilterError {
        message: "the quoted text is not closed".to_owned(),
        position,
    })
}
