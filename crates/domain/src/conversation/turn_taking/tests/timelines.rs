//! Conversations as timelines. `<` happens, `>` is asked for; times in milliseconds since the answer.

use super::stage::{check, check_with, plain_settings};
use crate::conversation::FirstSpeaker;

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

#[test]
fn digits_in_groups_are_not_cut() {
    check(
        "0    < answered
         0    > speak first []
         20   < say digits-6-6 1000 Your code, please?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         3300 < final 1 One two three.
         4500 < voice
         4500 > begin 2 pre-roll 240
         5500 < still
         5700 > end 2
         5740 < final 2 four five six
         5760 > turn [One two three. four five six] Digits",
    );
}

#[test]
fn digits_that_never_come_to_their_number_are_handed_over() {
    check(
        "0    < answered
         0    > speak first []
         20   < say digits-6-6 1000 Your code, please?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         3300 < final 1 One two three.
         5500 > turn [One two three.] Digits",
    );
}

#[test]
fn the_judge_shortens_and_lengthens_the_wait() {
    let mut settings = plain_settings();
    settings.end_of_turn.has_judge = true;
    for (probability, over_at) in [("0.95", 4_260), ("0.6", 4_740), ("0.1", 5_200)] {
        check_with(
            settings.clone(),
            &format!(
                "0    < answered
                 0    > speak first []
                 20   < say open 1000 How can I help?
                 2000 < voice
                 2000 > begin 1 pre-roll 240
                 4000 < still
                 4200 > end 1
                 4200 > judge 1?
                 4240 < judge 1 {probability}
                 4260 < final 1 I want to book a table for two.
                 {over_at} > turn [I want to book a table for two.] Judge"
            ),
        );
    }
}

#[test]
fn the_judge_alone_ends_nothing() {
    let mut settings = plain_settings();
    settings.end_of_turn.has_judge = true;
    check_with(
        settings,
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         4000 < still
         4200 > end 1
         4200 > judge 1?
         4240 < judge 1 0.99
         4300 < final 1 I want a table and
         5500 > turn [I want a table and] Trailing",
    );
}

#[test]
fn what_the_judge_said_of_an_earlier_pause_counts_no_more() {
    let mut settings = plain_settings();
    settings.end_of_turn.has_judge = true;
    check_with(
        settings,
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         3200 > judge 1?
         3220 < voice
         3220 > begin 2 pre-roll 240
         3240 < judge 1 0.99
         3300 < final 1 I would
         3800 < still
         4000 > end 2
         4000 > judge 2?
         4100 < final 2 change my booking.
         4120 < judge 2 0.2
         5000 > turn [I would change my booking.] Judge",
    );
}

#[test]
fn a_recogniser_that_is_late_is_waited_for_and_not_for_ever() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         4700 > turn [] Words Late
         4800 < final 1 A table please.",
    );
    check(
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         3300 < failed 1
         3900 > turn [] Words Failed",
    );
}

#[test]
fn a_late_recogniser_still_completes_the_transcript() {
    let stage = check(
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         4700 > turn [] Words Late
         4800 < final 1 A table please.
         4900 < ended",
    );
    assert_eq!(
        stage.turns.transcript().as_dialogue(),
        "agent: How can I help?\ncallee: A table please.\n"
    );
}

#[test]
fn a_click_is_no_utterance_and_a_cough_no_turn() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         2080 < still
         2280 > discard 1
         3000 < voice
         3000 > begin 2 pre-roll 240
         3300 < still
         3500 > end 2
         3600 < final 2
         7020 < tick",
    );
}

#[test]
fn keys_end_a_turn_by_their_number() {
    check(
        "0    < answered
         0    > speak first []
         20   < say digits-4-4 2000 Your code, please?
         1000 < key 1
         1000 > stop
         1000 > interrupted [Your code,|please?]
         1200 < key 2
         1400 < key 3
         1600 < key 4
         1600 > turn [] Keys keys 1234",
    );
}

