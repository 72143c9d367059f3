use super::{World, tone};
use crate::http::wav;
use bytes::Bytes;
use carillon_dialects::{ClipAudio, ClipAudioError};
use carillon_domain::ids::ClipId;
use carillon_media::tone::share;
use std::process::Command;
use uuid::Uuid;

const CLIP: ClipId = ClipId::new(Uuid::from_u128(7));

/// A WAV file with this format chunk.
fn wav_file(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let length = u32::try_from(data.len()).unwrap();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + length).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0");
    file.extend(tag.to_le_bytes());
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(block)).to_le_bytes());
    file.extend(block.to_le_bytes());
    file.extend(bits.to_le_bytes());
    file.extend(b"data");
    file.extend(length.to_le_bytes());
    file.extend(data);
    file
}

fn pcm16(samples: &[i16], channels: usize) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| std::iter::repeat_n(*sample, channels))
        .flat_map(i16::to_le_bytes)
        .collect()
}

fn stored(world: &World) -> Vec<i16> {
    let bytes = std::fs::read(world.data.path().join(format!("clips/{CLIP}.pcm"))).unwrap();
    bytes
        .chunks_exact(2)
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect()
}

async fn store(world: &World, file: Vec<u8>) -> Result<u64, ClipAudioError> {
    world
        .audio
        .silent_clip_library()
        .store(CLIP, Bytes::from(file))
        .await
        .map(|clip| clip.duration_ms)
}

/// A second of a 440 Hz tone in another format, by ffmpeg.
fn encoded(output: &[&str]) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let done = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=44100:duration=1",
        ])
        .args(output)
        .arg(file.path())
        .status()
        .unwrap();
    assert!(done.success());
    std::fs::read(file.path()).unwrap()
}

#[tokio::test]
async fn every_common_format_becomes_telephone_sound() {
    let world = World::new().await;
    let formats: [(&str, &[&str]); 7] = [
        ("wav", &["-ac", "2", "-f", "wav"]),
        ("mp3", &["-f", "mp3"]),
        ("ogg vorbis", &["-c:a", "libvorbis", "-f", "ogg"]),
        ("opus", &["-c:a", "libopus", "-f", "ogg"]),
        ("flac", &["-f", "flac"]),
        ("m4a", &["-c:a", "aac", "-f", "mp4"]),
        ("webm", &["-c:a", "libopus", "-f", "webm"]),
    ];
    for (name, output) in formats {
        let duration_ms = store(&world, encoded(output)).await.unwrap();
        assert!((950..=1_100).contains(&duration_ms), "{name}: {duration_ms}");
        let samples = stored(&world);
        assert!(share(&samples[1_000..7_000], 440.0) > 0.9, "{name}");
    }
    let files = std::fs::read_dir(world.data.path().join("clips")).unwrap().count();
    assert_eq!(files, 1, "uploads and unfinished files are gone");
}

