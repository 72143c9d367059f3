//! Text as a recogniser writes it, cut into plain words: no case, no punctuation, no contractions, no "um".

/// The words of a text. `"I'm 25, it's $12.50 at 5pm"` is `i am 25 it is $ 12.50 at 5 pm`.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for piece in text.split_whitespace() {
        push_piece(piece, &mut words);
    }
    words
}

/// Sounds that mean nothing.
const FILLERS: &[&str] = &["um", "uh", "uhm", "er", "erm", "ah", "hmm", "mm", "eh", "umm", "uhh"];

fn push_piece(piece: &str, words: &mut Vec<String>) {
    let lower = piece.to_lowercase().replace(['’', '‘', '`'], "'");
    let trimmed = lower.trim_matches(|sign: char| !sign.is_alphanumeric() && !"$€£₹¥%".contains(sign));
    if trimmed.is_empty() {
        return;
    }
    match trimmed {
        "a.m" | "a.m." => return words.push("am".to_owned()),
        "p.m" | "p.m." => return words.push("pm".to_owned()),
        "o'clock" | "oclock" => return words.push("oclock".to_owned()),
        _ => {}
    }
    // A date in digits stays whole; everything else falls apart at dashes and slashes.
    if is_iso_date(trimmed) {
        return words.push(trimmed.to_owned());
    }
    for part in trimmed.split(['-', '/', '–', '—', '…', '_', '(', ')', '"', '+']) {
        push_part(part.trim_matches(|sign: char| ".,;:!?'".contains(sign)), words);
    }
}

fn is_iso_date(text: &str) -> bool {
    text.len() == 10 && text.as_bytes().get(4) == Some(&b'-') && text.parse::<jiff::civil::Date>().is_ok()
}

fn push_part(part: &str, words: &mut Vec<String>) {
    if part.is_empty() || FILLERS.contains(&part) {
        return;
    }
    if part.starts_with(|first: char| first.is_ascii_digit() || "$€£₹¥".contains(first)) {
        return push_number(part, words);
    }
    if let Some(expanded) = expand(part) {
        words.extend(expanded.split(' ').map(str::to_owned));
        return;
    }
    for piece in part.split(|sign: char| !sign.is_alphanumeric()) {
        if !piece.is_empty() {
            words.push(piece.to_owned());
        }
    }
}

/// `5pm` is `5 pm`, `1,250.50` is `1250.50`, `$3` is `$ 3`; `3rd` and `10:30` stay.
fn push_number(part: &str, words: &mut Vec<String>) {
    let mut rest = part;
    if let Some(sign) = rest.chars().next().filter(|sign| "$€£₹¥".contains(*sign)) {
        words.push(sign.to_string());
        rest = rest.get(sign.len_utf8()..).unwrap_or("");
    }
    let end = rest
        .find(|sign: char| !(sign.is_ascii_digit() || ".,:".contains(sign)))
        .unwrap_or(rest.len());
    let (number, unit) = rest.split_at(end);
    let number = number.trim_end_matches(['.', ',', ':']).replace(',', "");
    let unit = unit.trim_matches(|sign: char| !sign.is_alphanumeric() && !"%€£$₹¥".contains(sign));
    if matches!(unit, "st" | "nd" | "rd" | "th") {
        return words.push(format!("{number}{unit}"));
    }
    if !number.is_empty() {
        words.push(number);
    }
    match unit {
        "" => {}
        "a.m" => words.push("am".to_owned()),
        "p.m" => words.push("pm".to_owned()),
        unit if unit.starts_with(|first: char| first.is_ascii_digit()) => push_number(unit, words),
        unit => words.push(unit.to_owned()),
    }
}

