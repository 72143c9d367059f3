//! What a call costs: two engines on loopback, each on a thread of its own, and the CPU time of ours per call.
//!
//! `cargo run --release -p carillon-carriers --example call_cost -- CALLS CALLS_PER_SECOND HOLD_MS [tcp]`

use anyhow::Context as _;
use bytes::Bytes;
use carillon_carriers::SipCarrier;
use carillon_carriers::sip::{SipConfig, SipEngine, SourcePolicy};
use carillon_carriers::ua::{IncomingCall, SipUa};
use carillon_domain::call::SipIdentity;
use carillon_domain::ids::{CallId, TrunkId, WorkspaceId};
use carillon_domain::trunk::{Codec, NumberFormat, Transport, Trunk};
use carillon_interfaces::carrier::{Carrier as _, CarrierEvent, OriginateRequest};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
m=audio 40000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";

#[expect(clippy::print_stdout, reason = "a command for people")]
fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let mut number = |default: u64| args.next().and_then(|arg| arg.parse().ok()).unwrap_or(default);
    let (calls, per_second, hold_ms) = (number(5_000), number(500), number(2_000));
    let transport = if std::env::args().any(|arg| arg == "tcp") {
        Transport::Tcp
    } else {
        Transport::Udp
    };

    let (ready, far_addr) = std::sync::mpsc::sync_channel(1);
    let far = thread::Builder::new()
        .name("far".to_owned())
        .spawn(move || far_end(ready))?;
    let addr = far_addr.recv()?;
    let began = Instant::now();
    let ours = thread::Builder::new()
        .name("ours".to_owned())
        .spawn(move || place_calls(addr, transport, calls, per_second, Duration::from_millis(hold_ms)))?;
    let report = ours.join().map_err(|_| anyhow::anyhow!("our side panicked"))??;
    let elapsed = began.elapsed();
    drop(far);
    println!(
        "{calls} calls over {transport:?}, {per_second}/s, held {hold_ms} ms: {elapsed:.1?}, clean {}, {:.1} us of CPU per call on our side",
        report.clean,
        report.cpu.as_secs_f64() * 1e6 / calls as f64,
    );
    println!(
        "most calls up {}; both sides together: {} kB before, {} kB at the most, {} kB after; {} retransmissions, drops {:?}",
        report.up_most, report.kb_before, report.kb_most, report.kb_after, report.retransmissions, report.drops,
    );
    Ok(())
}

struct Report {
    clean: u64,
    cpu: Duration,
    up_most: u64,
    kb_before: u64,
    kb_most: u64,
    kb_after: u64,
    retransmissions: u64,
    drops: Vec<(&'static str, u64)>,
}

/// Rings and answers everything until the process ends.
fn far_end(ready: std::sync::mpsc::SyncSender<SocketAddr>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = SipConfig {
            sources: SourcePolicy::Any,
            ..SipConfig::new("127.0.0.1:0".parse()?)
        };
        let ua = Arc::new(SipEngine::start(config).await?);
        let mut calls = ua.accept(1024).await;
        ready.send(ua.local_addr())?;
        while let Some(call) = calls.recv().await {
            tokio::spawn(answer(Arc::clone(&ua), call));
        }
        Ok(())
    })
}

async fn answer(ua: Arc<SipEngine>, mut call: IncomingCall) {
    ua.ring(call.leg, 180, None).await;
    ua.answer(call.leg, Bytes::from_static(SDP.as_bytes())).await;
    while call.events.recv().await.is_some() {}
}

fn place_calls(
    addr: SocketAddr,
    transport: Transport,
    calls: u64,
    per_second: u64,
    hold: Duration,
) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let engine = Arc::new(SipEngine::start(SipConfig::new("127.0.0.1:0".parse()?)).await?);
        let carrier = Arc::new(SipCarrier::new(Arc::clone(&engine) as Arc<dyn SipUa>));
        let trunk = Arc::new(trunk(addr, transport));
        let (clean, up) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (mut up_most, kb_before) = (0, resident_kb()?);
        let mut kb_most = kb_before;
        let cpu_before = thread_cpu()?;
        let mut tick = tokio::time::interval(Duration::from_secs(1) / u32::try_from(per_second)?);
        let mut ends = Vec::new();
        for n in 0..calls {
            tick.tick().await;
            let (done, end) = oneshot::channel();
            ends.push(end);
            let (carrier, trunk) = (Arc::clone(&carrier), Arc::clone(&trunk));
            let (clean, here) = (Arc::clone(&clean), Arc::clone(&up));
            tokio::spawn(async move {
                if one_call(&carrier, trunk, n, hold, &here).await {
                    clean.fetch_add(1, Ordering::Relaxed);
                }
                let _ = done.send(());
            });
            if n % 64 == 0 {
                up_most = up_most.max(up.load(Ordering::Relaxed));
                kb_most = kb_most.max(resident_kb()?);
            }
        }
        for end in ends {
            let _ = end.await;
        }
        let cpu = thread_cpu()? - cpu_before;
        let stats = engine.stats().await;
        let clean = clean.load(Ordering::Relaxed);
        let kb_after = resident_kb()?;
        let (retransmissions, drops) = (stats.retransmissions, stats.drops);
        Ok(Report {
            clean,
            cpu,
            up_most,
            kb_before,
            kb_most,
            kb_after,
            retransmissions,
            drops,
        })
    })
}

/// Whether the call was answered, held and ended as it should.
async fn one_call(carrier: &SipCarrier, trunk: Arc<Trunk>, n: u64, hold: Duration, up: &AtomicU64) -> bool {
    let call_id = CallId::new(uuid::Uuid::from_u128(u128::from(n) << 64 | 1));
    let request = OriginateRequest {
        call_id,
        identity: SipIdentity::of(call_id),
        trunk,
        to_user: "+4930123456".to_owned(),
        from_user: "+4930654321".to_owned(),
        offer_sdp: Bytes::from_static(SDP.as_bytes()),
        ring_timeout: Duration::from_secs(30),
    };
    let (sender, mut events) = mpsc::channel(16);
    if carrier.originate(request, sender).await.is_err() {
        return false;
    }
    while let Some(event) = events.recv().await {
        match event {
            CarrierEvent::Answered { .. } => {
                up.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(hold).await;
                up.fetch_sub(1, Ordering::Relaxed);
                carrier.hang_up(call_id).await;
            }
            CarrierEvent::LocalHangUp { confirmed } => return confirmed,
            CarrierEvent::Failed(_) | CarrierEvent::RemoteHangUp { .. } => return false,
            _ => {}
        }
    }
    false
}

fn trunk(addr: SocketAddr, transport: Transport) -> Trunk {
    Trunk {
        workspace_id: WorkspaceId::new(uuid::Uuid::from_u128(1)),
        id: TrunkId::new(uuid::Uuid::from_u128(2)),
        name: "cost".to_owned(),
        host: addr.ip().to_string(),
        port: addr.port(),
        transport,
        credentials: None,
        domain: None,
        caller_ids: Vec::new(),
        number_format: NumberFormat::E164,
        codecs: vec![Codec::Pcmu],
        lines: u32::MAX,
        calls_per_second: 1_000_000,
        assert_identity: false,
        sandbox: true,
        enabled: true,
        version: 0,
    }
}

/// CPU time of this thread, from the scheduler.
fn thread_cpu() -> anyhow::Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().context("schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

/// Resident memory of the process.
fn resident_kb() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no figure")?.parse()?)
}
