//! What came to the sandbox and what became of it, in memory and as lines of JSON: what tests and crash checks read.
//!
//! Every INVITE is logged before anything but 100 is answered to it, just before its 200, and when it is over. The called numbers in it are the
//! sandbox's own and belong to nobody; `Debug` redacts them all the same, as a sandbox can be called by mistake.

use crate::measure::Heard;
use serde::Serialize;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// One INVITE.
#[derive(Clone, PartialEq, Serialize)]
pub struct LoggedCall {
    /// Number in the log, from 0, ascending.
    pub number: u64,
    /// When it came, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Its Call-ID.
    pub call_id: String,
    /// CSeq of the INVITE.
    pub cseq: u32,
    /// Value of `X-Carillon-Attempt`.
    pub attempt: Option<String>,
    /// Digits of the called number.
    pub called: String,
    /// Name of the behaviour.
    pub behaviour: &'static str,
    /// From the INVITE to our 200, in milliseconds, once it is answered.
    pub answered_after_ms: Option<u64>,
    /// The words that it said, phrase by phrase, as far as they were begun.
    pub said: Vec<&'static str>,
    /// How it ended, once it has.
    pub ended: Option<LoggedEnd>,
}

/// The end of a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoggedEnd {
    /// How.
    pub how: EndedHow,
    /// From the INVITE to the end, in milliseconds.
    pub lasted_ms: u64,
    /// RTP packets received.
    pub packets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// RTP packets that never came, by sequence number.
    pub packets_lost: u64,
    /// Keys received, by RFC 4733 or INFO.
    pub keys: String,
    /// The caller's sound; `None` when the call was not answered or not measured.
    pub heard: Option<Heard>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EndedHow {
    /// We refused it.
    Refused {
        /// With this status; 401 and 407 ask for credentials.
        code: u16,
    },
    /// The caller cancelled it.
    Cancelled,
    /// The caller sent BYE.
    CallerHungUp,
    /// We sent BYE.
    HungUp {
        /// Whether the caller confirmed it.
        confirmed: bool,
    },
    /// The caller never acknowledged our 200.
    NotAcknowledged,
    /// We went dead on purpose.
    Vanished,
    /// The sandbox was stopped, or the SIP stack let the call go.
    Stopped,
}

