//! What a server turned out not to know. Learned from its refusals, kept for the next requests.

use super::super::http::Failure;

/// Which parts of a request a server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quirks {
    /// The limit is called `max_completion_tokens` (OpenAI's reasoning models), not `max_tokens`.
    pub(super) completion_tokens: bool,
    /// `stream_options` is known.
    pub(super) stream_options: bool,
    /// `temperature` may be chosen.
    pub(super) temperature: bool,
    /// `response_format` may be a schema.
    pub(super) json_schema: bool,
    /// `response_format` may be "some JSON".
    pub(super) json_object: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            completion_tokens: false,
            stream_options: true,
            temperature: true,
            json_schema: true,
            json_object: true,
        }
    }
}

impl Quirks {
    /// How to ask again after a refusal that names a part of the request; `None`: asking again would not help.
    /// `wants_json`: the request carried a schema.
    pub(super) fn after(self, failure: &Failure, wants_json: bool) -> Option<Self> {
        let Failure::Refused { status, message } = failure else {
            return None;
        };
        if !matches!(status, 400 | 404 | 415 | 422 | 500 | 501) {
            return None;
        }
        let message = message.to_ascii_lowercase();
        let names = |part: &str| message.contains(part);
        let mut next = self;
        if names("max_completion_tokens") {
            next.completion_tokens = true;
        } else if names("stream_options") {
            next.stream_options = false;
        } else if names("temperature") {
            next.temperature = false;
        } else if wants_json
            && ["response_format", "json_schema", "json_object", "schema", "grammar"]
                .into_iter()
                .any(names)
        {
            if self.json_schema {
                next.json_schema = false;
            } else {
                next.json_object = false;
            }
        }
        (next != self).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_teaches_what_it_names() {
        let whole = Quirks::default();
        let no_schema = Quirks {
            json_schema: false,
            ..whole
        };
        let table = [
            (
                whole,
                400,
                "Use 'max_completion_tokens' instead.",
                true,
                Some(Quirks {
                    completion_tokens: true,
                    ..whole
                }),
            ),
            (
                whole,
                422,
                "stream_options: extra fields not permitted",
                false,
                Some(Quirks {
                    stream_options: false,
                    ..whole
                }),
            ),
            (
                whole,
                400,
                "Unsupported value: 'temperature'",
                false,
                Some(Quirks {
                    temperature: false,
                    ..whole
                }),
            ),
            (whole, 400, "Invalid schema for response_format", true, Some(no_schema)),
            (
                no_schema,
                400,
                "response_format is not supported",
                true,
                Some(Quirks {
                    json_object: false,
                    ..no_schema
                }),
            ),
            (
                Quirks {
                    json_object: false,
                    ..no_schema
                },
                400,
                "response_format is not supported",
                true,
                None,
            ),
            (whole, 400, "Invalid schema for response_format", false, None),
            (whole, 400, "context length exceeded", true, None),
            (whole, 503, "stream_options", true, None),
        ];
        for (quirks, status, message, wants_json, expected) in table {
            let failure = Failure::Refused {
                status,
                message: message.to_owned(),
            };
            assert_eq!(quirks.after(&failure, wants_json), expected, "{status} {message}");
        }
        assert_eq!(whole.after(&Failure::BrokenOff, true), None);
    }
}
