//! Measures what live calls cost: `load CALLS SECONDS [one-way|both-ways] [record]`.
//!
//! One engine plays a clip on every call to a sink in the same process, which reads the packets and, for `both-ways`,
//! sends as many back. Printed are the processor time of the engine's threads alone, its memory and what was late.

use bytes::Bytes;
use carillon_domain::ids::{CallId, ClipId, WorkspaceId};
use carillon_domain::script::Script;
use carillon_domain::trunk::Codec;
use carillon_interfaces::voice::{EndpointSpec, VoiceRuntime as _};
use carillon_media::{rtp, sdp};
use carillon_voice::{ClipError, ClipSource, EngineConfig, MediaEngine};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

struct Noise;

impl ClipSource for Noise {
    fn load(&self, _: ClipId) -> Result<Vec<i16>, ClipError> {
        Ok((0..8_000 * 60)
            .map(|index| (index * 37 % 4_001) as i16 - 2_000)
            .collect())
    }
}

/// Processor seconds of this process's threads whose name starts so.
fn thread_seconds(prefix: &str) -> f64 {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return 0.0;
    };
    let of_task = |path: std::path::PathBuf| {
        let name = std::fs::read_to_string(path.join("comm")).ok()?;
        let runtime = std::fs::read_to_string(path.join("schedstat")).ok()?;
        let nanoseconds: f64 = runtime.split_whitespace().next()?.parse().ok()?;
        name.starts_with(prefix).then_some(nanoseconds / 1e9)
    };
    tasks.flatten().filter_map(|task| of_task(task.path())).sum()
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap_or(0)
}

