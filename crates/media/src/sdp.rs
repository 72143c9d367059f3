//! SDP offer and answer (RFC 3264, RFC 8866) for one stream of telephone audio.
//!
//! Read tolerantly: only the lines that matter here (`v`, `c`, `m`, `a`) reach the parser, so that a peer's odd origin or
//! bandwidth line ends no call. Written plainly: G.711, `telephone-event`, 20 ms.

use crate::dtmf::OFFERED_PAYLOAD_TYPE;
use crate::g711;
use carillon_domain::trunk::Codec;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// It is not SDP.
    #[error("{0}")]
    Unreadable(String),
    /// It has no audio over plain RTP.
    #[error("no audio stream over RTP/AVP")]
    NoAudio,
    /// The far end refused the stream (port 0).
    #[error("the stream is refused (port 0)")]
    Refused,
    /// No codec of ours.
    #[error("no codec in common (theirs: {0})")]
    NoCodec(String),
    /// The connection address is missing or is a name.
    #[error("no usable connection address ({0})")]
    NoAddress(String),
}

/// Who sends, as an SDP says it of its writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// The writer sends, and wants nothing.
    SendOnly,
    /// The writer only listens.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    const ALL: [Self; 4] = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The same from the other side, which is what an answer says.
    pub const fn seen_from_there(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }
}

/// Our side of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// Address to write.
    pub address: IpAddr,
    /// RTP port.
    pub port: u16,
    /// Number of the SDP in its call (`o=`), the same over all its versions.
    pub session_id: u64,
    /// One more for each SDP that differs from the one before.
    pub version: u64,
    /// Codecs, best first.
    pub codecs: Vec<Codec>,
}

/// What both sides agreed on, from the far end's SDP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// Where its RTP goes. An unspecified address (0.0.0.0) means: nowhere for now.
    pub rtp: SocketAddr,
    /// Where its RTCP goes.
    pub rtcp: SocketAddr,
    /// What we send.
    pub codec: Codec,
    /// The payload type that we send it under.
    pub payload_type: u8,
    /// What it may send: payload types and codecs.
    pub accepted: Vec<(u8, Codec)>,
    /// The payload type to send key presses under, when it takes them.
    pub key_payload_type: Option<u8>,
    /// The far end's direction.
    pub direction: Direction,
}

impl Agreed {
    /// Whether we may send.
    pub fn we_send(&self) -> bool {
        matches!(self.direction, Direction::SendRecv | Direction::RecvOnly) && !self.rtp.ip().is_unspecified()
    }

    /// Whether the far end should be sending all the time. A far end that only sends is holding: it plays music or nothing.
    pub fn they_send(&self) -> bool {
        self.direction == Direction::SendRecv && !self.rtp.ip().is_unspecified()
    }
}

/// Writes an offer (or any SDP of ours that starts a negotiation).
pub fn write_offer(local: &Local) -> String {
    let formats = local.codecs.iter().map(|codec| (g711::payload_type(*codec), *codec));
    let mut sdp = session_lines(local);
    write_audio(
        &mut sdp,
        local.port,
        "RTP/AVP",
        &formats.collect::<Vec<_>>(),
        Some(OFFERED_PAYLOAD_TYPE),
        Direction::SendRecv,
    );
    sdp
}

/// Reads the answer to an offer of `offered` codecs. The first codec in the answer that we offered is what we send.
pub fn read_answer(offered: &[Codec], answer: &[u8]) -> Result<Agreed, SdpError> {
    let session = parse(answer)?;
    let mut audio = session.medias.iter().filter(|media| is_plain_audio(media)).peekable();
    audio.peek().ok_or(SdpError::NoAudio)?;
    let media = audio.find(|media| media.port != 0).ok_or(SdpError::Refused)?;
    agree(offered, &session, media)
}

