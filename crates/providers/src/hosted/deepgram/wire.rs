//! The messages of Deepgram's listen socket: what we send as text, and what of theirs matters here.

use carillon_interfaces::speech::SAMPLE_RATE_HZ;
use serde::Deserialize;

/// Keeps a connection without sound open; without it the service closes after ten seconds.
pub(super) const KEEP_ALIVE: &str = r#"{"type":"KeepAlive"}"#;
/// Asks for the words of all sound sent so far.
pub(super) const FINALIZE: &str = r#"{"type":"Finalize"}"#;
/// Ends the stream.
pub(super) const CLOSE_STREAM: &str = r#"{"type":"CloseStream"}"#;

/// A message of the service.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Words of a stretch of sound.
    Results(Results),
    /// Something is wrong; its words.
    Error(String),
    /// Metadata, speech events, and what is not known here.
    Other,
    /// No JSON of theirs.
    Garbage,
}

/// Words of a stretch of sound.
#[derive(Debug, PartialEq)]
pub(super) struct Results {
    /// Where the stretch ends, in samples from the connection's beginning.
    pub(super) ends_at: u64,
    /// The words.
    pub(super) text: String,
    /// They will not change.
    pub(super) is_final: bool,
    /// They are the answer to `Finalize`.
    pub(super) from_finalize: bool,
}

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    start: f64,
    #[serde(default)]
    duration: f64,
    #[serde(default)]
    is_final: bool,
    #[serde(default)]
    from_finalize: bool,
    #[serde(default)]
    channel: serde_json::Value,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// Reads a message.
pub(super) fn read(text: &str) -> Told {
    let Ok(message) = serde_json::from_str::<Message>(text) else {
        return Told::Garbage;
    };
    match message.kind.as_str() {
        "Results" => {
            let text = message
                .channel
                .pointer("/alternatives/0/transcript")
                .and_then(serde_json::Value::as_str);
            // A conversion of a float saturates, and a call lasts no age.
            let ends_at = ((message.start + message.duration) * f64::from(SAMPLE_RATE_HZ)).round() as u64;
            Told::Results(Results {
                ends_at,
                text: text.unwrap_or_default().trim().to_owned(),
                is_final: message.is_final,
                from_finalize: message.from_finalize,
            })
        }
        "Error" => Told::Error(
            message
                .description
                .or(message.message)
                .unwrap_or_else(|| "an error without words".to_owned()),
        ),
        _ => Told::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_by_what_matters() {
        let results = r#"{"type":"Results","channel_index":[0,1],"duration":1.5,"start":0.5,"is_final":true,"speech_final":false,
            "channel":{"alternatives":[{"transcript":"Yes please. ","confidence":0.9,"words":[]}]},
            "metadata":{"request_id":"x"},"from_finalize":true}"#;
        let expected = Results {
            ends_at: 16_000,
            text: "Yes please.".to_owned(),
            is_final: true,
            from_finalize: true,
        };
        assert_eq!(read(results), Told::Results(expected));
        for (text, expected) in [
            (
                r#"{"type":"Metadata","request_id":"x","duration":1.0,"channels":1}"#,
                Told::Other,
            ),
            (r#"{"type":"SpeechStarted","timestamp":1.0}"#, Told::Other),
            (r#"{"type":"Error","description":"bad"}"#, Told::Error("bad".to_owned())),
            (r#"{"type":"Error"}"#, Told::Error("an error without words".to_owned())),
            ("{}", Told::Other),
            ("[", Told::Garbage),
            ("7", Told::Garbage),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
        let odd = r#"{"type":"Results","start":-9e99,"duration":0,"channel":{"alternatives":[]}}"#;
        assert!(matches!(
            read(odd),
            Told::Results(Results {
                ends_at: 0,
                is_final: false,
                ..
            })
        ));
    }
}