#[test]
fn words_stop_us_and_the_transcript_keeps_what_was_heard() {
    let stage = check(
        "0    < answered
         0    > speak first []
         20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
         3000 < voice
         3000 > begin 1 pre-roll 240
         3000 > duck
         3340 < partial 1 no the
         3340 > stop
         3340 > unduck
         3340 > interrupted [We have rooms with a view of the sea and|rooms with a view of the garden.]
         4000 < still
         4200 > end 1
         4300 < final 1 No, the garden please.
         4600 > turn [No, the garden please.] Words
         4700 < ended",
    );
    let entries = stage.turns.transcript().entries();
    assert_eq!(entries[0].unheard_text.as_str(), "rooms with a view of the garden.");
    assert_eq!(entries[1].text.as_str(), "No, the garden please.");
}

#[test]
fn one_word_that_says_stop_is_enough() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
         3000 < voice
         3000 > begin 1 pre-roll 240
         3000 > duck
         3200 < partial 1 Wait
         3200 > stop
         3200 > unduck
         3200 > interrupted [We have rooms with a view of the sea and|rooms with a view of the garden.]",
    );
}

#[test]
fn a_backchannel_only_ducks_us() {
    for said in ["Mhm.", "Okay.", "Yeah.", ""] {
        check(&format!(
            "0    < answered
             0    > speak first []
             20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
             3000 < voice
             3000 > begin 1 pre-roll 240
             3000 > duck
             3400 < still
             3600 > end 1
             3700 < final 1 {said}
             3700 > unduck
             6020 < tick"
        ));
    }
}

#[test]
fn a_long_voice_stops_us_and_nothing_lets_us_go_on_at_the_cut_word() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
         3000 < voice
         3000 > begin 1 pre-roll 240
         3000 > duck
         4200 > stop
         4400 < still
         4600 > end 1
         4700 < final 1 Mhm.
         4700 > resume 1 at 4144
         4700 > unduck
         6020 < tick",
    );
}

#[test]
fn our_own_echo_is_nobody() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
         3000 < voice
         3000 > begin 1 pre-roll 240
         3000 > duck
         3400 < partial 1 view of the sea
         3900 < still
         4100 > end 1
         4200 < final 1 with a view of the sea and
         4200 > unduck
         6020 < tick",
    );
}

#[test]
fn what_must_be_heard_is_only_ducked_and_the_words_wait() {
    check(
        "0    < answered
         0    > speak first []
         20   < insist yes-no 4000 This call is recorded. Is that all right with you?
         2700 < voice
         2700 > begin 1 pre-roll 240
         2700 > duck
         3300 < still
         3500 > end 1
         3600 < final 1 Who is this?
         3600 > unduck
         4020 > turn [Who is this?] Words",
    );
}

#[test]
fn an_answer_into_the_end_of_our_question_is_an_answer() {
    check(
        "0    < answered
         0    > speak first []
         20   < say yes-no 3000 Will you come on Friday?
         2600 < voice
         2600 > begin 1 pre-roll 240
         2600 > duck
         2900 < still
         3020 > unduck
         3100 > end 1
         3200 < final 1 Yeah.
         3200 > turn [Yeah.] Answer",
    );
}

#[test]
fn a_yes_in_the_middle_of_our_question_counts_when_nothing_else_is_said() {
    check(
        "0    < answered
         0    > speak first []
         20   < say yes-no 4000 Will you come on Friday with all of your children?
         1500 < voice
         1500 > begin 1 pre-roll 240
         1500 > duck
         1800 < still
         2000 > end 1
         2100 < final 1 Yes.
         2100 > unduck
         5220 > turn [Yes.] Answer",
    );
}

#[test]
fn hello_into_our_first_words_does_not_stop_us() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 4000 Good morning, this is the clinic calling about your appointment.
         400  < voice
         400  > begin 1 pre-roll 240
         400  > duck
         700  < partial 1 Hello?
         800  < still
         1000 > end 1
         1100 < final 1 Hello?
         1100 > unduck",
    );
}

