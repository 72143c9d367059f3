//! Our own voice coming back: words that equal what we were just saying are not the callee's.

use super::words::Lexicon;

/// Whether `heard` is an echo of `said` (our words around that moment, in order). Two words or more are one when three quarters of
/// them stand in ours in the same order. A single word only if it can be no answer, no digit, and stops nobody: better to hear an
/// echo than to miss a `yes`.
pub(super) fn is_echo(lexicon: &Lexicon, heard: &[String], said: &[String]) -> bool {
    match heard {
        [] => false,
        [word] => {
            said.contains(word)
                && !lexicon.is_answer(heard)
                && !lexicon.has_stop(heard)
                && lexicon.count_digits(heard) == 0
        }
        _ => {
            let common = common_in_order(heard, said);
            common >= 2 && common * 4 >= heard.len() * 3
        }
    }
}

/// Length of the longest common subsequence, where words of `said` between two common ones are at most three: an echo loses words,
/// it does not gather them from all over.
fn common_in_order(heard: &[String], said: &[String]) -> usize {
    const GAP_MAX: usize = 3;
    let mut best = 0;
    // best_ending[h][s]: the longest that ends with heard[h] matched to said[s].
    let mut ending = vec![vec![0_usize; said.len()]; heard.len()];
    for h in 0..heard.len() {
        for s in 0..said.len() {
            if heard[h] != said[s] {
                continue;
            }
            let mut longest = 0;
            for row in ending.iter().take(h) {
                for cell in &row[s.saturating_sub(GAP_MAX + 1)..s] {
                    longest = longest.max(*cell);
                }
            }
            ending[h][s] = longest + 1;
            best = best.max(longest + 1);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::super::words::tokens;
    use super::*;
    use crate::language::Language;

    #[test]
    fn an_echo_is_told_from_an_answer() {
        let said = "Would you like to keep your appointment on Friday at three? Please say yes or no.";
        let rows = [
            ("your appointment on Friday", true),
            ("like keep your appointment", true),
            ("appointment", true),
            ("Would you like two keep your appointment", true),
            ("yes", false),
            ("no", false),
            ("wait", false),
            ("to", true),
            ("three", false),
            ("Thursday", false),
            ("yes Friday is fine", false),
            ("on Monday at four", false),
            ("please no your would", false),
            ("", false),
        ];
        for (heard, expected) in rows {
            let echo = is_echo(Lexicon::of(&Language::english()), &tokens(heard), &tokens(said));
            assert_eq!(echo, expected, "{heard:?}");
        }
    }
}
