//! RTP as a capture file, for SIPp to play: it keeps payloads and distances, and writes addresses of its own.

use std::time::Duration;

const LINK_ETHERNET: u32 = 1;

/// A capture of these UDP payloads.
pub(crate) fn file(packets: &[(Duration, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(0xa1b2_c3d4_u32.to_le_bytes());
    file.extend(2_u16.to_le_bytes());
    file.extend(4_u16.to_le_bytes());
    file.extend([0; 8]);
    file.extend(65_535_u32.to_le_bytes());
    file.extend(LINK_ETHERNET.to_le_bytes());
    for (at, payload) in packets {
        let frame = ethernet(payload);
        let length = u32::try_from(frame.len()).expect("a short frame");
        // Some readers take a first time of zero for an empty file.
        file.extend(u32::try_from(at.as_secs() + 1).expect("a short capture").to_le_bytes());
        file.extend(at.subsec_micros().to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(length.to_le_bytes());
        file.extend(frame);
    }
    file
}

fn ethernet(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend(0x0800_u16.to_be_bytes());
    let udp_length = u16::try_from(payload.len() + 8).expect("a short packet");
    frame.extend([0x45, 0]);
    frame.extend((udp_length + 20).to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([127, 0, 0, 1, 127, 0, 0, 1]);
    frame.extend(7_000_u16.to_be_bytes());
    frame.extend(7_000_u16.to_be_bytes());
    frame.extend(udp_length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}