/// Reads an offer and writes the answer. The answer takes the first audio stream that we can serve, with the first codec
/// of the offer that is one of ours, and refuses every other stream with port 0.
pub fn answer_offer(local: &Local, offer: &[u8]) -> Result<(Agreed, String), SdpError> {
    let session = parse(offer)?;
    let mut chosen = Err(SdpError::NoAudio);
    for (index, media) in session
        .medias
        .iter()
        .enumerate()
        .filter(|(_, media)| is_plain_audio(media))
    {
        let agreed = if media.port == 0 {
            Err(SdpError::Refused)
        } else {
            agree(&local.codecs, &session, media)
        };
        chosen = agreed.map(|agreed| (index, agreed));
        if chosen.is_ok() {
            break;
        }
    }
    let (chosen, agreed) = chosen?;
    let mut answer = session_lines(local);
    for (index, media) in session.medias.iter().enumerate() {
        if index == chosen {
            let formats = [(agreed.payload_type, agreed.codec)];
            write_audio(
                &mut answer,
                local.port,
                &media.proto,
                &formats,
                agreed.key_payload_type,
                answer_direction(&agreed),
            );
        } else {
            let format = media.fmt.split_whitespace().next().unwrap_or("0");
            let _ = write!(answer, "m={} 0 {} {format}\r\n", media.media, media.proto);
        }
    }
    Ok((agreed, answer))
}

fn answer_direction(agreed: &Agreed) -> Direction {
    match agreed.direction {
        // An address of zeros is the hold of RFC 2543: nothing can be sent there, whatever the direction says.
        Direction::SendRecv if agreed.rtp.ip().is_unspecified() => Direction::RecvOnly,
        Direction::RecvOnly if agreed.rtp.ip().is_unspecified() => Direction::Inactive,
        direction => direction.seen_from_there(),
    }
}

fn session_lines(local: &Local) -> String {
    let family = if local.address.is_ipv4() { "IP4" } else { "IP6" };
    let Local {
        address,
        session_id,
        version,
        ..
    } = local;
    format!("v=0\r\no=- {session_id} {version} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n")
}

fn write_audio(
    sdp: &mut String,
    port: u16,
    protocol: &str,
    formats: &[(u8, Codec)],
    key_payload_type: Option<u8>,
    direction: Direction,
) {
    let _ = write!(sdp, "m=audio {port} {protocol}");
    for payload_type in formats
        .iter()
        .map(|(payload_type, _)| *payload_type)
        .chain(key_payload_type)
    {
        let _ = write!(sdp, " {payload_type}");
    }
    sdp.push_str("\r\n");
    for (payload_type, codec) in formats {
        let _ = write!(sdp, "a=rtpmap:{payload_type} {}/8000\r\n", encoding_name(*codec));
    }
    if let Some(payload_type) = key_payload_type {
        let _ = write!(
            sdp,
            "a=rtpmap:{payload_type} telephone-event/8000\r\na=fmtp:{payload_type} 0-15\r\n"
        );
    }
    let _ = write!(sdp, "a=ptime:20\r\na={}\r\n", direction.as_str());
}

const fn encoding_name(codec: Codec) -> &'static str {
    match codec {
        Codec::Pcmu => "PCMU",
        Codec::Pcma => "PCMA",
    }
}

fn parse(sdp: &[u8]) -> Result<sdp_types::Session, SdpError> {
    let mut lines = Vec::with_capacity(sdp.len());
    for line in sdp.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii();
        if matches!(line.first_chunk::<2>(), Some(b"v=" | b"c=" | b"m=" | b"a=")) {
            lines.extend_from_slice(line);
            lines.extend_from_slice(b"\r\n");
        }
    }
    sdp_types::Session::parse(&lines).map_err(|error| SdpError::Unreadable(error.to_string()))
}

fn is_plain_audio(media: &sdp_types::Media) -> bool {
    media.media == "audio" && matches!(media.proto.as_str(), "RTP/AVP" | "RTP/AVPF")
}

