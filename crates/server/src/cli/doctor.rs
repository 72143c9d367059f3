//! `carillon doctor`: looks for what is wrong, and says what to change.

use super::ServeArgs;
use super::output::Output;
use crate::config::Config;
use crate::wiring::{finds_program, model_services, speech_options};
use carillon_interfaces::language_model::{ChatMessage, ChatRequest, ModelError};
use carillon_providers::embedded::Speech;
use carillon_voice::agent::model::ModelServices;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Degraded,
    Wrong,
}

struct Finding {
    what: &'static str,
    verdict: Verdict,
    detail: String,
}

/// Runs the checks; fails if one of them would stop the server.
pub(crate) async fn doctor(args: &ServeArgs, out: Output) -> anyhow::Result<ExitCode> {
    let config = args.load()?;
    let mut findings = vec![
        address("HTTP address", config.server.listen, tcp_is_free(config.server.listen)),
        address("SIP address (UDP)", config.sip.listen, udp_is_free(config.sip.listen)),
        address("SIP address (TCP)", config.sip.listen, tcp_is_free(config.sip.listen)),
        data_folder(&config),
        store(&config).await,
        program(
            "ffmpeg",
            "recordings as .mp3 and .mp4, clips of any format",
            "apt-get install ffmpeg",
        ),
        program(
            "espeak-ng",
            "spoken prompts in the demo and the sandbox",
            "apt-get install espeak-ng",
        ),
    ];
    findings.extend(language_model(&config).await);
    findings.extend(speech(&config).await);
    for trunk in &config.trunks {
        findings.push(trunk_host(&trunk.name, &trunk.host, trunk.port).await);
    }
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| {
            let word = match finding.verdict {
                Verdict::Good => "ok",
                Verdict::Degraded => "degraded",
                Verdict::Wrong => "WRONG",
            };
            vec![word.to_owned(), finding.what.to_owned(), finding.detail.clone()]
        })
        .collect();
    out.table(&["", "what", "detail"], &rows);
    let wrong = findings.iter().any(|finding| finding.verdict == Verdict::Wrong);
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn tcp_is_free(listen: SocketAddr) -> std::io::Result<()> {
    TcpListener::bind(listen).map(drop)
}

fn udp_is_free(listen: SocketAddr) -> std::io::Result<()> {
    UdpSocket::bind(listen).map(drop)
}

fn address(what: &'static str, listen: SocketAddr, tried: std::io::Result<()>) -> Finding {
    match tried {
        Ok(()) => Finding {
            what,
            verdict: Verdict::Good,
            detail: format!("{listen} is free"),
        },
        Err(error) => {
            let detail =
                format!("{listen}: {error}. Stop what listens there (perhaps a running server), or choose another");
            Finding {
                what,
                verdict: Verdict::Wrong,
                detail,
            }
        }
    }
}

fn data_folder(config: &Config) -> Finding {
    let data = &config.server.data;
    let probe = data.join(".probe");
    let tried = std::fs::create_dir_all(data)
        .and_then(|()| std::fs::write(&probe, b"x"))
        .and_then(|()| std::fs::remove_file(&probe));
    match tried {
        Ok(()) => Finding {
            what: "data folder",
            verdict: Verdict::Good,
            detail: format!("{} can be written", data.display()),
        },
        Err(error) => {
            let detail = format!("{}: {error}. Choose another with --data", data.display());
            Finding {
                what: "data folder",
                verdict: Verdict::Wrong,
                detail,
            }
        }
    }
}

/// Each part of the embedded speech: the model, or what does its work.
async fn speech(config: &Config) -> Vec<Finding> {
    let finding = |verdict, detail| Finding {
        what: "speech",
        verdict,
        detail,
    };
    if !config.speech.enabled {
        return vec![finding(
            Verdict::Degraded,
            "turned off by `speech.enabled`: agents do not converse".to_owned(),
        )];
    }
    let options = match speech_options(&config.speech) {
        Ok(options) => options,
        Err(error) => return vec![finding(Verdict::Wrong, error.to_string())],
    };
    match tokio::task::spawn_blocking(move || Speech::open(&options)).await {
        Ok(speech) => speech
            .parts()
            .iter()
            .map(|report| match &report.problem {
                None => finding(Verdict::Good, format!("{}: {}", report.part.name(), report.in_use)),
                Some(problem) => finding(
                    Verdict::Degraded,
                    format!("{}: {}, since {problem}", report.part.name(), report.in_use),
                ),
            })
            .collect(),
        Err(error) => vec![finding(Verdict::Wrong, error.to_string())],
    }
}

async fn store(config: &Config) -> Finding {
    let what = "store";
    match carillon_store::open(&config.store.url, &config.server.data).await {
        Ok(store) => match store.workspaces().await {
            Ok(found) => Finding {
                what,
                verdict: Verdict::Good,
                detail: format!("opens; {} workspaces", found.len()),
            },
            Err(error) => Finding {
                what,
                verdict: Verdict::Wrong,
                detail: error.to_string(),
            },
        },
        Err(error) => Finding {
            what,
            verdict: Verdict::Wrong,
            detail: error.to_string(),
        },
    }
}

fn program(name: &'static str, use_for: &str, fix: &str) -> Finding {
    if finds_program(name) {
        return Finding {
            what: name,
            verdict: Verdict::Good,
            detail: format!("found: {use_for}"),
        };
    }
    Finding {
        what: name,
        verdict: Verdict::Degraded,
        detail: format!("not found; without it no {use_for}. Fix: {fix}"),
    }
}

/// Asks the language model for a word, if there is one.
async fn language_model(config: &Config) -> Option<Finding> {
    let what = "language model";
    let wrong = |detail: String| Finding {
        what,
        verdict: Verdict::Wrong,
        detail,
    };
    let services = match model_services(config) {
        Ok(services) => services?,
        Err(error) => return Some(wrong(format!("{error:#}"))),
    };
    let name = services.model.name();
    let started = Instant::now();
    Some(match first_piece(&services).await {
        Ok(()) => Finding {
            what,
            verdict: Verdict::Good,
            detail: format!("{name}: the first word took {} ms", started.elapsed().as_millis()),
        },
        Err(error) => wrong(format!("{name}: {error}")),
    })
}

async fn first_piece(services: &ModelServices) -> Result<(), ModelError> {
    let request = ChatRequest {
        messages: vec![ChatMessage::User("Answer with the one word: ready".to_owned())],
        tools: Vec::new(),
        model: None,
        temperature_milli: services.settings.temperature_milli,
        max_tokens: services.settings.answer_tokens_max,
        answer_schema: None,
        first_word_timeout: services.settings.first_word_timeout,
        total_timeout: services.settings.total_timeout,
    };
    let mut answer = services.model.chat(request).await?;
    answer.recv().await.unwrap_or(Err(ModelError::BrokenOff)).map(drop)
}

async fn trunk_host(name: &str, host: &str, port: u16) -> Finding {
    let what = "trunk";
    match tokio::net::lookup_host((host, port))
        .await
        .map(|mut addresses| addresses.next())
    {
        Ok(Some(address)) => Finding {
            what,
            verdict: Verdict::Good,
            detail: format!("{name}: {host} is {address}"),
        },
        Ok(None) => Finding {
            what,
            verdict: Verdict::Wrong,
            detail: format!("{name}: {host} has no address"),
        },
        Err(error) => Finding {
            what,
            verdict: Verdict::Wrong,
            detail: format!("{name}: {host}: {error}"),
        },
    }
}
