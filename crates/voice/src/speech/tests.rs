//! What a call's speech sends and tells, frame by frame.

use super::*;

const CODEC: Codec = Codec::Pcmu;

struct Bench {
    speech: Speech,
    notes: mpsc::Receiver<SpeechNote>,
    turn: u64,
}

impl Bench {
    fn new(room: usize) -> Self {
        let (sender, notes) = mpsc::channel(room);
        Self {
            speech: Speech::new(sender),
            notes,
            turn: 0,
        }
    }

    fn act(&mut self, action: SpeechAction) {
        self.speech.act(self.turn * 20_000, CODEC, action);
    }

    /// `frames` frames whose bytes count up, so that each place in a unit can be told.
    fn say(&mut self, unit: UnitNumber, frames: usize, more: bool) {
        let bytes: Vec<u8> = (0..frames * FRAME_SAMPLES)
            .map(|at| (at / FRAME_SAMPLES) as u8)
            .collect();
        self.act(SpeechAction::Say {
            unit,
            codec: CODEC,
            bytes: bytes.into(),
            more,
        });
    }

    fn frame(&mut self) -> Option<[u8; FRAME_SAMPLES]> {
        let mut frame = [g711::silence(CODEC); FRAME_SAMPLES];
        let sound = self.speech.render(self.turn * 20_000, CODEC, &mut frame);
        self.turn += 1;
        sound.then_some(frame)
    }

    /// The first byte of each of the next frames; `None` for silence.
    fn frames(&mut self, count: usize) -> Vec<Option<u8>> {
        (0..count).map(|_| self.frame().map(|frame| frame[0])).collect()
    }

    fn told(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Ok(note) = self.notes.try_recv() {
            told.push(match note {
                SpeechNote::Started { unit, at_us } => format!("{unit} started {}", at_us / 20_000),
                SpeechNote::Played { unit, samples, .. } => format!("{unit} played {}", samples / 160),
                SpeechNote::Finished { unit, samples, .. } => format!("{unit} finished {}", samples / 160),
                SpeechNote::Halted { unit, samples, .. } => {
                    format!("{} halted {}", unit.unwrap_or(0), samples / 160)
                }
                SpeechNote::Key { digit, .. } => format!("key {}", digit.as_char()),
            });
        }
        told
    }
}

#[test]
fn units_are_heard_one_after_another_and_tell_when() {
    let mut bench = Bench::new(64);
    bench.say(1, 2, false);
    bench.say(2, 1, false);
    assert_eq!(bench.frames(4), [Some(0), Some(1), Some(0), None]);
    assert_eq!(
        bench.told(),
        ["1 started 0", "1 finished 2", "2 started 2", "2 finished 1"]
    );
}

#[test]
fn a_unit_waits_for_its_next_piece_and_counts_that() {
    let mut bench = Bench::new(64);
    bench.say(1, 1, true);
    assert_eq!(bench.frames(3), [Some(0), None, None]);
    assert_eq!(bench.speech.starved, 2);
    bench.say(1, 2, false);
    assert_eq!(bench.frames(3), [Some(0), Some(1), None]);
    assert_eq!(bench.told(), ["1 started 0", "1 finished 3"]);
}

#[test]
fn pieces_of_odd_lengths_are_joined_without_a_gap() {
    let mut bench = Bench::new(64);
    for (byte, length) in [(1, 100), (2, 7), (3, 250)] {
        bench.act(SpeechAction::Say {
            unit: 1,
            codec: CODEC,
            bytes: vec![byte; length].into(),
            more: byte < 3,
        });
    }
    let frames: Vec<u8> = (0..3).filter_map(|_| bench.frame()).flatten().collect();
    let expected: Vec<u8> = [(1, 100), (2, 7), (3, 250)]
        .iter()
        .flat_map(|(byte, length)| vec![*byte; *length])
        .collect();
    assert_eq!(frames[..357], expected);
    assert!(frames[357..].iter().all(|byte| *byte == g711::silence(CODEC)));
}