fn agree(ours: &[Codec], session: &sdp_types::Session, media: &sdp_types::Media) -> Result<Agreed, SdpError> {
    let formats: Vec<u8> = media
        .fmt
        .split_whitespace()
        .filter_map(|format| format.parse().ok())
        .collect();
    let accepted: Vec<(u8, Codec)> = formats
        .iter()
        .filter(|payload_type| **payload_type < 128)
        .filter_map(|payload_type| codec_of(media, *payload_type).map(|codec| (*payload_type, codec)))
        .filter(|(_, codec)| ours.contains(codec))
        .collect();
    let (payload_type, codec) = *accepted
        .first()
        .ok_or_else(|| SdpError::NoCodec(media.fmt.chars().take(60).collect()))?;
    let ip = connection(session, media)?;
    let rtp = SocketAddr::new(ip, media.port);
    let key_payload_type = formats
        .iter()
        .find(|payload_type| encoding(media, **payload_type).is_some_and(|name| name == "telephone-event/8000"))
        .copied();
    Ok(Agreed {
        rtp,
        rtcp: control_address(media, rtp),
        codec,
        payload_type,
        accepted,
        key_payload_type,
        direction: direction(session, media),
    })
}

/// The lower-case encoding of a payload type, such as `pcmu/8000`, from its `rtpmap`.
fn encoding(media: &sdp_types::Media, payload_type: u8) -> Option<String> {
    media
        .attributes
        .iter()
        .filter(|attribute| attribute.attribute == "rtpmap")
        .find_map(|attribute| {
            let (number, encoding) = attribute.value.as_deref()?.split_once(' ')?;
            let encoding = encoding.trim().to_ascii_lowercase();
            // One channel may be written out.
            let encoding = encoding.strip_suffix("/1").map(str::to_owned).unwrap_or(encoding);
            (number.parse() == Ok(payload_type)).then_some(encoding)
        })
}

fn codec_of(media: &sdp_types::Media, payload_type: u8) -> Option<Codec> {
    match (encoding(media, payload_type).as_deref(), payload_type) {
        (Some("pcmu/8000"), _) | (None, 0) => Some(Codec::Pcmu),
        (Some("pcma/8000"), _) | (None, 8) => Some(Codec::Pcma),
        _ => None,
    }
}

fn connection(session: &sdp_types::Session, media: &sdp_types::Media) -> Result<IpAddr, SdpError> {
    let connection = media.connections.first().or(session.connection.as_ref());
    let text = connection.map_or("", |connection| connection.connection_address.as_str());
    // Multicast addresses carry a time to live behind a slash; there is no call to a multicast group.
    let address: IpAddr = text
        .parse()
        .map_err(|_| SdpError::NoAddress(text.chars().take(60).collect()))?;
    if address.is_multicast() || address == IpAddr::from([255, 255, 255, 255]) {
        return Err(SdpError::NoAddress(text.to_owned()));
    }
    Ok(address)
}

fn control_address(media: &sdp_types::Media, rtp: SocketAddr) -> SocketAddr {
    let value = |name: &str| {
        let attribute = media.attributes.iter().find(|attribute| attribute.attribute == name);
        attribute.map(|attribute| attribute.value.as_deref().unwrap_or(""))
    };
    // `rtcp-mux` counts only when both sides write it (RFC 5761), and we do not; `rtcp` is RFC 3605.
    let port = value("rtcp").and_then(|value| value.split_whitespace().next()?.parse().ok());
    SocketAddr::new(rtp.ip(), port.unwrap_or(rtp.port().saturating_add(1)))
}