fn expand(word: &str) -> Option<String> {
    let whole = match word {
        "won't" | "wont" => "will not",
        "can't" | "cant" | "cannot" => "can not",
        "shan't" => "shall not",
        "ain't" | "aint" => "is not",
        "dont" => "do not",
        "doesnt" => "does not",
        "didnt" => "did not",
        "isnt" => "is not",
        "wasnt" => "was not",
        "im" => "i am",
        "ive" => "i have",
        "youve" => "you have",
        "thats" => "that is",
        "whos" => "who is",
        "whats" => "what is",
        "let's" | "lets" => "let us",
        "y'all" => "you all",
        "ma'am" => "madam",
        "gonna" => "going to",
        "wanna" => "want to",
        "gotta" => "got to",
        "gimme" => "give me",
        "lemme" => "let me",
        "okay" | "okey" => "ok",
        "anymore" => "any more",
        "goodbye" | "goodby" => "goodbye",
        "c'mon" => "come on",
        _ => "",
    };
    if !whole.is_empty() {
        return Some(whole.to_owned());
    }
    let (stem, ending) = word.split_once('\'')?;
    let ending = match ending {
        "t" => return stem.strip_suffix('n').map(|stem| format!("{stem} not")),
        "m" => "am",
        "re" => "are",
        "ve" => "have",
        "ll" => "will",
        "d" => "would",
        // "What's" is a verb; "John's" mostly is not, but nothing here goes by possessions.
        "s" => "is",
        _ => return None,
    };
    Some(format!("{stem} {ending}"))
}

/// Where `needle` stands in `words`, first occurrence.
pub(super) fn find(words: &[String], needle: &[&str]) -> Option<usize> {
    if needle.is_empty() || words.len() < needle.len() {
        return None;
    }
    (0..=words.len() - needle.len()).find(|start| {
        words
            .iter()
            .skip(*start)
            .zip(needle)
            .all(|(word, wanted)| word == wanted)
    })
}

/// Whether the words of `phrase` (parted by spaces) follow each other in `words`.
pub(super) fn has(words: &[String], phrase: &str) -> bool {
    let needle: Vec<&str> = phrase.split(' ').collect();
    find(words, &needle).is_some()
}

/// What follows the last sign that somebody corrects himself ("no wait", "I mean", "sorry"), and what came before it.
pub(super) fn corrected(words: &[String]) -> Option<(&[String], &[String])> {
    const MARKERS: &[&str] = &[
        "no wait",
        "wait no",
        "no no",
        "i mean",
        "i meant",
        "or rather",
        "make that",
        "make it",
        "scratch that",
        "correction",
        "no actually",
        "actually no",
        "actually",
        "sorry i meant",
        "no sorry",
        "sorry no",
        "sorry",
        "wait",
        "no it is",
        "not that",
        "i take that back",
        "on second thought",
        "on second thoughts",
    ];
    let mut best: Option<(usize, usize)> = None;
    for marker in MARKERS {
        let needle: Vec<&str> = marker.split(' ').collect();
        for start in 0..words.len() {
            let Some(rest) = words.get(start..) else { continue };
            let matches = rest.len() >= needle.len() && rest.iter().zip(&needle).all(|(word, wanted)| word == wanted);
            let end = start + needle.len();
            // A correction that says nothing more corrects nothing yet.
            let says_more = end < words.len();
            if matches && says_more && best.is_none_or(|(_, best_end)| end > best_end) {
                best = Some((start, end));
            }
        }
    }
    let (start, end) = best?;
    Some((words.get(..start)?, words.get(end..)?))
}

/// Whether what begins at `at` is denied: "not Tuesday", "not on Tuesday".
pub(super) fn denied(words: &[String], at: usize) -> bool {
    let word = |back: usize| {
        at.checked_sub(back)
            .and_then(|at| words.get(at))
            .map_or("", String::as_str)
    };
    word(1) == "not" || (matches!(word(1), "on" | "at" | "the" | "in") && word(2) == "not")
}

