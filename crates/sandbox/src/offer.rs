//! Offers of our own within a call, made from SDP that the media engine wrote.

use bytes::Bytes;

/// An SDP of ours as the next offer of a dialog: the `o=` line keeps the number of the dialog's first SDP and takes the
/// given version (RFC 3264 section 8); `direction` replaces the stream's.
pub(crate) fn next_offer(sdp: &[u8], first: &[u8], version: u64, direction: &str) -> Bytes {
    let first = String::from_utf8_lossy(first);
    let number = first.lines().find_map(session_number).unwrap_or("1");
    let mut offer = String::with_capacity(sdp.len() + 16);
    for line in String::from_utf8_lossy(sdp).lines() {
        let directions = ["a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"];
        if directions.contains(&line) {
            offer.push_str(&format!("a={direction}"));
        } else if session_number(line).is_some() {
            let address: Vec<_> = line.split(' ').skip(3).collect();
            offer.push_str(&format!("o=- {number} {version} {}", address.join(" ")));
        } else {
            offer.push_str(line);
        }
        offer.push_str("\r\n");
    }
    offer.into()
}

fn session_number(line: &str) -> Option<&str> {
    line.strip_prefix("o=")?.split(' ').nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 42 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                       m=audio 4000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n";

    #[test]
    fn an_offer_keeps_the_number_and_takes_version_and_direction() {
        let other = SDP.replace("o=- 42 1", "o=- 77 1").replace("4000", "5000");
        let offer = next_offer(other.as_bytes(), SDP.as_bytes(), 3, "sendonly");
        let expected = SDP
            .replace("o=- 42 1", "o=- 42 3")
            .replace("4000", "5000")
            .replace("a=sendrecv", "a=sendonly");
        assert_eq!(String::from_utf8_lossy(&offer), expected);
    }
}
