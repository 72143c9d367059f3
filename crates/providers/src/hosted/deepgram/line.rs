//! One call's connection: commands of its ear in, events out. Breaks are mended with the sound that is not yet settled.

use super::wire::{self, Results, Told};
use super::{DeepgramHearing, Socket};
use crate::hosted::transcription::joined;
use crate::hosted::wav;
use carillon_interfaces::speech::{HearingEvent, HearingRequest, SAMPLE_RATE_HZ, SpeechError, UtteranceNumber};
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

/// The service closes a connection that is silent for ten seconds.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(4);
/// A send that takes longer means that the connection hangs.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
/// Breaks in a row, without an utterance recognised between them, after which the call's hearing is given up.
const BREAKS_MAX: u32 = 4;
/// How long to wait before connecting again, longer each time.
const PAUSE_AFTER_BREAK: Duration = Duration::from_millis(100);
/// Sound kept for another connection, of one utterance.
const KEPT_SAMPLES_MAX: usize = 60 * SAMPLE_RATE_HZ as usize;
/// Positions that are nearer than this are the same: 50 ms.
const NEAR_SAMPLES: u64 = SAMPLE_RATE_HZ as u64 / 20;
/// For less sound than this the service may answer nothing.
const ANSWERED_SAMPLES_MIN: u64 = SAMPLE_RATE_HZ as u64 * 3 / 10;

/// What an ear wants done.
pub(super) enum Command {
    Begin(UtteranceNumber, Vec<i16>),
    Hear(Vec<i16>),
    End(UtteranceNumber),
    Discard(UtteranceNumber),
}

struct Utterance {
    number: UtteranceNumber,
    /// Where it begins, in samples of the connection.
    begins_at: u64,
    /// Its sound that is not settled yet, and where that begins.
    sound: Vec<i16>,
    sound_from: u64,
    /// Words that will not change, and those after them that may.
    settled: String,
    unsettled: String,
    /// Once it is over: until when its words may come.
    ends_by: Option<Instant>,
}

impl Utterance {
    fn words(&self) -> String {
        joined(&self.settled, &self.unsettled)
    }

    fn keep(&mut self, samples: &[i16]) {
        self.sound.extend_from_slice(samples);
        let excess = self.sound.len().saturating_sub(KEPT_SAMPLES_MAX);
        self.forget(excess);
    }

    fn forget(&mut self, count: usize) {
        let count = count.min(self.sound.len());
        self.sound.drain(..count);
        self.sound_from += count as u64;
    }
}

/// Why the line is given up.
struct GivenUp;

pub(super) struct Line {
    service: DeepgramHearing,
    request: HearingRequest,
    events: mpsc::Sender<HearingEvent>,
    socket: Option<Socket>,
    /// Samples sent on this connection.
    sent: u64,
    last_sent_at: Instant,
    breaks: u32,
    current: Option<Utterance>,
}

impl Line {
    pub(super) fn new(
        service: DeepgramHearing,
        request: HearingRequest,
        events: mpsc::Sender<HearingEvent>,
        socket: Socket,
    ) -> Self {
        Self {
            service,
            request,
            events,
            socket: Some(socket),
            sent: 0,
            last_sent_at: Instant::now(),
            breaks: 0,
            current: None,
        }
    }