#[test]
fn a_stop_fades_within_a_frame_tells_where_and_forgets_the_rest() {
    let mut bench = Bench::new(64);
    bench.say(1, 50, true);
    bench.say(2, 50, false);
    bench.frames(5);
    bench.act(SpeechAction::Stop);
    let faded = bench.frame().expect("one more frame");
    assert_eq!(faded[159], g711::silence(CODEC));
    assert_ne!(faded[0], g711::silence(CODEC));
    assert_eq!(bench.frames(2), [None, None]);
    assert_eq!(bench.told(), ["1 started 0", "1 halted 5"]);
    bench.say(2, 1, false);
    assert_eq!(
        bench.frames(1),
        [None],
        "what was stopped is not taken up by a late piece"
    );
    bench.say(3, 1, false);
    assert_eq!(bench.frames(2), [Some(0), None]);
}

#[test]
fn a_pause_goes_on_where_it_is_told_to() {
    let mut bench = Bench::new(64);
    bench.say(1, 20, false);
    bench.frames(8);
    bench.act(SpeechAction::Pause);
    bench.frames(3);
    assert_eq!(bench.told(), ["1 started 0", "1 played 6", "1 halted 8"]);
    bench.act(SpeechAction::ResumeFrom {
        unit: 1,
        sample: 6 * 160,
    });
    let frames: Vec<[u8; 160]> = (0..14).filter_map(|_| bench.frame()).collect();
    assert_eq!(frames.len(), 14, "from the seventh frame to the twentieth");
    assert_eq!(frames[1][0], 7, "at full loudness again after a frame");
    assert_eq!(bench.frames(1), [None]);
    assert_eq!(bench.told().last().map(String::as_str), Some("1 finished 20"));
}

#[test]
fn ducking_is_a_ramp_and_not_a_step() {
    let mut bench = Bench::new(64);
    bench.act(SpeechAction::Say {
        unit: 1,
        codec: CODEC,
        bytes: vec![g711::encode_sample(CODEC, 16_000); 160 * 20].into(),
        more: false,
    });
    let mut loudness = |frames: usize| -> Vec<i16> {
        (0..frames)
            .filter_map(|_| bench.frame())
            .map(|frame| g711::decode_byte(CODEC, frame[159]))
            .collect()
    };
    let full = loudness(2)[1];
    bench.act(SpeechAction::Duck { decibels: 12 });
    let mut loudness = |frames: usize| -> Vec<i16> {
        (0..frames)
            .filter_map(|_| bench.frame())
            .map(|frame| g711::decode_byte(CODEC, frame[159]))
            .collect()
    };
    let ducked = loudness(3);
    assert!(ducked[0] < full && ducked[0] > full / 3, "{full} {ducked:?}");
    assert_eq!(ducked[1], ducked[2], "down in two frames");
    assert!((full / 5..full / 3).contains(&ducked[2]), "{full} {ducked:?}");
    bench.act(SpeechAction::Duck { decibels: 0 });
    bench.frames(2);
    assert_eq!(
        bench.frame().map(|frame| g711::decode_byte(CODEC, frame[159])),
        Some(full)
    );
}

#[test]
fn a_unit_in_the_other_law_sounds_the_same() {
    let mut bench = Bench::new(64);
    let byte = g711::encode_sample(Codec::Pcma, 1_000);
    bench.act(SpeechAction::Say {
        unit: 1,
        codec: Codec::Pcma,
        bytes: vec![byte; 160].into(),
        more: false,
    });
    let frame = bench.frame().expect("sound");
    assert!((g711::decode_byte(CODEC, frame[0]) - 1_000).abs() < 50);
}

#[test]
fn too_much_is_dropped_and_counted() {
    let mut bench = Bench::new(64);
    for unit in 1..=UNITS_MAX as u32 + 2 {
        bench.say(unit, 1, false);
    }
    assert_eq!(bench.speech.dropped, 2);
    let mut bench = Bench::new(64);
    for _ in 0..3 {
        bench.say(1, BYTES_MAX / FRAME_SAMPLES / 2, true);
    }
    assert_eq!(bench.speech.dropped, 1);
}

#[test]
fn what_must_be_told_waits_for_room_and_the_rest_is_counted() {
    let mut bench = Bench::new(1);
    bench.say(1, 30, false);
    bench.frames(32);
    let mut told = bench.told();
    bench.frames(1);
    told.extend(bench.told());
    assert_eq!(told, ["1 started 0", "1 finished 30"]);
    assert_eq!(bench.speech.dropped, 5, "reports of progress");
}