fn sink(socket: UdpSocket, targets: Vec<SocketAddr>, received: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let echo = !targets.is_empty();
    let mut buffer = [0; 2_000];
    let start = Instant::now();
    let mut turn = 0_u64;
    let per_ms = targets.len().div_ceil(20).max(1);
    while !stop.load(Ordering::Relaxed) {
        while socket.recv_from(&mut buffer).is_ok() {
            received.fetch_add(1, Ordering::Relaxed);
        }
        while echo && start.elapsed().as_millis() as u64 > turn {
            let (slot, round) = (turn as usize % 20, turn / 20);
            for (index, to) in targets.iter().enumerate().skip(slot * per_ms).take(per_ms) {
                let packet = rtp::RtpPacket {
                    payload_type: 0,
                    marker: false,
                    sequence: round as u16,
                    timestamp: (round * 160) as u32,
                    ssrc: index as u32,
                    payload: &[0x55; 160],
                };
                let length = rtp::write(&packet, &mut buffer);
                let _ = socket.send_to(&buffer[..length], to);
            }
            turn += 1;
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// How long it takes from the answer's arrival to the first packet of the script, sorted.
async fn first_packets(engine: &MediaEngine, clip: ClipId) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    let answer = answer_of(socket.local_addr()?.port());
    let (events, _kept) = tokio::sync::mpsc::channel(64);
    let mut took = Vec::new();
    for number in 0..200 {
        let call_id = CallId::new(Uuid::from_u128(1_000_000 + number));
        engine.prepare(spec(call_id, true), events.clone()).await?;
        let answered = Instant::now();
        engine.connect(call_id, answer.clone(), false).await?;
        engine
            .start_script(
                call_id,
                Script::Announce {
                    clip,
                    times: 1,
                    gap_ms: 0,
                },
            )
            .await;
        socket.recv_from(&mut [0; 2_000]).await?;
        took.push(answered.elapsed());
        engine.release(call_id).await;
        while socket.try_recv(&mut [0; 2_000]).is_ok() {}
    }
    took.sort();
    Ok(took)
}

fn answer_of(port: u16) -> Bytes {
    format!("v=0\r\nc=IN IP4 127.0.0.1\r\nm=audio {port} RTP/AVP 0\r\n").into()
}

fn spec(call_id: CallId, record: bool) -> EndpointSpec {
    EndpointSpec {
        call_id,
        workspace_id: WorkspaceId::new(Uuid::from_u128(1)),
        codecs: vec![Codec::Pcmu],
        media_address: None,
        record,
        rtp_timeout_ms: 0,
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let calls: usize = arguments.first().map_or(Ok(100), |text| text.parse())?;
    let seconds: u64 = arguments.get(1).map_or(Ok(10), |text| text.parse())?;
    let both_ways = arguments.iter().any(|text| text == "both-ways");
    let record = arguments.iter().any(|text| text == "record");

    let folder = std::env::temp_dir().join(format!("carillon-load-{}", std::process::id()));
    let mut config = EngineConfig::new(folder.clone(), folder.clone(), 1);
    config.clips = Arc::new(Noise);
    config.bind_address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let engine = MediaEngine::start(config)?;
    let clip = ClipId::new(Uuid::from_u128(1));
    engine.warm(clip).await?;

    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_nonblocking(true)?;
    let answer = answer_of(socket.local_addr()?.port());

    let first = first_packets(&engine, clip).await?;
    let before_kb = resident_kb();
    let (events, _kept) = tokio::sync::mpsc::channel(64);
    let mut ids = Vec::new();
    let mut targets = Vec::new();
    for number in 0..calls {
        let call_id = CallId::new(Uuid::from_u128(number as u128 + 1));
        let offer = engine.prepare(spec(call_id, record), events.clone()).await?;
        targets.push(sdp::read_answer(&[Codec::Pcmu], &offer)?.rtp);
        engine.connect(call_id, answer.clone(), false).await?;
        engine
            .start_script(
                call_id,
                Script::Announce {
                    clip,
                    times: 100,
                    gap_ms: 0,
                },
            )
            .await;
        ids.push(call_id);
    }
    let (received, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let sink = {
        let (received, stop) = (Arc::clone(&received), Arc::clone(&stop));
        let targets = if both_ways { targets } else { Vec::new() };
        std::thread::Builder::new()
            .name("sink".into())
            .spawn(move || sink(socket, targets, received, stop))?
    };

    tokio::time::sleep(Duration::from_secs(1)).await;
    let (media, recorder) = (thread_seconds("media-"), thread_seconds("recorder-"));
    let started = Instant::now();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let elapsed = started.elapsed().as_secs_f64();
    let (media, recorder) = (thread_seconds("media-") - media, thread_seconds("recorder-") - recorder);
    let memory_kb = resident_kb().saturating_sub(before_kb);
    let mut figures = Vec::new();
    for id in &ids {
        figures.push(engine.figures(*id).await?);
    }
    stop.store(true, Ordering::Relaxed);
    let _ = sink.join();
    let (sent, heard): (u64, u64) = figures.iter().fold((0, 0), |(sent, heard), f| {
        (sent + f.packets_sent, heard + f.packets_received)
    });
    let late: u64 = figures.iter().map(|figures| figures.packets_late).sum();
    let lost: u64 = figures.iter().map(|figures| figures.packets_lost).sum();
    let per_hundred = 100.0 * 100.0 / (elapsed * calls as f64);
    let mut out = std::io::stdout();
    writeln!(
        out,
        "calls {calls}, {elapsed:.1} s, both ways {both_ways}, recorded {record}"
    )?;
    writeln!(
        out,
        "media threads: {:.2} % of a core per 100 calls",
        media * per_hundred
    )?;
    writeln!(
        out,
        "recorder threads: {:.2} % of a core per 100 calls",
        recorder * per_hundred
    )?;
    let (p50, p99) = (first[first.len() / 2], first[first.len() * 99 / 100]);
    writeln!(out, "answer to first packet: p50 {p50:?}, p99 {p99:?}")?;
    writeln!(out, "memory: {:.1} kB per call", memory_kb as f64 / calls as f64)?;
    writeln!(
        out,
        "sent {sent} (sink took {}), heard {heard}, lost {lost}, late {late}",
        received.load(Ordering::Relaxed)
    )?;
    for id in ids {
        engine.release(id).await;
    }
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
