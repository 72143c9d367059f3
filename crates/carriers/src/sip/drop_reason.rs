//! The names under which dropped messages are counted.

/// Why a message from the network was dropped without an effect. Each is counted under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The source address is not on the allow-list.
    Source,
    /// Longer than [`crate::sip::message::MAX_MESSAGE_BYTES`].
    TooLarge,
    /// No empty line after the headers, or line ends other than CRLF.
    Framing,
    /// Not UTF-8, or control characters in the head.
    Encoding,
    /// Neither a request line nor a status line.
    StartLine,
    /// More than [`crate::sip::message::MAX_HEADERS`] header lines, or an overlong one.
    TooManyHeaders,
    /// A line that is no header.
    Header,
    /// From, To, Call-ID, CSeq or Via is missing or unreadable.
    Mandatory,
    /// A header that may stand once stands twice.
    Duplicate,
    /// CSeq's method differs from the request's.
    CSeqMismatch,
    /// Content-Length is unreadable or longer than the message.
    ContentLength,
    /// A response that belongs to nothing of ours.
    StrayResponse,
    /// An ACK that belongs to nothing of ours.
    StrayAck,
    /// More copies of one answer than any retransmission schedule makes.
    TooManyCopies,
    /// An event could not be queued for its call.
    EventQueueFull,
    /// A connection whose peer does not read.
    SlowPeer,
}

impl DropReason {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 16] = [
        Self::Source,
        Self::TooLarge,
        Self::Framing,
        Self::Encoding,
        Self::StartLine,
        Self::TooManyHeaders,
        Self::Header,
        Self::Mandatory,
        Self::Duplicate,
        Self::CSeqMismatch,
        Self::ContentLength,
        Self::StrayResponse,
        Self::StrayAck,
        Self::TooManyCopies,
        Self::EventQueueFull,
        Self::SlowPeer,
    ];

    /// The name under which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::TooLarge => "too_large",
            Self::Framing => "framing",
            Self::Encoding => "encoding",
            Self::StartLine => "start_line",
            Self::TooManyHeaders => "too_many_headers",
            Self::Header => "header",
            Self::Mandatory => "mandatory",
            Self::Duplicate => "duplicate",
            Self::CSeqMismatch => "cseq_mismatch",
            Self::ContentLength => "content_length",
            Self::StrayResponse => "stray_response",
            Self::StrayAck => "stray_ack",
            Self::TooManyCopies => "too_many_copies",
            Self::EventQueueFull => "event_queue_full",
            Self::SlowPeer => "slow_peer",
        }
    }
}
