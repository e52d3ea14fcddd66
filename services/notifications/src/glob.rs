//! Patterns of names. Pure.

/// Whether a text fits a pattern: `*` stands for any characters, `?` for one.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut in_text) = (0, 0);
    // Where to go on when what follows the last star does not fit.
    let mut star = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(c) if *c == '?' || *c == text[in_text] => {
                at += 1;
                in_text += 1;
            }
            _ => match star {
                None => return false,
                Some((of_pattern, of_text)) => {
                    star = Some((of_pattern, of_text + 1));
                    at = of_pattern + 1;
                    in_text = of_text + 1;
                }
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_what_they_should() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("*_load_*", "x_load_y_load_z", true),
            ("?", "ü", true),
            ("?", "", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
        // A pattern of stars is no work without end.
        assert!(!glob(&"*a".repeat(50), &"a".repeat(49)));
    }
}
