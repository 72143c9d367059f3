//! Text as it can be spoken: without markup and pictures.

/// The text without Markdown, tags and emoji, its white space made single spaces.
pub fn plain_text(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let line = strip_line_markup(line.trim());
        if !line
            .chars()
            .all(|c| matches!(c, '-' | '*' | '_' | '=' | '|' | ':' | ' '))
        {
            lines.push(strip_inline_markup(line));
        }
    }
    let mut plain = String::new();
    for word in lines.iter().flat_map(|line| line.split_whitespace()) {
        // Punctuation that lost its word joins the one before.
        let lone = word.chars().all(|c| matches!(c, ',' | '.' | '!' | '?' | ';' | ':'));
        if !plain.is_empty() && !lone {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    plain
}

/// Headings, quotes, list marks and fences at the start of a line.
fn strip_line_markup(line: &str) -> &str {
    let line = if line.starts_with("```") { "" } else { line };
    let line = line.trim_start_matches('>').trim_start();
    let heading = line.trim_start_matches('#');
    let line = if heading.starts_with(' ') {
        heading.trim_start()
    } else {
        line
    };
    for mark in ["- ", "* ", "+ ", "• ", "– "] {
        if let Some(item) = line.strip_prefix(mark) {
            return item.trim_start().trim_start_matches("[ ] ").trim_start_matches("[x] ");
        }
    }
    line
}

fn strip_inline_markup(line: &str) -> String {
    let chars: Vec<char> = line.chars().collect();
    let mut plain = String::with_capacity(line.len());
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        let before = at.checked_sub(1).and_then(|i| chars.get(i)).copied();
        let after = chars.get(at + 1).copied();
        match c {
            '!' if after == Some('[') => {
                at = skip_image(&chars, at + 1).unwrap_or(at + 1);
                continue;
            }
            '[' => {
                if let Some((label, next)) = link(&chars, at) {
                    plain.push_str(&strip_inline_markup(&label));
                    at = next;
                    continue;
                }
            }
            '<' => {
                if let Some(next) = tag(&chars, at) {
                    at = next;
                    continue;
                }
                plain.push(c);
            }
            '*' | '~' => {
                let figures = |c: Option<char>| c.is_some_and(char::is_numeric);
                if c == '*' && figures(before) && figures(after) {
                    plain.push_str(" times ");
                }
            }
            '_' => {
                let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
                if word(before) && word(after) {
                    plain.push(c);
                }
            }
            '`' | '|' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{20e3}' => {
                if c == '|' {
                    plain.push(' ');
                }
            }
            _ if is_picture(c) => plain.push(' '),
            _ => plain.push(c),
        }
        at += 1;
    }
    plain
}

/// `[label](target)`: the label, and where the text goes on.
fn link(chars: &[char], open: usize) -> Option<(String, usize)> {
    let close = open + chars[open..].iter().position(|c| *c == ']')?;
    if chars.get(close + 1) != Some(&'(') {
        return None;
    }
    let end = close + chars[close..].iter().position(|c| *c == ')')?;
    Some((chars[open + 1..close].iter().collect(), end + 1))
}

fn skip_image(chars: &[char], open: usize) -> Option<usize> {
    link(chars, open).map(|(_, next)| next)
}

/// `<b>`, `</speak>`, `<br/>`: where the text goes on. `a < b` is no tag.
fn tag(chars: &[char], open: usize) -> Option<usize> {
    let first = *chars.get(open + 1)?;
    if !(first.is_ascii_alphabetic() || first == '/') {
        return None;
    }
    let length = chars[open..].iter().take(80).position(|c| *c == '>')?;
    Some(open + length + 1)
}

fn is_picture(c: char) -> bool {
    matches!(
        u32::from(c),
        0x1F000..=0x1FAFF | 0x2190..=0x21FF | 0x2300..=0x23FF | 0x2500..=0x27BF | 0x2B00..=0x2BFF | 0xE0020..=0xE007F
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn markup_and_pictures_are_not_spoken() {
        let rows = [
            ("plain words", "plain words"),
            ("**Great!** You are *booked*.", "Great! You are booked."),
            (
                "# Your booking\n\n- Friday\n- three o'clock",
                "Your booking Friday three o'clock",
            ),
            ("See [our page](https://example.com/a_b) please", "See our page please"),
            ("![logo](x.png) Hello", "Hello"),
            (
                "Use `code` and snake_case and _emphasis_",
                "Use code and snake_case and emphasis",
            ),
            ("Done ✅ 🎉!", "Done!"),
            ("Thumbs 👍🏽 up", "Thumbs up"),
            ("5 < 6 and <b>bold</b><br/>", "5 < 6 and bold"),
            ("3*4 is 12", "3 times 4 is 12"),
            ("```json\n{}\n```", "{}"),
            ("| a | b |\n|---|---|\n| c | d |", "a b c d"),
            ("> quoted\n---\nafter", "quoted after"),
            ("#1 choice", "#1 choice"),
            ("[not a link] here", "not a link] here"),
            ("", ""),
        ];
        for (text, expected) in rows {
            assert_eq!(plain_text(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_plain_words_are_kept(text in "\\PC{0,120}", words in "[a-z]{1,8}( [a-z]{1,8}){0,8}") {
            plain_text(&text);
            prop_assert_eq!(plain_text(&words), words);
        }
    }
}
