//! A soft phone of others answers a call with a WAV file and keeps what it hears: our tone is in that, and its tone is in
//! our recording.

use crate::harness::api::{TrunkTo, calls_of, numbers};
use crate::harness::ports;
use crate::harness::scene::{FAR_END_HZ, PROMPT_HZ, announce};
use crate::harness::server::{Installation, tail};
use crate::harness::sipp::{Transport, is_bound};
use crate::harness::wav::Wav;
use crate::sipp_calls::check_recording;
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

struct SoftPhone {
    addr: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Drop for SoftPhone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl SoftPhone {
    /// A phone with this number that answers by itself and plays a tone.
    async fn start(number: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (port, media) = (ports::free(), ports::free());
        std::fs::write(path("said.wav"), Wav::tone(FAR_END_HZ, 10_000).bytes()).unwrap();
        let config = format!(
            "poll_method epoll\nsip_listen 127.0.0.1:{port}\naudio_source aufile,{}\nausrc_srate 8000\nauplay_srate 8000\n\
             rtp_ports {media}-{}\nmodule_path {}\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n\
             module_app account.so\nmodule_app menu.so\nsnd_path {}\n",
            path("said.wav").display(),
            media + 1,
            modules().display(),
            folder.path().display(),
        );
        std::fs::write(path("config"), config).unwrap();
        let account = format!("<sip:{number}@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs=PCMU/8000/1\n");
        std::fs::write(path("accounts"), account).unwrap();
        std::fs::write(path("contacts"), "").unwrap();
        let log = std::fs::File::create(path("log")).unwrap();
        let mut command = Command::new("baresip");
        command
            .arg("-f")
            .arg(folder.path())
            .args(["-t", "60"])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null());
        let child = command
            .spawn()
            .expect("Debian's baresip-core provides baresip; scripts/setup installs it");
        let phone = Self {
            addr: SocketAddr::from(([127, 0, 0, 1], port)),
            child,
            folder,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is_bound(port, Transport::Udp) {
            assert!(
                Instant::now() < deadline,
                "baresip does not start: {}",
                tail(&phone.folder.path().join("log"))
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        phone
    }

    /// What it heard, once the call is over.
    fn heard(&self) -> Wav {
        let files = std::fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut dumps: Vec<PathBuf> = files
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        assert_eq!(dumps.len(), 1, "{}", tail(&self.folder.path().join("log")));
        Wav::parse(&std::fs::read(dumps.remove(0)).unwrap()).unwrap()
    }
}

/// Where Debian puts the phone's modules.
fn modules() -> PathBuf {
    let places = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
        "/usr/local/lib/baresip/modules",
    ];
    places
        .iter()
        .map(Path::new)
        .find(|path| path.is_dir())
        .expect("baresip's modules")
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_soft_phone_hears_our_tone_and_we_record_its_own() {
    let number = numbers(72_000_000, 1);
    let phone = SoftPhone::start(&number[0]).await;
    let installation = Installation::new();
    let server = installation.start().await;
    let api = &server.api;
    let clip = api.clip("prompt", &Wav::tone(PROMPT_HZ, 2_000)).await;
    let agent = api.agent(announce(&clip), 20).await;
    let trunk = api.trunk("phone", &TrunkTo::udp(phone.addr)).await;
    let campaign = api.campaign(&agent, &trunk, &json!({})).await;
    let run = api.push(&campaign, &number).await.remove(0);
    let record = api.wait_for_record(&campaign, &run).await;
    assert_eq!(
        record["status"],
        "completed",
        "{record}\n{}",
        tail(&phone.folder.path().join("log"))
    );

    let call = api.call(&calls_of(&record)[0]).await;
    let recording = check_recording(&server, &call).await;
    let (first, second) = (
        recording.loudest_share(0, FAR_END_HZ),
        recording.loudest_share(1, FAR_END_HZ),
    );
    assert!(
        first.max(second) > 0.8,
        "the phone's tone is in the recording: {first} {second}"
    );

    let heard = phone.heard();
    let share = heard.loudest_share(0, PROMPT_HZ);
    assert!(
        share > 0.9,
        "our tone is in what the phone heard: {share} of {} ms",
        heard.length_ms()
    );
    assert!(
        (1_800..2_600).contains(&heard.length_ms()),
        "it heard all of it: {} ms",
        heard.length_ms()
    );
}