#[tokio::test]
async fn what_is_no_sound_is_refused_with_the_reason() {
    let world = World::new().await;
    for file in [b"hello".to_vec(), vec![0; 10_000], b"RIFF\x10\0\0\0WAVEfmt ".to_vec()] {
        let error = store(&world, file).await.unwrap_err();
        let ClipAudioError::Unreadable(reason) = error else {
            panic!("{error:?}")
        };
        assert!(
            reason.starts_with("this is no audio file that can be read: "),
            "{reason}"
        );
        assert!(!reason.contains(world.data.path().to_str().unwrap()), "{reason}");
    }
    let silent = store(&world, wav_file(1, 1, 8_000, 16, &[])).await;
    assert!(matches!(silent, Err(ClipAudioError::Unreadable(_))), "{silent:?}");
    assert_eq!(std::fs::read_dir(world.data.path().join("clips")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_playlist_cannot_reach_other_files() {
    let world = World::new().await;
    let other = world.data.path().join("clips/other.wav");
    std::fs::write(&other, wav_file(1, 1, 8_000, 16, &pcm16(&tone(8_000, 440.0, 1), 1))).unwrap();
    let playlists = [
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1.0,\n{}\n#EXT-X-ENDLIST\n",
            other.display()
        ),
        format!("ffconcat version 1.0\nfile '{}'\n", other.display()),
    ];
    for playlist in playlists {
        let refused = store(&world, playlist.clone().into_bytes()).await;
        assert!(
            matches!(refused, Err(ClipAudioError::Unreadable(_))),
            "{playlist}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn without_ffmpeg_common_wav_files_are_read() {
    let world = World::with_ffmpeg("/nowhere/ffmpeg").await;
    let laws: Vec<u8> = tone(8_000, 440.0, 1)
        .iter()
        .map(|sample| carillon_media::g711::encode_sample(carillon_domain::trunk::Codec::Pcmu, *sample))
        .collect();
    let table = [
        ("8 kHz", wav_file(1, 1, 8_000, 16, &pcm16(&tone(8_000, 440.0, 1), 1))),
        (
            "16 kHz, two channels",
            wav_file(1, 2, 16_000, 16, &pcm16(&tone(16_000, 440.0, 1), 2)),
        ),
        ("48 kHz", wav_file(1, 1, 48_000, 16, &pcm16(&tone(48_000, 440.0, 1), 1))),
        ("mu-law", wav_file(7, 1, 8_000, 8, &laws)),
    ];
    for (name, file) in table {
        assert_eq!(store(&world, file).await, Ok(1_000), "{name}");
        let samples = stored(&world);
        assert!(share(&samples[500..7_500], 440.0) > 0.98, "{name}");
        let loudest = samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        assert!((15_000..=17_000).contains(&loudest), "{name}: {loudest}");
    }
}

#[tokio::test]
async fn what_eight_kilohertz_cannot_hold_does_not_fold_back() {
    let samples = wav::read(&wav_file(1, 1, 48_000, 16, &pcm16(&tone(48_000, 7_000.0, 1), 1))).unwrap();
    let loudest = samples[100..7_900]
        .iter()
        .map(|sample| sample.unsigned_abs())
        .max()
        .unwrap();
    assert!(loudest < 100, "{loudest}");
}

#[tokio::test]
async fn without_ffmpeg_other_files_are_refused_with_the_fix() {
    let world = World::with_ffmpeg("/nowhere/ffmpeg").await;
    let table = [
        b"ID3\x04 an mp3 file".to_vec(),
        wav_file(1, 1, 44_100, 16, &[0; 100]),
        wav_file(3, 1, 8_000, 32, &[0; 100]),
        wav_file(1, 6, 8_000, 16, &[0; 100]),
        b"RIFF\xff\xff\xff\xffWAVEfmt \xff\xff\xff\xff\x01\0".to_vec(),
    ];
    for file in table {
        let error = store(&world, file).await.unwrap_err();
        assert!(error.to_string().contains("install ffmpeg"), "{error}");
    }
}

#[tokio::test]
async fn a_clip_comes_back_as_a_wav_file() {
    let world = World::new().await;
    let samples = tone(8_000, 440.0, 1);
    store(&world, wav_file(1, 1, 8_000, 16, &pcm16(&samples, 1)))
        .await
        .unwrap();
    let library = world.audio.silent_clip_library();
    let file = library.wav(CLIP).await.unwrap();
    assert_eq!(wav::read(&file).unwrap(), samples);
    assert_eq!(
        library.wav(ClipId::new(Uuid::from_u128(8))).await,
        Err(ClipAudioError::Missing)
    );
}

#[test]
fn any_bytes_are_read_or_refused() {
    let whole = wav_file(1, 2, 48_000, 16, &[1; 64]);
    for length in 0..whole.len() {
        // Cut off anywhere: an answer, never a panic.
        drop(wav::read(&whole[..length]));
        let mut broken = whole.clone();
        broken[length] ^= 0xff;
        drop(wav::read(&broken));
    }
}