    /// Runs until the ear is dropped, nobody takes events, or the service is given up.
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let events = self.events.clone();
        loop {
            let ends_by = self.current.as_ref().and_then(|utterance| utterance.ends_by);
            let wakes_at = ends_by.unwrap_or(self.last_sent_at + KEEP_ALIVE_AFTER);
            let step = tokio::select! {
                () = events.closed() => break,
                // What comes after an utterance waits until its words are there.
                command = commands.recv(), if ends_by.is_none() => match command {
                    Some(command) => self.obey(command).await,
                    None => break,
                },
                told = next_text(&mut self.socket) => match told {
                    Ok(text) => self.told(&text).await,
                    Err(reason) => self.mend(&reason).await,
                },
                () = tokio::time::sleep_until(wakes_at) => self.time_passes(ends_by.is_some()).await,
            };
            if step.is_err() {
                return;
            }
        }
        if let Some(mut socket) = self.socket.take() {
            let close = async {
                socket.send(Message::text(wire::CLOSE_STREAM)).await?;
                socket.close(None).await
            };
            drop(timeout(CLOSE_TIMEOUT, close).await);
        }
    }

    async fn obey(&mut self, command: Command) -> Result<(), GivenUp> {
        match command {
            Command::Begin(number, pre_roll) => {
                self.current = Some(Utterance {
                    number,
                    begins_at: self.sent,
                    sound: Vec::new(),
                    sound_from: self.sent,
                    settled: String::new(),
                    unsettled: String::new(),
                    ends_by: None,
                });
                if self.socket.is_none() {
                    self.mend("it was broken before").await?;
                }
                self.hear(&pre_roll).await
            }
            Command::Hear(samples) => self.hear(&samples).await,
            Command::End(number) => match &mut self.current {
                Some(utterance) if utterance.number == number => {
                    utterance.ends_by = Some(Instant::now() + self.service.timeout);
                    self.send(Message::text(wire::FINALIZE)).await
                }
                _ => Ok(()),
            },
            Command::Discard(number) => {
                self.current = self.current.take().filter(|utterance| utterance.number != number);
                // So that its words do not come with the next one's.
                if self.socket.is_some() {
                    self.send(Message::text(wire::FINALIZE)).await
                } else {
                    Ok(())
                }
            }
        }
    }

    async fn hear(&mut self, samples: &[i16]) -> Result<(), GivenUp> {
        let Some(utterance) = &mut self.current else {
            return Ok(());
        };
        if samples.is_empty() {
            return Ok(());
        }
        utterance.keep(samples);
        self.sent += samples.len() as u64;
        self.send(Message::binary(wav::bytes_of(samples).collect::<Vec<u8>>()))
            .await
    }

    async fn told(&mut self, text: &str) -> Result<(), GivenUp> {
        match wire::read(text) {
            Told::Results(results) => self.results(results).await,
            Told::Error(words) => self.mend(&words).await,
            Told::Garbage => self.mend("it sent what is no message").await,
            Told::Other => Ok(()),
        }
    }

    async fn results(&mut self, results: Results) -> Result<(), GivenUp> {
        let sent = self.sent;
        let Some(utterance) = &mut self.current else {
            return Ok(());
        };
        // Words of sound before this utterance come late when that was discarded or given up.
        if results.ends_at <= utterance.begins_at + NEAR_SAMPLES && utterance.begins_at > 0 && !results.text.is_empty()
        {
            return Ok(());
        }
        if results.is_final {
            utterance.settled = joined(&utterance.settled, &results.text);
            utterance.unsettled.clear();
            let settled = results.ends_at.saturating_sub(utterance.sound_from);
            utterance.forget(usize::try_from(settled).unwrap_or(usize::MAX));
        } else {
            utterance.unsettled = results.text;
        }
        if utterance.ends_by.is_some() {
            let is_all = results.ends_at + NEAR_SAMPLES >= sent
                || results.from_finalize && results.ends_at > utterance.begins_at;
            if results.is_final && is_all {
                return self.finish().await;
            }
            return Ok(());
        }
        let text = utterance.words();
        if !text.is_empty() {
            let utterance = utterance.number;
            // One that nobody takes in time is not needed: the next one holds it.
            drop(self.events.try_send(HearingEvent::Partial { utterance, text }));
        }
        Ok(())
    }

    async fn time_passes(&mut self, is_ending: bool) -> Result<(), GivenUp> {
        if is_ending {
            return self.finish_without_answer().await;
        }
        self.last_sent_at = Instant::now();
        if self.socket.is_some() {
            self.send(Message::text(wire::KEEP_ALIVE)).await
        } else {
            Ok(())
        }
    }

    async fn finish(&mut self) -> Result<(), GivenUp> {
        let Some(utterance) = self.current.take() else {
            return Ok(());
        };
        self.breaks = 0;
        let (number, text) = (utterance.number, utterance.words());
        self.emit(HearingEvent::Final {
            utterance: number,
            text,
        })
        .await
    }

    async fn finish_without_answer(&mut self) -> Result<(), GivenUp> {
        let is_short = |utterance: &Utterance| self.sent.saturating_sub(utterance.begins_at) < ANSWERED_SAMPLES_MIN;
        match &self.current {
            Some(utterance) if is_short(utterance) || !utterance.words().is_empty() => self.finish().await,
            _ => {
                let ms = u64::try_from(self.service.timeout.as_millis()).unwrap_or(u64::MAX);
                self.fail(SpeechError::TimedOut(ms), false).await
            }
        }
    }

    /// Tells that the current utterance, if there is one, has no words.
    async fn fail(&mut self, error: SpeechError, fatal: bool) -> Result<(), GivenUp> {
        let Some(utterance) = self.current.take() else {
            return Ok(());
        };
        let utterance = utterance.number;
        self.emit(HearingEvent::Failed {
            utterance,
            error,
            fatal,
        })
        .await
    }

    async fn emit(&mut self, event: HearingEvent) -> Result<(), GivenUp> {
        self.events.send(event).await.map_err(|_| GivenUp)
    }

    async fn send(&mut self, message: Message) -> Result<(), GivenUp> {
        match self.try_send(message).await {
            Ok(()) => Ok(()),
            Err(reason) => self.mend(&reason).await,
        }
    }

    async fn try_send(&mut self, message: Message) -> Result<(), String> {
        let Some(socket) = &mut self.socket else {
            return Err("it was broken before".to_owned());
        };
        self.last_sent_at = Instant::now();
        match timeout(SEND_TIMEOUT, socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it takes nothing".to_owned()),
        }
    }

    /// Connects anew and sends again what was not settled.
    async fn mend(&mut self, reason: &str) -> Result<(), GivenUp> {
        self.socket = None;
        metrics::counter!("carillon_hearing_breaks_total", "service" => "deepgram").increment(1);
        let mut error = SpeechError::Provider(self.service.endpoint.quoted(reason));
        tracing::warn!(%error, "the recogniser's connection broke");
        while self.breaks < BREAKS_MAX {
            self.breaks += 1;
            match self.service.connect(&self.request).await {
                Ok(socket) => self.socket = Some(socket),
                Err(why @ SpeechError::Unavailable(_)) if self.breaks > 1 => {
                    error = why;
                    break;
                }
                Err(why) => {
                    error = why;
                    tokio::time::sleep(PAUSE_AFTER_BREAK * self.breaks).await;
                    continue;
                }
            }
            if self.send_again().await.is_ok() {
                return Ok(());
            }
            self.socket = None;
        }
        self.fail_for_good(error).await
    }

    async fn send_again(&mut self) -> Result<(), String> {
        self.sent = 0;
        let Some(utterance) = &mut self.current else {
            return Ok(());
        };
        utterance.begins_at = 0;
        utterance.sound_from = 0;
        utterance.unsettled.clear();
        let bytes: Vec<u8> = wav::bytes_of(&utterance.sound).collect();
        self.sent = utterance.sound.len() as u64;
        let is_over = utterance.ends_by.is_some();
        // The service wants sound in packets, not in one message of a minute.
        for part in bytes.chunks(16_000) {
            self.try_send(Message::binary(part.to_vec())).await?;
        }
        if is_over {
            self.try_send(Message::text(wire::FINALIZE)).await
        } else {
            Ok(())
        }
    }

    async fn fail_for_good(&mut self, error: SpeechError) -> Result<(), GivenUp> {
        // Between utterances there is no one to tell it of: number 0 is before the first.
        let utterance = self.current.take().map_or(0, |utterance| utterance.number);
        let failed = HearingEvent::Failed {
            utterance,
            error,
            fatal: true,
        };
        drop(self.emit(failed).await);
        Err(GivenUp)
    }
}

/// The next text of the service; an error says how the connection ended.
async fn next_text(socket: &mut Option<Socket>) -> Result<String, String> {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => return Ok(text.as_str().to_owned()),
            Some(Ok(Message::Close(Some(frame)))) => return Err(format!("closed: {}", frame.reason.as_str())),
            Some(Ok(Message::Close(None))) | None => return Err("closed".to_owned()),
            Some(Ok(_)) => {}
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}
