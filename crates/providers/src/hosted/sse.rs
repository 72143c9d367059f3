//! Server-sent events (WHATWG HTML, "Server-sent events"): bytes as they come off the wire in, whole events out.
//!
//! Works on bytes, so that a chunk may end anywhere, inside a character too.

/// What an event says: its `data` lines, joined. Its name and id do not matter to any service that we speak to.
pub(crate) type EventData = Vec<u8>;

/// An event, or a line of one, is longer than allowed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Cuts a stream into events.
#[derive(Debug)]
pub(crate) struct EventParser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
    event_bytes_max: usize,
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl EventParser {
    /// A parser at the beginning of a stream whose events hold at most `event_bytes_max` bytes.
    pub(crate) fn new(event_bytes_max: usize) -> Self {
        Self {
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
            event_bytes_max,
        }
    }

    /// Takes more of the stream and adds the events that it completes to `events`.
    pub(crate) fn push(&mut self, bytes: &[u8], events: &mut Vec<EventData>) -> Result<(), TooLong> {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                // The second half of CR LF.
                b'\n' if after_cr => {}
                b'\n' | b'\r' => self.end_line(events),
                _ => {
                    self.line.push(byte);
                    if self.line.len() + self.data.len() > self.event_bytes_max {
                        return Err(TooLong);
                    }
                }
            }
        }
        Ok(())
    }

    /// The stream has ended: what it left unfinished. Servers exist that end without the last empty line.
    pub(crate) fn finish(mut self, events: &mut Vec<EventData>) {
        if !self.line.is_empty() {
            self.end_line(events);
        }
        self.end_event(events);
    }

    fn end_line(&mut self, events: &mut Vec<EventData>) {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        if line.is_empty() {
            self.end_event(events);
            return;
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (&line[..], &[][..]),
        };
        if name == b"data" {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(value.strip_prefix(b" ").unwrap_or(value));
        }
    }

    fn end_event(&mut self, events: &mut Vec<EventData>) {
        if std::mem::take(&mut self.has_data) {
            events.push(std::mem::take(&mut self.data));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events_of(chunks: &[&[u8]]) -> Vec<String> {
        let mut parser = EventParser::new(1_000);
        let mut events = Vec::new();
        for chunk in chunks {
            parser.push(chunk, &mut events).unwrap();
        }
        parser.finish(&mut events);
        events
            .into_iter()
            .map(|data| String::from_utf8(data).unwrap())
            .collect()
    }

    #[test]
    fn a_stream_is_cut_at_empty_lines() {
        let table: &[(&str, &[&str])] = &[
            ("data: a\n\ndata: b\n\n", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\rdata: b\r\r", &["a", "b"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("data:a\n\n", &["a"]),
            ("data:  a\n\n", &[" a"]),
            ("data: a\ndata: b\n\n", &["a\nb"]),
            ("data\n\n", &[""]),
            (": ping\n\n: ping\n\ndata: a\n\n", &["a"]),
            ("event: message\nid: 7\nretry: 5\ndata: a\n\n", &["a"]),
            ("event: ping\n\n", &[]),
            ("data: a", &["a"]),
            ("data: a\n", &["a"]),
            ("", &[]),
            ("nonsense\n\n", &[]),
        ];
        for (stream, expected) in table {
            assert_eq!(events_of(&[stream.as_bytes()]), *expected, "{stream:?}");
        }
    }

    #[test]
    fn where_chunks_are_cut_does_not_matter() {
        let stream =
            "\u{feff}: hello\r\ndata: {\"text\":\"Größe – नमस्ते\"}\r\n\r\ndata: second\r\ndata: line\r\n\r\n".as_bytes();
        let whole = events_of(&[stream]);
        assert_eq!(whole.len(), 2);
        for cut in 0..=stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(events_of(&[head, tail]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events_of(&bytes), whole);
    }

    #[test]
    fn an_event_without_end_is_refused() {
        let mut parser = EventParser::new(100);
        let mut events = Vec::new();
        assert_eq!(parser.push(&[b'x'; 101], &mut events), Err(TooLong));
        let mut parser = EventParser::new(100);
        let lines = "data: 0123456789\n".repeat(20);
        assert_eq!(parser.push(lines.as_bytes(), &mut events), Err(TooLong));
    }
}