#[test]
fn later_hello_means_that_nobody_hears_us() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
         3000 < voice
         3000 > begin 1 pre-roll 240
         3000 > duck
         3200 < partial 1 Hello?
         3200 > stop
         3200 > unduck
         3200 > interrupted [We have rooms with a view of the sea and|rooms with a view of the garden.]",
    );
}

#[test]
fn the_callee_goes_on_before_a_word_of_the_reply_was_heard() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         3300 < final 1 I want a table.
         3600 > turn [I want a table.] Words
         3700 < voice
         3700 > begin 2 pre-roll 240
         3800 < say open 2000 For how many people?
         3800 > stop
         4100 < partial 2 for two
         4100 > interrupted [|For how many people?]
         4500 < still
         4700 > end 2
         4800 < final 2 for two people.
         5100 > turn [I want a table. for two people.] Words adds [for two people.]",
    );
}

#[test]
fn a_cough_while_the_brain_thinks_costs_nothing() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 1000 How can I help?
         2000 < voice
         2000 > begin 1 pre-roll 240
         3000 < still
         3200 > end 1
         3300 < final 1 I want a table.
         3600 > turn [I want a table.] Words
         3700 < voice
         3700 > begin 2 pre-roll 240
         3800 < say open 2000 For how many people?
         3800 > stop
         3900 < still
         4100 > end 2
         4200 < final 2
         4200 > resume 2 at 0",
    );
}

#[test]
fn silence_is_asked_about_twice_then_given_up() {
    check(
        "0     < answered
         0     > speak first []
         20    < say yes-no 980 Are you there?
         7000  > reprompt 1
         7020  < say yes-no 980 Are you there?
         14000 > reprompt 2
         14020 < say yes-no 980 Are you there?
         21000 > give up
         21020 < say goodbye 980 I will call again. Goodbye.
         22400 > hang up GaveUp",
    );
}

#[test]
fn noise_without_words_puts_silence_off_but_not_for_ever() {
    check(
        "0     < answered
         0     > speak first []
         20    < say yes-no 980 Are you there?
         3000  < voice
         3000  > begin 1 pre-roll 240
         12000 > reprompt 1",
    );
}

#[test]
fn a_brain_that_is_late_is_covered_and_then_replaced() {
    check(
        "0     < answered
         0     > speak first []
         20    < say yes-no 980 Are you there?
         2000  < voice
         2000  > begin 1 pre-roll 240
         2400  < still
         2600  > end 1
         2700  < final 1 Yes.
         2700  > turn [Yes.] Answer
         4500  > nudge Filler
         4520  < say more 980 One moment.
         13500 > nudge BrainLate
         13520 < say open 980 I am sorry, something went wrong. How can I help?",
    );
}

#[test]
fn a_brain_that_never_speaks_cannot_keep_the_line() {
    check(
        "0     < answered
         0     > speak first []
         8000  > nudge BrainLate
         16000 > nudge BrainLate
         24000 > hang up Stuck",
    );
}

#[test]
fn words_that_make_no_sound_are_noticed() {
    check(
        "0     < answered
         0     > speak first []
         10    < mute
         20    < say yes-no 980 Are you there?
         4020  > stop
         4020  > interrupted [|Are you there?]
         4020  > nudge NoVoice",
    );
}

#[test]
fn the_longest_call_is_announced_and_then_ended() {
    let mut settings = plain_settings();
    settings.limits.call_max_ms = 50_000;
    check_with(
        settings,
        "0     < answered
         0     > speak first []
         20    < say open 24000 A very long story.
         25000 > wrap up, 25000 left
         25020 < insist goodbye 26000 And now goodbye for a very long time.
         50000 > hang up TooLong",
    );
}

#[test]
fn the_callee_answers_the_telephone_before_we_speak() {
    let mut settings = plain_settings();
    settings.first_speaker = FirstSpeaker::AgentAfterGreeting { silence_ms: 1_500 };
    check_with(
        settings.clone(),
        "0     < answered
         500   < voice
         500   > begin 1 pre-roll 240
         900   < still
         1100  > end 1
         1200  < final 1 Hello?
         1300  > speak first [Hello?]",
    );
    check_with(
        settings.clone(),
        "0     < answered
         1500  > speak first []",
    );
    check_with(
        settings,
        "0     < answered
         500   < voice
         500   > begin 1 pre-roll 240
         4000  > speak first []",
    );
}