/// Edits (insertions, deletions, replacements, swaps of neighbours) between two words.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let width = b.len() + 1;
    let mut table = vec![0usize; (a.len() + 1) * width];
    let at = |row: usize, column: usize| row * width + column;
    for row in 0..=a.len() {
        for column in 0..width {
            table[at(row, column)] = if row == 0 {
                column
            } else if column == 0 {
                row
            } else {
                let same = usize::from(a[row - 1] != b[column - 1]);
                let mut least = (table[at(row - 1, column - 1)] + same)
                    .min(table[at(row - 1, column)] + 1)
                    .min(table[at(row, column - 1)] + 1);
                if row > 1 && column > 1 && a[row - 1] == b[column - 2] && a[row - 2] == b[column - 1] {
                    least = least.min(table[at(row - 2, column - 2)] + 1);
                }
                least
            }
        }
    }
    table[at(a.len(), b.len())]
}

/// How a word sounds, roughly: words that recognisers mistake for each other share it.
pub(super) fn sound(word: &str) -> String {
    let mut key = String::new();
    let chars: Vec<char> = word.chars().filter(|sign| sign.is_ascii_alphabetic()).collect();
    let mut index = 0;
    while let Some(&sign) = chars.get(index) {
        let next = chars.get(index + 1).copied();
        let (code, step) = match (sign, next) {
            ('p', Some('h')) => ('f', 2),
            ('g', Some('h')) => ('-', 2),
            ('c', Some('k')) => ('k', 2),
            ('k', Some('n')) if index == 0 => ('n', 2),
            ('w', Some('r')) if index == 0 => ('r', 2),
            ('s' | 'c', Some('h')) => ('x', 2),
            ('t', Some('h')) => ('t', 2),
            ('w', Some('h')) => ('w', 2),
            ('c', Some('e' | 'i' | 'y')) => ('s', 1),
            ('c' | 'q' | 'k', _) => ('k', 1),
            ('g', Some('e' | 'i' | 'y')) | ('j', _) => ('j', 1),
            ('z' | 's', _) => ('s', 1),
            ('d' | 't', _) => ('t', 1),
            ('b' | 'p', _) => ('p', 1),
            ('v' | 'f', _) => ('f', 1),
            ('m' | 'n', _) => ('n', 1),
            ('a' | 'e' | 'i' | 'o' | 'u' | 'y' | 'h' | 'w', _) => ('-', 1),
            (other, _) => (other, 1),
        };
        let keep = code != '-' || index == 0;
        if keep && !key.ends_with(code) {
            key.push(if code == '-' { 'a' } else { code });
        }
        index += step;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_falls_into_plain_words() {
        let rows = [
            ("I'm 25, it's $12.50 at 5pm.", "i am 25 it is $ 12.50 at 5 pm"),
            ("Don't, won't, can't!", "do not will not can not"),
            ("twenty-five; um, er", "twenty five"),
            ("4-2-7-0", "4 2 7 0"),
            ("the 3rd at 10:30 a.m.", "the 3rd at 10:30 am"),
            ("1,250.50 dollars", "1250.50 dollars"),
            ("2026-03-03", "2026-03-03"),
            ("…?!", ""),
            ("", ""),
            ("What's that you’ve got", "what is that you have got"),
        ];
        for (text, expected) in rows {
            assert_eq!(words(text).join(" "), expected, "{text:?}");
        }
    }

    #[test]
    fn a_correction_parts_what_was_said_first_from_what_counts() {
        let heard = words("yes no wait no");
        let (before, after) = corrected(&heard).expect("corrected");
        assert_eq!((before.join(" "), after.join(" ")), ("yes".to_owned(), "no".to_owned()));
        assert_eq!(corrected(&words("yes please")), None);
    }

    #[test]
    fn distances_and_sounds() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("kitten", "sitting", 3),
            ("a", "", 1),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
        for (a, b) in [
            ("leeds", "leads"),
            ("basic", "basik"),
            ("phone", "fone"),
            ("knight", "night"),
            ("check", "cheque"),
        ] {
            assert_eq!(sound(a), sound(b), "{a} {b}");
        }
        assert_ne!(sound("monday"), sound("friday"));
    }
}