fn direction(session: &sdp_types::Session, media: &sdp_types::Media) -> Direction {
    let mut attributes = media.attributes.iter().chain(&session.attributes);
    attributes
        .find_map(|attribute| {
            Direction::ALL
                .into_iter()
                .find(|direction| direction.as_str() == attribute.attribute)
        })
        .unwrap_or(Direction::SendRecv)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOTH: [Codec; 2] = [Codec::Pcmu, Codec::Pcma];

    fn local(codecs: &[Codec]) -> Local {
        Local {
            address: IpAddr::from([192, 0, 2, 1]),
            port: 20_000,
            session_id: 7,
            version: 1,
            codecs: codecs.to_vec(),
        }
    }

    fn sdp(lines: &str) -> Vec<u8> {
        format!("v=0\no=x 1 1 IN IP4 h\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\n{lines}").into_bytes()
    }

    #[test]
    fn an_offer_lists_codecs_in_order_and_key_presses() {
        let expected = "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
            m=audio 20000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n";
        assert_eq!(write_offer(&local(&[Codec::Pcma, Codec::Pcmu])), expected);
    }

    #[test]
    fn our_answer_to_our_offer_agrees_on_both_sides() {
        let offer = write_offer(&local(&BOTH));
        let (theirs, answer) = answer_offer(&local(&[Codec::Pcma]), offer.as_bytes()).expect("an answer");
        let ours = read_answer(&BOTH, answer.as_bytes()).expect("agreed");
        for agreed in [theirs, ours] {
            assert_eq!(
                (agreed.codec, agreed.payload_type, agreed.key_payload_type),
                (Codec::Pcma, 8, Some(101))
            );
            assert_eq!(agreed.rtp, SocketAddr::from(([192, 0, 2, 1], 20_000)));
            assert_eq!(agreed.rtcp.port(), 20_001);
            assert!(agreed.we_send() && agreed.they_send());
        }
    }

    #[test]
    fn answers_choose_the_codec_and_the_addresses() {
        // media lines, codec and payload type, keys, RTP, RTCP port
        let rows = [
            (
                "m=audio 4000 RTP/AVP 0 8\n",
                Codec::Pcmu,
                0,
                None,
                "198.51.100.2:4000",
                4001,
            ),
            (
                "m=audio 4000 RTP/AVP 18 8 0\na=rtpmap:18 G729/8000\n",
                Codec::Pcma,
                8,
                None,
                "198.51.100.2:4000",
                4001,
            ),
            (
                "m=audio 4000 RTP/AVP 97 96\nc=IN IP4 203.0.113.9\na=rtpmap:97 pcma/8000/1\na=rtpmap:96 TELEPHONE-EVENT/8000\na=rtcp:5555\n",
                Codec::Pcma,
                97,
                Some(96),
                "203.0.113.9:4000",
                5555,
            ),
            (
                "m=video 5000 RTP/AVP 99\nm=audio 4000 RTP/AVP 0\n",
                Codec::Pcmu,
                0,
                None,
                "198.51.100.2:4000",
                4001,
            ),
            (
                "m=audio 0 RTP/AVP 8\nm=audio 4000 RTP/AVP 0\n",
                Codec::Pcmu,
                0,
                None,
                "198.51.100.2:4000",
                4001,
            ),
            (
                "m=audio 4000 RTP/AVP 0\nc=IN IP6 2001:db8::1\n",
                Codec::Pcmu,
                0,
                None,
                "[2001:db8::1]:4000",
                4001,
            ),
        ];
        for (lines, codec, payload_type, keys, rtp, rtcp_port) in rows {
            let agreed = read_answer(&BOTH, &sdp(lines)).expect(lines);
            assert_eq!(
                (agreed.codec, agreed.payload_type, agreed.key_payload_type),
                (codec, payload_type, keys),
                "{lines}"
            );
            assert_eq!(
                (agreed.rtp.to_string().as_str(), agreed.rtcp.port()),
                (rtp, rtcp_port),
                "{lines}"
            );
        }
    }

    #[test]
    fn answers_without_a_usable_stream_are_refused_by_name() {
        let rows = [
            ("m=video 5000 RTP/AVP 99\n", SdpError::NoAudio),
            ("m=audio 4000 RTP/SAVP 0\n", SdpError::NoAudio),
            ("m=audio 0 RTP/AVP 0\n", SdpError::Refused),
            ("m=audio 4000 RTP/AVP 18\n", SdpError::NoCodec("18".into())),
            (
                "m=audio 4000 RTP/AVP 0\na=rtpmap:0 OPUS/48000\n",
                SdpError::NoCodec("0".into()),
            ),
            (
                "m=audio 4000 RTP/AVP 0\nc=IN IP4 media.example\n",
                SdpError::NoAddress("media.example".into()),
            ),
            (
                "m=audio 4000 RTP/AVP 0\nc=IN IP4 224.0.0.1\n",
                SdpError::NoAddress("224.0.0.1".into()),
            ),
        ];
        for (lines, error) in rows {
            assert_eq!(read_answer(&BOTH, &sdp(lines)), Err(error), "{lines}");
        }
        assert!(matches!(read_answer(&BOTH, b""), Err(SdpError::Unreadable(_))));
        assert!(matches!(
            read_answer(&BOTH, &sdp("m=audio x RTP/AVP 0\n")),
            Err(SdpError::Unreadable(_))
        ));
    }

    #[test]
    fn a_hold_stops_what_it_says_and_is_answered_in_kind() {
        // their lines, our answer, whether we send, whether they should be sending
        let rows = [
            ("a=sendrecv\n", "sendrecv", true, true),
            ("", "sendrecv", true, true),
            ("a=sendonly\n", "recvonly", false, false),
            ("a=inactive\n", "inactive", false, false),
            ("a=recvonly\n", "sendonly", true, false),
            ("c=IN IP4 0.0.0.0\n", "recvonly", false, false),
            ("c=IN IP4 0.0.0.0\na=inactive\n", "inactive", false, false),
        ];
        for (lines, direction, we_send, they_send) in rows {
            let offer = sdp(&format!("m=audio 4000 RTP/AVP 0\n{lines}"));
            let (agreed, answer) = answer_offer(&local(&BOTH), &offer).expect(lines);
            assert!(answer.contains(&format!("a={direction}\r\n")), "{lines}: {answer}");
            assert_eq!((agreed.we_send(), agreed.they_send()), (we_send, they_send), "{lines}");
        }
    }

    #[test]
    fn the_session_direction_holds_when_the_stream_says_none() {
        let offer = sdp("a=inactive\nm=audio 4000 RTP/AVP 0\n");
        assert_eq!(
            read_answer(&BOTH, &offer).map(|agreed| agreed.direction),
            Ok(Direction::Inactive)
        );
    }

    #[test]
    fn further_streams_are_refused_in_their_places() {
        let offer =
            sdp("m=video 5000 RTP/AVP 99 98\nm=audio 4000 RTP/AVP 8\nm=audio 4002 RTP/AVP 0\nm=image 6000 udptl t38\n");
        let (agreed, answer) = answer_offer(&local(&BOTH), &offer).expect("an answer");
        assert_eq!(agreed.codec, Codec::Pcma);
        let media: Vec<_> = answer.lines().filter(|line| line.starts_with("m=")).collect();
        assert_eq!(
            media,
            [
                "m=video 0 RTP/AVP 99",
                "m=audio 20000 RTP/AVP 8",
                "m=audio 0 RTP/AVP 0",
                "m=image 0 udptl t38"
            ]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read_answer(&BOTH, &bytes);
            let _ = answer_offer(&local(&BOTH), &bytes);
        }

        #[test]
        fn any_lines_of_the_right_kind_are_read_or_refused(
            lines in proptest::collection::vec("[vcma]=[ -~]{0,40}|m=audio [0-9]{1,6} RTP/AVP [0-9 ]{0,12}|c=IN IP[46] [0-9.:a-f]{0,20}|a=rtpmap:[0-9]{1,3} [a-zA-Z/0-9-]{0,20}", 0..12),
        ) {
            let text = format!("v=0\n{}", lines.join("\n"));
            if let Ok((_, answer)) = answer_offer(&local(&BOTH), text.as_bytes()) {
                let offered = text.lines().filter(|line| line.starts_with("m=")).count();
                prop_assert_eq!(answer.lines().filter(|line| line.starts_with("m=")).count(), offered);
            }
        }
    }
}