impl fmt::Debug for LoggedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedCall")
            .field("number", &self.number)
            .field("call_id", &self.call_id)
            .field("cseq", &self.cseq)
            .field("attempt", &self.attempt)
            .field("behaviour", &self.behaviour)
            .field("answered_after_ms", &self.answered_after_ms)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// One line of the file.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    Invite(&'a LoggedCall),
    Answered(&'a LoggedCall),
    Ended(&'a LoggedCall),
}

/// The log. The newest calls stay in memory, all are in the file.
#[derive(Debug)]
pub struct CallLog {
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
}

#[derive(Debug)]
struct Kept {
    calls: VecDeque<LoggedCall>,
    calls_max: usize,
    next: u64,
    file: Option<File>,
}

impl CallLog {
    /// A log that keeps `calls_max` calls in memory and appends to `file` if one is named.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub(crate) fn open(calls_max: usize, file: Option<&Path>) -> io::Result<Self> {
        let file = file
            .map(|path| OpenOptions::new().create(true).append(true).open(path))
            .transpose()?;
        let kept = Kept {
            calls: VecDeque::new(),
            calls_max: calls_max.max(1),
            next: 0,
            file,
        };
        Ok(Self {
            kept: Mutex::new(kept),
            changes: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Logs an INVITE; `call.number` is given here and returned.
    pub(crate) fn invited(&self, mut call: LoggedCall) -> u64 {
        let mut kept = self.lock();
        let number = kept.next;
        kept.next += 1;
        call.number = number;
        kept.write(&Line::Invite(&call));
        if kept.calls.len() >= kept.calls_max {
            kept.calls.pop_front();
        }
        kept.calls.push_back(call);
        drop(kept);
        self.changes.send_modify(|changes| *changes += 1);
        number
    }

    /// Logs a call again: it is being answered.
    pub(crate) fn answered(&self, call: LoggedCall) {
        let mut kept = self.lock();
        kept.write(&Line::Answered(&call));
        kept.replace(call);
        drop(kept);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// Logs a call again, with its end.
    pub(crate) fn ended(&self, call: LoggedCall) {
        let mut kept = self.lock();
        kept.write(&Line::Ended(&call));
        kept.replace(call);
        drop(kept);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The calls in memory, oldest first.
    pub fn calls(&self) -> Vec<LoggedCall> {
        self.lock().calls.iter().cloned().collect()
    }

    /// How many INVITEs came since the start, those no longer in memory included.
    pub fn invites(&self) -> u64 {
        self.lock().next
    }

    /// Waits until a call fits, and returns the first that does. Waits for ever if none comes: set a time-out.
    pub async fn find(&self, fits: impl Fn(&LoggedCall) -> bool) -> LoggedCall {
        let mut changes = self.changes.subscribe();
        loop {
            changes.borrow_and_update();
            let found = self.lock().calls.iter().find(|call| fits(call)).cloned();
            if let Some(call) = found {
                return call;
            }
            // The sender lives as long as `self`.
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Kept {
    /// Puts a call in place of what is known of it, if it is still in memory.
    fn replace(&mut self, call: LoggedCall) {
        let first = self.calls.front().map_or(0, |call| call.number);
        let index = call
            .number
            .checked_sub(first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(known) = index.and_then(|index| self.calls.get_mut(index)) {
            *known = call;
        }
    }

    /// Appends a line in one write. A file that cannot be written is given up, and the calls go on.
    fn write(&mut self, line: &Line<'_>) {
        let Some(file) = self.file.as_mut() else { return };
        let written = serde_json::to_vec(line).map_err(io::Error::from).and_then(|mut bytes| {
            bytes.push(b'\n');
            file.write_all(&bytes)
        });
        if let Err(error) = written {
            tracing::error!(%error, "the sandbox's log cannot be written any more");
            self.file = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(call_id: &str) -> LoggedCall {
        LoggedCall {
            number: 0,
            at_unix_ms: 1,
            call_id: call_id.to_owned(),
            cseq: 1,
            attempt: None,
            called: "919876540001".to_owned(),
            behaviour: "listens",
            answered_after_ms: None,
            said: Vec::new(),
            ended: None,
        }
    }

    fn end(code: u16) -> LoggedEnd {
        LoggedEnd {
            how: EndedHow::Refused { code },
            lasted_ms: 5,
            packets_received: 0,
            packets_sent: 0,
            packets_lost: 0,
            keys: String::new(),
            heard: None,
        }
    }

    #[test]
    fn the_newest_calls_stay_in_memory_and_all_are_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("calls.jsonl");
        let log = CallLog::open(2, Some(&path)).expect("opened");
        let numbers: Vec<_> = ["a", "b", "c"].into_iter().map(|id| log.invited(call(id))).collect();
        let ended = |index: usize, id, code| LoggedCall {
            number: numbers[index],
            ended: Some(end(code)),
            ..call(id)
        };
        log.ended(ended(2, "c", 486));
        log.ended(ended(0, "a", 404));
        let kept: Vec<_> = log.calls().into_iter().map(|call| (call.call_id, call.ended)).collect();
        assert_eq!(kept, [("b".to_owned(), None), ("c".to_owned(), Some(end(486)))]);
        assert_eq!(log.invites(), 3);

        let text = std::fs::read_to_string(&path).expect("read");
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        let seen: Vec<_> = lines
            .iter()
            .map(|line| (line["event"].as_str(), line["call_id"].as_str()))
            .collect();
        let expected = [
            ("invite", "a"),
            ("invite", "b"),
            ("invite", "c"),
            ("ended", "c"),
            ("ended", "a"),
        ]
        .map(|(event, call)| (Some(event), Some(call)));
        assert_eq!(seen, expected);
        assert_eq!(
            lines[3]["ended"]["how"],
            serde_json::json!({"kind": "refused", "code": 486})
        );
    }

    #[test]
    fn a_number_does_not_reach_a_log_line() {
        assert!(!format!("{:?}", call("a")).contains("9876"));
    }

    #[tokio::test]
    async fn waiting_for_a_call_sees_it_end() {
        let log = std::sync::Arc::new(CallLog::open(10, None).expect("opened"));
        let number = log.invited(call("a"));
        let waiting = tokio::spawn({
            let log = std::sync::Arc::clone(&log);
            async move { log.find(|call| call.ended.is_some()).await.number }
        });
        log.ended(LoggedCall {
            number,
            ended: Some(end(603)),
            ..call("a")
        });
        assert_eq!(waiting.await.expect("found"), number);
    }
}
