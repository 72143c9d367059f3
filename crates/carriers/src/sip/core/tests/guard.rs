//! What must not pass, and what is answered by itself.

use super::*;

#[test]
fn requests_for_nothing_of_ours_get_their_own_answers() {
    let cases = [
        ("INVITE sip:x@10.0.0.1 SIP/2.0", "INVITE", "", "403"),
        ("OPTIONS sip:x@10.0.0.1 SIP/2.0", "OPTIONS", "", "200"),
        ("OPTIONS sip:x@10.0.0.1 SIP/3.0", "OPTIONS", "", "505"),
        ("OPTIONS http://x SIP/2.0", "OPTIONS", "", "416"),
        (
            "OPTIONS sip:x@10.0.0.1 SIP/2.0",
            "OPTIONS",
            "Require: timer, x-new\r\n",
            "420",
        ),
        ("REGISTER sip:10.0.0.1 SIP/2.0", "REGISTER", "", "405"),
        ("DANCE sip:10.0.0.1 SIP/2.0", "DANCE", "", "501"),
        ("BYE sip:10.0.0.1 SIP/2.0", "BYE", "", "481"),
        ("CANCEL sip:10.0.0.1 SIP/2.0", "CANCEL", "", "481"),
        ("INFO sip:10.0.0.1 SIP/2.0", "INFO", "To-Tagged: yes\r\n", "481"),
    ];
    for (line, method, extra, code) in cases {
        let mut world = World::new(CALM, SipTimers::default());
        let bytes = Bytes::from(format!(
            "{line}\r\nVia: SIP/2.0/UDP 10.0.0.2:5060;branch=z9hG4bK1;rport\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\n\
             Call-ID: x\r\nCSeq: 1 {method}\r\n{extra}Content-Length: 0\r\n\r\n"
        ));
        let flow = Flow {
            transport: Transport::Udp,
            peer: addr(FAR),
            conn: None,
        };
        world.cores[US].on_message(world.now, flow, &bytes);
        // A copy is answered with a copy.
        world.cores[US].on_message(world.now, flow, &bytes);
        world.flush();
        let answers: Vec<&str> = world.log.iter().map(|(_, _, line)| &line[8..11]).collect();
        assert_eq!(answers, [code, code], "{line}");
        assert!(
            String::from_utf8_lossy(&world.raw[0].1).contains("received=10.0.0.2"),
            "{line}"
        );
    }
}

#[test]
fn what_the_guard_drops_is_counted_by_name() {
    let good = "OPTIONS sip:x@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
                To: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let cases = [
        (good.replace("\r\n", "\n"), "framing"),
        (good.replace("CSeq: 1 OPTIONS", "CSeq: 1 INVITE"), "cseq_mismatch"),
        (
            good.replace("Content-Length: 0", "Content-Length: 10"),
            "content_length",
        ),
        (
            good.replace("Content-Length: 0", "Content-Length: -1"),
            "content_length",
        ),
        (good.replace("Call-ID: x\r\n", ""), "mandatory"),
        (good.replace("Via:", "X-Via:"), "mandatory"),
        (good.replace("CSeq: 1 ", "CSeq: 99999999999 "), "mandatory"),
        (good.replace("Call-ID: x\r\n", "Call-ID: x\r\ni: y\r\n"), "duplicate"),
        (good.replace("Call-ID: x\r\n", "Call-ID: x\r\nnonsense\r\n"), "header"),
        (
            good.replace("Call-ID: x\r\n", &format!("Call-ID: x\r\n{many}")),
            "too_many_headers",
        ),
        (
            good.replace("Call-ID: x", &format!("Call-ID: x\r\nX: {}", "y".repeat(5_000))),
            "too_many_headers",
        ),
        (good.replace("OPTIONS sip:x@10.0.0.1 SIP/2.0", "HELLO"), "start_line"),
        (good.replace("Call-ID: x", "Call-ID: x\u{0}"), "encoding"),
        (format!("{good}{}", "y".repeat(17_000)), "too_large"),
        (
            good.replace("OPTIONS sip:x@10.0.0.1 SIP/2.0", "SIP/2.0 200 OK"),
            "stray_response",
        ),
        (good.replace("OPTIONS", "ACK"), "stray_ack"),
    ];
    for (text, reason) in cases {
        let mut world = World::new(CALM, SipTimers::default());
        let flow = Flow {
            transport: Transport::Udp,
            peer: addr(FAR),
            conn: None,
        };
        world.cores[US].on_message(world.now, flow, &Bytes::from(text.clone()));
        assert_eq!(world.cores[US].stats().drops, [(reason, 1)], "{text}");
        world.flush();
        assert!(world.log.is_empty(), "{text}");
    }
}

#[test]
fn only_known_sources_are_read_and_dialogs_make_theirs_known() {
    let config = SipConfig {
        seed: Some(1),
        ..SipConfig::new(addr(US))
    };
    let now = Instant::now();
    let mut core = Core::new(config, addr(US), Box::new(|_| addr(US).ip()), now);
    let stranger = Flow {
        transport: Transport::Udp,
        peer: "203.0.113.9:5060".parse().unwrap(),
        conn: None,
    };
    core.on_message(now, stranger, &Bytes::from_static(b"whatever"));
    assert_eq!(core.stats().drops, [("source", 1)]);
    let (call, (sender, _events)) = outbound(1, ms(10_000));
    core.originate(now, call, None, sender).unwrap();
    let outputs = core.take_outputs();
    let [Output::Send { bytes, .. }] = outputs.as_slice() else {
        panic!("{outputs:?}")
    };
    let answer = response_to(&Message::parse(bytes).unwrap(), 180, Some("a"));
    let answer = String::from_utf8(answer.to_vec())
        .unwrap()
        .replace("10.0.0.2:5060>", "203.0.113.9:5070>");
    let peer = Flow {
        transport: Transport::Udp,
        peer: addr(FAR),
        conn: None,
    };
    assert!(!core.source_allowed(stranger.peer.ip()));
    core.on_message(now, peer, &Bytes::from(answer));
    assert!(
        core.source_allowed(stranger.peer.ip()),
        "the dialog's target is a source now"
    );
    core.hang_up(now, LegId(1));
    let mut at = now;
    for _ in 0..200 {
        at += ms(500);
        core.on_time(at);
    }
    assert!(
        !core.source_allowed(stranger.peer.ip()),
        "and none any more when the leg is gone"
    );
}