#[test]
fn a_greeting_that_goes_on_against_our_words_is_a_turn() {
    let mut settings = plain_settings();
    settings.first_speaker = FirstSpeaker::AgentAfterGreeting { silence_ms: 1_500 };
    check_with(
        settings,
        "0     < answered
         500   < voice
         500   > begin 1 pre-roll 240
         3500  < partial 1 Smith's bakery, how can I help
         4000  > speak first [Smith's bakery, how can I help]
         4020  < say open 9000 Good morning, this is the clinic calling about your appointment on Friday.
         4100  < partial 1 Smith's bakery, how can I help you please
         7000  < partial 1 Smith's bakery, how can I help you please can you hear me
         7000  > stop
         7000  > interrupted [Good morning, this is|the clinic calling about your appointment on Friday.]
         7200  < still
         7400  > end 1
         7500  < final 1 Smith's bakery, how can I help you please? Can you hear me?
         7800  > turn [Smith's bakery, how can I help you please? Can you hear me?] Words",
    );
}

#[test]
fn the_callee_may_speak_first() {
    let mut settings = plain_settings();
    settings.first_speaker = FirstSpeaker::Callee { silence_ms: 5_000 };
    check_with(
        settings.clone(),
        "0     < answered
         500   < voice
         500   > begin 1 pre-roll 240
         1400  < still
         1600  > end 1
         1700  < final 1 Hello, I would like a table.
         2000  > turn [Hello, I would like a table.] Words",
    );
    check_with(
        settings,
        "0     < answered
         5000  > speak first []",
    );
}

#[test]
fn who_was_cut_for_nothing_is_asked_again_soon() {
    check(
        "0    < answered
         0    > speak first []
         20   < say open 6000 We have rooms with a view of the sea and rooms with a view of the garden.
         3000 < voice
         3000 > begin 1 pre-roll 240
         3000 > duck
         3400 < partial 1 don't boil
         3400 > stop
         3400 > unduck
         3400 > interrupted [We have rooms with a view of the sea and|rooms with a view of the garden.]
         3500 < still
         3700 > end 1
         3800 < final 1
         5000 > reprompt 1",
    );
}

#[test]
fn a_monologue_is_handed_over_and_goes_on() {
    let mut settings = plain_settings();
    settings.end_of_turn.turn_max_ms = 20_000;
    check_with(
        settings,
        "0     < answered
         0     > speak first []
         20    < say open 980 How can I help?
         2000  < voice
         2000  > begin 1 pre-roll 240
         5000  < partial 1 It was a dark night.
         8000  < partial 1 It was a dark night. There were wolves.
         16000 > end 1
         16000 > begin 2 pre-roll 0
         16200 < final 1 It was a dark night. There were wolves.
         19000 < partial 2 And then
         22000 > end 2
         22000 > turn [It was a dark night. There were wolves. And then] TooLong Late
         22000 > begin 3 pre-roll 0",
    );
}

#[test]
fn an_apology_for_the_brain_cannot_be_kept_waiting_by_noise() {
    check(
        "0     < answered
         0     > speak first []
         20    < say yes-no 980 Are you there?
         2000  < voice
         2000  > begin 1 pre-roll 240
         2400  < still
         2600  > end 1
         2700  < final 1 Yes.
         2700  > turn [Yes.] Answer
         3000  < voice
         3000  > begin 2 pre-roll 240
         10700 > nudge BrainLate",
    );
}

#[test]
fn no_debug_form_tells_what_was_said() {
    let stage = check(
        "0    < answered
         0    > speak first []
         20   < say open 980 Your balance is nine dollars.
         2000 < voice
         2000 > begin 1 pre-roll 240
         2300 < partial 1 pelican",
    );
    let debug = format!("{:?} {:?}", stage.turns, stage.turns.transcript());
    assert!(!debug.contains("pelican") && !debug.contains("balance"), "{debug}");
}
