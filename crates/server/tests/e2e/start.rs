//! Starting and stopping: wrong settings, missing tools, a second server, SIGTERM.

use crate::harness::api::{calls_of, numbers};
use crate::harness::far_end::End;
use crate::harness::scene::{ANSWERS, Scene};
use crate::harness::server::Installation;
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

/// Starts a server that must refuse to, and returns what it said.
fn refusal(installation: &Installation, config: &str, variables: &[(&str, &str)]) -> (bool, String) {
    let file = installation.data.with_extension("toml");
    std::fs::write(&file, config).unwrap();
    let mut command = installation.command(variables);
    command.arg("--config").arg(&file);
    // A server that starts all the same would wait for ever.
    let mut guarded = std::process::Command::new("timeout");
    guarded.arg("20").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(name, value),
            None => guarded.env_remove(name),
        };
    }
    let Output { status, stdout, stderr } = guarded.output().unwrap();
    (
        status.success(),
        String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr),
    )
}

#[test]
fn wrong_settings_stop_the_start_with_their_place_and_the_fix() {
    let table: [(&str, &[(&str, &str)], &[&str]); 7] = [
        ("[server]\nlisten = 8080\n", &[], &["line 2", "fix:"]),
        (
            "\n[sip]\nlitsen = \"127.0.0.1:1\"\n",
            &[],
            &["line 3", "litsen", "fix:"],
        ),
        ("[telephony]\n", &[], &["line 1", "telephony", "fix:"]),
        ("[server\n", &[], &["line 1", "fix:"]),
        (
            "[media]\nport_min = 9000\nport_max = 8000\n",
            &[],
            &["media.port_min", "below media.port_max"],
        ),
        (
            "[[trunks]]\nname = \"a\"\nhost = \"h\"\ncaller_ids = [\"12\"]\n",
            &[],
            &["trunks.a.caller_ids", "write +"],
        ),
        (
            "",
            &[("CARILLON_FAILPOINT", "no_such_point")],
            &["no_such_point", "dial_committed"],
        ),
    ];
    for (config, variables, expected) in table {
        let (started, said) = refusal(&Installation::new(), config, variables);
        assert!(!started, "{config:?} was taken");
        for words in expected {
            assert!(said.contains(words), "{config:?}: `{words}` is not in: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_opened_stops_the_start() {
    let installation = Installation::new();
    for url in ["mysql://somewhere", "postgres://nobody@127.0.0.1:1/nothing"] {
        let (started, said) = refusal(&installation, "", &[("CARILLON_STORE__URL", url)]);
        assert!(!started && said.contains("the store cannot be opened"), "{url}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_data_is_refused() {
    let installation = Installation::new();
    let _first = installation.start().await;
    let elsewhere = [
        ("CARILLON_LISTEN", "127.0.0.1:0"),
        ("CARILLON_SIP_LISTEN", "127.0.0.1:0"),
    ];
    let mut command = std::process::Command::new("timeout");
    command
        .arg("20")
        .arg(crate::harness::server::carillon())
        .args(["serve", "--data"])
        .arg(&installation.data)
        .envs(elsewhere);
    let said = command.output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains("another"), "{text}");
}

/// The move itself is tested with a PostgreSQL in the store's own tests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_a_server_uses_does_not_move() {
    let installation = Installation::new();
    let move_store = || {
        let said = std::process::Command::new(crate::harness::server::carillon())
            .args(["migrate-store", "--data"])
            .arg(&installation.data)
            .args(["--to", "postgres://carillon:geheim@127.0.0.1:1/carillon"])
            .output()
            .unwrap();
        (
            said.status.success(),
            String::from_utf8_lossy(&said.stderr).into_owned() + &String::from_utf8_lossy(&said.stdout),
        )
    };
    let (moved, said) = move_store();
    assert!(!moved && said.contains("there is no store at"), "{said}");
    let server = installation.start().await;
    let (moved, said) = move_store();
    assert!(!moved && said.contains("is in use by process"), "{said}");
    drop(server);
    let (moved, said) = move_store();
    assert!(
        !moved && said.contains("postgres") && !said.contains("geheim"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_writes_keys_that_only_the_owner_reads() {
    let installation = Installation::new();
    let server = installation.start().await;
    let path = installation.data.join("credentials.json");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let first = std::fs::read_to_string(&path).unwrap();
    drop(server);
    let _again = installation.start().await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), first, "a restart keeps them");
}

/// Without ffmpeg everything works but other formats: the warning names it, and links say what they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_ffmpeg_is_named_and_recordings_stay_wav() {
    let nothing = tempfile::tempdir().unwrap();
    let installation = Installation::new().with("PATH", nothing.path().to_str().unwrap());
    let scene = Scene::start(installation, |_| ANSWERS, 500, 20).await;
    let log = std::fs::read_to_string(scene.installation.log_path()).unwrap();
    assert!(
        log.lines()
            .any(|line| line.contains("warning") && line.contains("ffmpeg")),
        "{log}"
    );
    let campaign = scene.campaign(&json!({})).await;
    let run = scene.api().push(&campaign, &numbers(78_000_000, 1)).await.remove(0);
    let record = scene.api().wait_for_record(&campaign, &run).await;
    let status = scene.api().status(&calls_of(&record)[0]).await;
    let (code, media_type, file) = scene.api().fetch(status["recording_url"].as_str().unwrap()).await;
    assert_eq!(
        (code, media_type.as_str(), file.get(..4)),
        (200, "audio/wav", Some(b"RIFF".as_slice())),
        "{status}"
    );
}

/// SIGTERM: live calls get their grace, then BYE; what is stored says so at the next start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_live_calls_in_order() {
    let Scene {
        server,
        far_end,
        receiver,
        installation,
        agent,
        trunk,
        ..
    } = Scene::start(Installation::new(), |_| ANSWERS, 20_000, 20).await;
    let campaign = server.api.campaign(&agent, &trunk, &json!({})).await;
    let run = server.api.push(&campaign, &numbers(79_000_000, 1)).await.remove(0);
    far_end
        .wait_for("an answered call", |legs| legs.iter().any(|leg| leg.acknowledged))
        .await;
    let status = server.stop().await;
    assert!(status.success(), "{status}");
    let legs = far_end
        .wait_for("BYE", |legs| legs.iter().all(|leg| !leg.is_up()))
        .await;
    assert_eq!(legs[0].end.map(|(end, _)| end), Some(End::HungUpByCaller));
    let server = installation.start().await;
    let record = server.api.wait_for_record(&campaign, &run).await;
    assert_eq!(record["status"], "completed", "{record}");
    receiver.wait_for_call(&calls_of(&record)[0]).await;
    assert_eq!(far_end.legs().len(), 1, "nobody is rung again");
}
