//! Programs that speak, run as processes of their own: espeak-ng for phonemes and as a voice, flite as a voice. Text goes to their
//! standard input, never through a shell; each has a time limit.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long a program may take for one piece of text.
const TIME_LIMIT: Duration = Duration::from_secs(8);
/// The most that is read of what a program says: a piece of 180 letters is well under a minute of sound.
const OUTPUT_BYTES_MAX: usize = 16 << 20;

/// Whether a program is on the path.
pub(super) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// Phonemes of clauses in IPA, a line for each, by a voice of espeak-ng.
///
/// A clause is one line of the program's input. It mostly answers with one line; where it makes its own pauses there are more, and
/// then nobody could say which belong together, so each clause is asked for by itself.
pub(super) async fn phonemes(voice: &str, clauses: &[&str]) -> Result<Vec<String>, String> {
    let lines = espeak_lines(voice, &clauses.join("\n")).await?;
    if lines.len() == clauses.len() {
        return Ok(lines);
    }
    let mut one_by_one = Vec::with_capacity(clauses.len());
    for clause in clauses {
        one_by_one.push(espeak_lines(voice, clause).await?.join(" "));
    }
    Ok(one_by_one)
}

async fn espeak_lines(voice: &str, text: &str) -> Result<Vec<String>, String> {
    let mut command = Command::new("espeak-ng");
    command.args(["-q", "--ipa", "-b", "1", "-v", voice]);
    let said = run(command, &format!("{text}\n")).await?;
    let said = String::from_utf8(said).map_err(|_| "espeak-ng wrote what is no text".to_owned())?;
    let lines = said
        .lines()
        .map(without_language_marks)
        .map(|line| line.trim().to_owned());
    Ok(lines.filter(|line| !line.is_empty()).collect())
}

/// espeak-ng marks words that it takes for foreign, as `(fr)…(en)`.
fn without_language_marks(line: &str) -> String {
    let mut kept = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('(') {
        kept.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    kept + rest
}

/// Sound by espeak-ng: a WAV file's bytes.
pub(super) async fn espeak_sound(text: &str, speed_percent: u16) -> Result<Vec<u8>, String> {
    let words_per_minute = 160 * u32::from(speed_percent.clamp(50, 200)) / 100;
    let mut command = Command::new("espeak-ng");
    command
        .args(["--stdout", "--stdin", "-b", "1", "-v", "en-us", "-s"])
        .arg(words_per_minute.to_string());
    run(command, text).await
}

/// Sound by flite: a WAV file's bytes.
pub(super) async fn flite_sound(text: &str, speed_percent: u16) -> Result<Vec<u8>, String> {
    let stretch = 100.0 / f64::from(speed_percent.clamp(50, 200));
    // flite seeks in what it writes, so it needs a file.
    let file = tempfile::Builder::new()
        .suffix(".wav")
        .tempfile()
        .map_err(|error| format!("no temporary file for flite: {error}"))?;
    let mut command = Command::new("flite");
    command
        .args(["-voice", "slt", "--setf"])
        .arg(format!("duration_stretch={stretch:.2}"))
        .args([Path::new("-f"), Path::new("/dev/stdin"), Path::new("-o"), file.path()]);
    run(command, text).await?;
    let read = tokio::fs::read(file.path()).await;
    read.map_err(|error| format!("what flite wrote cannot be read: {error}"))
}

async fn run(mut command: Command, input: &str) -> Result<Vec<u8>, String> {
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let work = async {
        let mut child = command
            .spawn()
            .map_err(|error| format!("{name} does not start: {error}"))?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A program that reads no further has said what it wanted to say.
                let _ = stdin.write_all(input.as_bytes()).await;
                let _ = stdin.shutdown().await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        output.map_err(|error| format!("{name}: {error}"))
    };
    let output = tokio::time::timeout(TIME_LIMIT, work)
        .await
        .map_err(|_| format!("{name} takes longer than {} s", TIME_LIMIT.as_secs()))??;
    if !output.status.success() {
        return Err(format!("{name} ended with {}", output.status));
    }
    if output.stdout.len() > OUTPUT_BYTES_MAX {
        return Err(format!("{name} said more than {OUTPUT_BYTES_MAX} bytes"));
    }
    Ok(output.stdout)
}

/// Sample rate in hertz and samples of a WAV file with one channel of 16 bits. The header of a stream does not know its length, so
/// the samples go to the end of the file.
pub(super) fn read_wav(bytes: &[u8]) -> Option<(u32, Vec<i16>)> {
    let word = |at: usize| Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let long = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let is_mono = bytes.get(..4)? == b"RIFF" && bytes.get(8..12)? == b"WAVE" && word(22)? == 1 && word(34)? == 16;
    let rate_hz = long(24).filter(|rate_hz| is_mono && (4_000..=48_000).contains(rate_hz))?;
    let data = bytes.windows(4).take(512).position(|window| window == b"data")?;
    let samples = bytes.get(data + 8..)?.chunks_exact(2);
    Some((
        rate_hz,
        samples
            .map(|sample| i16::from_le_bytes([sample[0], sample[1]]))
            .collect(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_foreign_words_are_no_phonemes() {
        let rows = [
            ("həlˈoʊ", "həlˈoʊ"),
            ("(fr)bɔ̃ʒˈuʁ(en-us) ðˈɛɹ", "bɔ̃ʒˈuʁ ðˈɛɹ"),
            ("a(b", "a"),
        ];
        for (line, wanted) in rows {
            assert_eq!(without_language_marks(line), wanted);
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_or_fails_is_named() {
        let missing = run(Command::new("carillon-no-such-program"), "x").await;
        assert!(
            missing
                .expect_err("nothing")
                .contains("carillon-no-such-program does not start")
        );
        let failing = run(Command::new("false"), "x").await;
        assert!(failing.expect_err("nothing").contains("false ended with"));
        assert_eq!(
            run(Command::new("cat"), "as it is; $(not run)").await.as_deref(),
            Ok(&b"as it is; $(not run)"[..])
        );
    }

    #[test]
    fn a_wav_of_one_channel_is_read_and_others_are_not() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
        wav.extend(22_050_u32.to_le_bytes());
        wav.extend(44_100_u32.to_le_bytes());
        wav.extend(b"\x02\0\x10\0data\0\0\0\0\x01\0\xff\xff");
        assert_eq!(read_wav(&wav), Some((22_050, vec![1, -1])));
        wav[22] = 2;
        assert_eq!(read_wav(&wav), None);
        assert_eq!(read_wav(b"RIFF"), None);
    }
}
