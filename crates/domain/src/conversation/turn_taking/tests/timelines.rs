//! Conversations as timelines. `<` happens, `>` is asked for; times in milliseconds since the answer.

use super::stage::check;

#[test]
fn a_question_an_answer_a_goodbye() {
    check(
        "0    < answered
         0    > speak first []
         20   < say yes-no 2000 Will you come on Friday?
         3000 < voice
         3000 > begin 1 pre-roll 240
         3400 < still
         3600 > end 1
         3620 < final 1 Yeah.
         3660 > turn [Yeah.] Answer
         3700 < say goodbye 1000 Goodbye!
         5100 > hang up Goodbye",
    );
}

#[test]
fn yes_and_yeah_wait_equally_long() {
    for answer in ["Yes.", "Yeah.", "Yep", "Uh-huh.", "No.", "Nope"] {
        check(&format!(
            "0    < answered
             0    > speak first []
             20   < say yes-no 2000 Will you come on Friday?
             3000 < voice
             3000 > begin 1 pre-roll 240
             3400 < still
             3600 > end 1
             3620 < final 1 {answer}
             3660 > turn [{answer}] Answer"
        ));
    }
}
