use super::{Answer, World};
use crate::http::links::Format;
use axum::body::Body;
use axum::http::Request;
use carillon_domain::time::UnixMicros;
use carillon_interfaces::clock::{Clock, SystemClock};
use carillon_interfaces::event_renderer::RecordingLinks;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

async fn ranged(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

/// Seconds, codec and channels of an audio file, by ffprobe.
fn probed(bytes: &[u8]) -> (f64, String, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let ask = |entry: &str| {
        let output = Command::new("ffprobe")
            .args(["-v", "error", "-show_entries", entry, "-of", "csv=p=0"])
            .arg(file.path())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    (
        ask("format=duration").parse().unwrap(),
        ask("stream=codec_name"),
        ask("stream=channels"),
    )
}

#[tokio::test]
async fn a_signed_link_opens_the_recording_without_a_key() {
    let world = World::new().await;
    let call = world.recorded_call(2).await;
    let stored = std::fs::read(
        world
            .data
            .path()
            .join("recordings")
            .join(&call.recording.clone().unwrap().path),
    )
    .unwrap();
    let answer = world.get(&world.link(&call, "wav")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "audio/wav");
    assert_eq!(answer.header("content-length"), stored.len().to_string());
    assert_eq!(answer.bytes, stored);
}

#[tokio::test]
async fn links_that_were_changed_or_have_expired_open_nothing() {
    let world = World::new().await;
    let (call, other) = (world.recorded_call(1).await, world.recorded_call(1).await);
    let link = world.link(&call, "wav");
    let forged = [
        link.replace(&call.id.to_string(), &other.id.to_string()),
        link.replace(".wav", ".mp3"),
        link.replace("expires=", "expires=9"),
        link.replace(&call.workspace_id.to_string(), &uuid::Uuid::from_u128(2).to_string()),
        link[..link.len() - 1].to_owned(),
        link.replace("signature=", "signature=00"),
        link.split('?').next().unwrap().to_owned(),
        format!("{}?expires=x&signature=y", link.split('?').next().unwrap()),
    ];
    for path in forged {
        let answer = world.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.json()["error"]["code"].as_str()),
            (403, Some("invalid_link")),
            "{path}"
        );
    }
    let long_ago = SystemClock.now() - Duration::from_secs(120);
    let url = world.links.url(&call, "wav", long_ago, Duration::from_secs(60));
    let expired = world.get(url.strip_prefix("https://calls.example").unwrap()).await;
    assert_eq!(
        (expired.status.as_u16(), expired.json()["error"]["code"].as_str()),
        (403, Some("link_expired"))
    );
    for path in ["/recordings/x/y.wav", "/recordings/x/y", "/recordings/%FF/y.wav"] {
        assert_eq!(world.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_link_ends_at_its_second() {
    let world = World::new().await;
    let call = super::call();
    let url = world
        .links
        .url(&call, "wav", UnixMicros::from_seconds(1_000), Duration::from_secs(60));
    let signature = url.rsplit_once("signature=").unwrap().1;
    let check = |now| {
        world.links.check(
            call.workspace_id,
            call.id,
            Format::Wav,
            1_060,
            signature,
            UnixMicros::from_seconds(now),
        )
    };
    assert!(check(1_059).is_ok());
    assert!(check(1_060).is_err());
}

#[tokio::test]
async fn ranges_give_parts_of_the_file() {
    let world = World::new().await;
    let call = world.recorded_call(1).await;
    let link = world.link(&call, "wav");
    let whole = world.get(&link).await;
    assert_eq!(whole.header("accept-ranges"), "bytes");
    let length = whole.bytes.len();

    let part = ranged(&world, &link, &[("Range", "bytes=44-143")]).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.header("content-range"), format!("bytes 44-143/{length}"));
    assert_eq!(part.header("content-length"), "100");
    assert_eq!(part.bytes, whole.bytes.slice(44..144));

    let end = ranged(&world, &link, &[("Range", "bytes=-10")]).await;
    assert_eq!(end.bytes, whole.bytes.slice(length - 10..));

    let beyond = ranged(&world, &link, &[("Range", "bytes=999999-")]).await;
    assert_eq!(beyond.status, 416);
    assert_eq!(beyond.header("content-range"), format!("bytes */{length}"));

    let etag = whole.header("etag");
    assert_eq!(ranged(&world, &link, &[("If-None-Match", etag)]).await.status, 304);
    assert_eq!(
        ranged(&world, &link, &[("Range", "bytes=0-9"), ("If-Range", etag)])
            .await
            .status,
        206
    );
    assert_eq!(
        ranged(&world, &link, &[("Range", "bytes=0-9"), ("If-Range", "\"other\"")])
            .await
            .status,
        200
    );

    let head = world.send(Request::head(&link).body(Body::empty()).unwrap()).await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length"), head.bytes.len()),
        (200, &*length.to_string(), 0)
    );
}

#[tokio::test]
async fn mp3_and_mp4_are_made_at_the_first_request() {
    let world = World::new().await;
    let call = world.recorded_call(3).await;
    for (extension, media_type, codec) in [("mp3", "audio/mpeg", "mp3"), ("mp4", "audio/mp4", "aac")] {
        let link = world.link(&call, extension);
        assert!(link.contains(&format!(".{extension}?")), "{link}");
        let first = world.get(&link).await;
        assert_eq!((first.status.as_u16(), first.header("content-type")), (200, media_type));
        let (seconds, found, channels) = probed(&first.bytes);
        assert!((seconds - 3.0).abs() < 0.2, "{seconds}");
        assert_eq!((found.as_str(), channels.as_str()), (codec, "2"));
        assert_eq!(world.get(&link).await.bytes, first.bytes);
    }
    assert_eq!(files_in(&world.data.path().join("recordings/1")), 3);
}

fn files_in(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

/// A program that stands for ffmpeg: it writes down each run and copies the file after a while.
fn slow_copier(folder: &Path) -> (String, std::path::PathBuf) {
    let (program, runs) = (folder.join("copier"), folder.join("runs"));
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *-encoders*) echo ' A libmp3lame x'; echo ' A aac x'; exit 0;; esac\n\
         echo run >> {}\nsleep 0.3\nwhile [ \"$1\" != -i ]; do shift; done; source=\"${{2#file:}}\"\n\
         while [ $# -gt 1 ]; do shift; done\ncp \"$source\" \"${{1#file:}}\"\n",
        runs.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    (program.to_str().unwrap().to_owned(), runs)
}

#[tokio::test]
async fn many_requests_at_once_make_one_conversion() {
    let folder = tempfile::tempdir().unwrap();
    let (program, runs) = slow_copier(folder.path());
    let world = World::with_ffmpeg(&program).await;
    let call = world.recorded_call(1).await;
    let link = world.link(&call, "mp3");
    let answers = futures::future::join_all((0..20).map(|_| world.get(&link))).await;
    for answer in &answers {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.bytes, answers[0].bytes);
    }
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_work_to_be_finished() {
    let folder = tempfile::tempdir().unwrap();
    let (program, runs) = slow_copier(folder.path());
    let world = World::with_ffmpeg(&program).await;
    let call = world.recorded_call(1).await;
    let link = world.link(&call, "mp3");
    let gone = tokio::time::timeout(Duration::from_millis(100), world.get(&link)).await;
    assert!(gone.is_err());
    assert_eq!(world.get(&link).await.status, 200);
    assert_eq!(std::fs::read_to_string(runs).unwrap(), "run\n");
}

#[tokio::test]
async fn a_recording_that_cannot_be_converted_is_an_error_and_leaves_nothing() {
    let world = World::new().await;
    let call = world.recorded_call(1).await;
    let path = world
        .data
        .path()
        .join("recordings")
        .join(&call.recording.clone().unwrap().path);
    std::fs::write(&path, b"no sound at all").unwrap();
    let answer = world.get(&world.link(&call, "mp3")).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["error"]["code"].as_str()),
        (500, Some("internal_error"))
    );
    assert_eq!(files_in(path.parent().unwrap()), 1);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(world.get(&world.link(&call, "wav")).await.status, 404);
}

#[tokio::test]
async fn without_ffmpeg_links_say_wav() {
    let world = World::with_ffmpeg("/nowhere/ffmpeg").await;
    let call = world.recorded_call(1).await;
    for extension in ["mp3", "mp4", "wav"] {
        let link = world.link(&call, extension);
        assert!(link.contains(".wav?"), "{link}");
        assert_eq!(world.get(&link).await.header("content-type"), "audio/wav");
    }
    assert!(world.audio.warnings()[0].contains("install ffmpeg"));
    assert!(World::new().await.audio.warnings().is_empty());
}

#[tokio::test]
async fn a_path_that_leaves_the_folder_is_not_followed() {
    let world = World::new().await;
    std::fs::write(world.data.path().join("secret.wav"), b"x").unwrap();
    for path in ["../secret.wav", "/etc/passwd", "", "1/../../secret.wav"] {
        assert!(world.audio.recording(path, Format::Wav).await.is_err(), "{path}");
    }
}
