//! Settings: the defaults that are compiled in, then a file, then variables, then flags. A wrong one stops the start with
//! its place and the fix.

use carillon_domain::phone::PhoneNumber;
use carillon_domain::trunk::{Codec, Transport};
use carillon_providers::hosted::settings::ModelSettings;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// The reference of all settings.
pub(crate) const DEFAULTS: &str = include_str!("config.default.toml");

/// All settings. Each field is described in `config.default.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) server: ServerConfig,
    pub(crate) store: StoreConfig,
    pub(crate) sip: SipSettings,
    pub(crate) media: MediaConfig,
    pub(crate) speech: SpeechConfig,
    #[serde(default)]
    pub(crate) model: ModelSettings,
    pub(crate) tools: ToolsConfig,
    pub(crate) webhooks: WebhookConfig,
    pub(crate) workspace: WorkspaceConfig,
    pub(crate) sandbox: SandboxConfig,
    pub(crate) limits: LimitsConfig,
    pub(crate) log: LogConfig,
    #[serde(default)]
    pub(crate) trunks: Vec<TrunkConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) base_url: String,
    pub(crate) data: PathBuf,
    pub(crate) shutdown_grace_s: u64,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreConfig {
    pub(crate) url: String,
}

impl std::fmt::Debug for StoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may hold a password.
        f.write_str(self.url.split(':').next().unwrap_or("?"))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SipSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) allow: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MediaConfig {
    pub(crate) address: String,
    pub(crate) port_min: u16,
    pub(crate) port_max: u16,
    pub(crate) threads: usize,
    pub(crate) rtp_timeout_ms: u32,
}

impl MediaConfig {
    /// The address for SDP, if one is set.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        self.address.parse().ok()
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToolsConfig {
    pub(crate) allow_targets: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpeechConfig {
    pub(crate) enabled: bool,
    pub(crate) models: PathBuf,
    pub(crate) without: Vec<String>,
    pub(crate) hearing_threads: usize,
    pub(crate) speaking_threads: usize,
    pub(crate) capacity: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookConfig {
    pub(crate) allow_targets: Vec<String>,
    pub(crate) timeout_s: u64,
    pub(crate) concurrency: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceConfig {
    pub(crate) name: String,
    pub(crate) mode: carillon_domain::workspace::Mode,
    pub(crate) region: String,
    pub(crate) allowed_regions: Vec<String>,
    pub(crate) max_concurrent_calls: u32,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SandboxConfig {
    pub(crate) listen: String,
    pub(crate) external: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    pub(crate) body_mib: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogConfig {
    pub(crate) filter: String,
    pub(crate) format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrunkConfig {
    pub(crate) name: String,
    pub(crate) host: String,
    #[serde(default = "default_sip_port")]
    pub(crate) port: u16,
    #[serde(default = "default_transport")]
    pub(crate) transport: Transport,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) password: String,
    #[serde(default)]
    pub(crate) domain: String,
    pub(crate) caller_ids: Vec<String>,
    #[serde(default)]
    pub(crate) number_format: NumberFormatConfig,
    #[serde(default = "default_codecs")]
    pub(crate) codecs: Vec<Codec>,
    #[serde(default = "default_lines")]
    pub(crate) lines: u32,
    #[serde(default = "default_rate")]
    pub(crate) calls_per_second: u32,
    #[serde(default)]
    pub(crate) assert_identity: bool,
}

impl std::fmt::Debug for TrunkConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrunkConfig")
            .field("name", &self.name)
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum NumberFormatConfig {
    #[default]
    E164,
    Digits,
}

const fn default_sip_port() -> u16 {
    5060
}
const fn default_transport() -> Transport {
    Transport::Udp
}
fn default_codecs() -> Vec<Codec> {
    vec![Codec::Pcmu, Codec::Pcma]
}
const fn default_lines() -> u32 {
    30
}
const fn default_rate() -> u32 {
    5
}

/// What is wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigProblem {
    /// The file cannot be read.
    #[error("cannot read {path}: {error}\n  fix: check the path after --config")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {error}  fix: see `carillon config` for every setting with its default")]
    File {
        /// The file.
        path: String,
        /// What the parser says, with line and column.
        error: Box<toml::de::Error>,
    },
    /// A variable is not what it should be.
    #[error("{variable}: {reason}\n  fix: see `carillon config` for every setting with its default")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong.
        reason: String,
    },
    /// The values do not go together.
    #[error("{setting}: {reason}")]
    Value {
        /// The setting.
        setting: String,
        /// What is wrong, and the fix.
        reason: String,
    },
}

impl Config {
    /// The settings from the file (if any) and the variables.
    pub(crate) fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigProblem> {
        let mut table = parse(DEFAULTS, "the built-in defaults")?;
        if let Some(path) = file {
            let name = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|error| ConfigProblem::Unreadable {
                path: name.clone(),
                error,
            })?;
            // Parsed once by itself, so that errors carry the line of the user's file.
            let own = parse(&text, &name)?;
            check_shape(&text, &name, &table, &own)?;
            merge(&mut table, own);
        }
        let mut used = Vec::new();
        for (variable, value) in variables {
            if let Some(path) = variable.strip_prefix("CARILLON_").filter(|path| path.contains("__")) {
                set_variable(&mut table, &variable, path, &value)?;
                used.push(variable);
            }
        }
        let config: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| ConfigProblem::Variable {
                variable: if used.is_empty() {
                    "settings".to_owned()
                } else {
                    used.join(", ")
                },
                reason: error.message().to_owned(),
            })?;
        config.check()?;
        Ok(config)
    }

    /// What types cannot check.
    fn check(&self) -> Result<(), ConfigProblem> {
        let wrong = |setting: &str, reason: String| {
            Err(ConfigProblem::Value {
                setting: setting.to_owned(),
                reason,
            })
        };
        if self.media.port_min >= self.media.port_max {
            return wrong("media.port_min", "must be below media.port_max".to_owned());
        }
        if !self.media.address.is_empty() && self.media.address().is_none() {
            return wrong("media.address", format!("`{}` is no IP address", self.media.address));
        }
        if self.model.is_set() && self.model.model.trim().is_empty() {
            return wrong("model.model", "name the model, as its server knows it".to_owned());
        }
        for (setting, limit) in [
            ("model.answer_tokens_max", u64::from(self.model.answer_tokens_max)),
            ("model.first_word_timeout_ms", self.model.first_word_timeout_ms),
            ("model.total_timeout_ms", self.model.total_timeout_ms),
        ] {
            if limit == 0 {
                return wrong(setting, "must be more than 0".to_owned());
            }
        }
        for (setting, text) in [
            ("sandbox.listen", &self.sandbox.listen),
            ("sandbox.external", &self.sandbox.external),
        ] {
            if !text.is_empty() && text.parse::<SocketAddr>().is_err() {
                return wrong(setting, format!("`{text}` is no ADDRESS:PORT"));
            }
        }
        for trunk in &self.trunks {
            for number in &trunk.caller_ids {
                if PhoneNumber::from_e164_shape(number).is_none() {
                    let reason = format!("`{number}` is no E.164 number; write + and 7 to 15 digits");
                    return wrong(&format!("trunks.{}.caller_ids", trunk.name), reason);
                }
            }
            if trunk.caller_ids.is_empty() {
                return wrong(
                    &format!("trunks.{}.caller_ids", trunk.name),
                    "name at least one number".to_owned(),
                );
            }
        }
        Ok(())
    }

    /// How the outside reaches us, without a slash at the end; `bound` is where we really listen.
    pub(crate) fn base_url(&self, bound: SocketAddr) -> String {
        if self.server.base_url.is_empty() {
            format!("http://{bound}")
        } else {
            self.server.base_url.trim_end_matches('/').to_owned()
        }
    }
}

fn parse(text: &str, path: &str) -> Result<Table, ConfigProblem> {
    text.parse().map_err(|error| ConfigProblem::File {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

/// Reads the user's file on top of the defaults in one go, as text, so that a wrong type or an unknown key is told with its
/// line: sections that the file does not have are taken from the defaults behind it.
fn check_shape(text: &str, path: &str, defaults: &Table, own: &Table) -> Result<(), ConfigProblem> {
    // A file may change single keys of a section; the missing keys are inserted after the section's own header line.
    let mut lines: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for line in text.lines() {
        let header = line
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
            .filter(|_| !line.trim().starts_with("[["));
        match header.and_then(|name| Some((name.trim(), defaults.get(name.trim())?.as_table()?))) {
            Some((name, section)) => {
                let given = own.get(name).and_then(Value::as_table);
                let missing: Vec<String> = section
                    .iter()
                    .filter(|(key, _)| given.is_none_or(|given| !given.contains_key(*key)))
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                seen.push(name.to_owned());
                // On the header's own line, an inline comment keeps the count of lines as the user sees it.
                lines.push(line.to_owned());
                lines.extend(missing.into_iter().map(|entry| format!("\u{0}{entry}")));
            }
            None => lines.push(line.to_owned()),
        }
    }
    let mut numbers = Vec::new();
    let mut number = 0;
    let mut whole = String::new();
    for line in &lines {
        if let Some(inserted) = line.strip_prefix('\u{0}') {
            whole.push_str(inserted);
        } else {
            number += 1;
            whole.push_str(line);
        }
        numbers.push(number);
        whole.push('\n');
    }
    for (name, section) in defaults {
        if !seen.contains(name) && section.is_table() {
            whole.push_str(&format!(
                "[{name}]\n{section}\n",
                section = section.as_table().cloned().unwrap_or_default()
            ));
        }
    }
    let Err(error) = toml::from_str::<Config>(&whole) else {
        return Ok(());
    };
    let line = error
        .span()
        .and_then(|span| whole.get(..span.start))
        .and_then(|before| numbers.get(before.matches('\n').count()).copied())
        .unwrap_or(number);
    Err(ConfigProblem::Value {
        setting: format!("{path}, line {line}"),
        reason: format!(
            "{}\n  fix: see `carillon config` for every setting with its default",
            error.message()
        ),
    })
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn set_variable(table: &mut Table, variable: &str, path: &str, text: &str) -> Result<(), ConfigProblem> {
    let unknown = || ConfigProblem::Variable {
        variable: variable.to_owned(),
        reason: "there is no such setting".to_owned(),
    };
    let lower = path.to_ascii_lowercase();
    let (section, key) = lower.split_once("__").ok_or_else(unknown)?;
    let section = table
        .get_mut(section)
        .and_then(Value::as_table_mut)
        .ok_or_else(unknown)?;
    let current = section.get(key).ok_or_else(unknown)?;
    let wrong = |what: &str| ConfigProblem::Variable {
        variable: variable.to_owned(),
        reason: format!("`{text}` is no {what}"),
    };
    let value = match current {
        Value::Integer(_) => Value::Integer(text.parse().map_err(|_| wrong("whole number"))?),
        Value::Boolean(_) => Value::Boolean(text.parse().map_err(|_| wrong("true or false"))?),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
        }
        _ => Value::String(text.to_owned()),
    };
    section.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::load(Some(file.path()), variables).map_err(|problem| problem.to_string())
    }

    #[test]
    fn the_defaults_stand_by_themselves() {
        let config = Config::load(None, std::iter::empty()).unwrap();
        assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
        assert!(config.trunks.is_empty());
    }

    #[test]
    fn a_file_changes_single_settings_and_variables_win_over_it() {
        let text = "[sip]\nlisten = \"127.0.0.1:5070\"\n[[trunks]]\nname = \"a\"\nhost = \"h\"\ncaller_ids = [\"+911140000000\"]\n";
        let config = load(
            text,
            &[
                ("CARILLON_MEDIA__THREADS", "3"),
                ("CARILLON_WEBHOOKS__ALLOW_TARGETS", "127.0.0.1,::1"),
            ],
        )
        .unwrap();
        assert_eq!(config.sip.listen.port(), 5070);
        assert_eq!(config.media.threads, 3);
        assert_eq!(config.webhooks.allow_targets, ["127.0.0.1", "::1"]);
        assert_eq!(config.trunks[0].port, 5060);
    }

    #[test]
    fn wrong_settings_name_their_place_and_the_fix() {
        let table = [
            ("[server]\nlisten = 8080\n", "line 2"),
            ("\n\n[sip]\nlitsen = \"127.0.0.1:1\"\n", "line 4"),
            ("[serv]\n", "line 1"),
            ("[server\n", "line 1"),
            ("[media]\nport_min = 9\nport_max = 8\n", "media.port_min"),
            ("[model]\nbase_url = \"http://127.0.0.1:1/v1\"\n", "model.model"),
            ("[model]\ntotal_timeout_ms = 0\n", "model.total_timeout_ms"),
            ("[model]\nkey = \"\"\n", "line 2"),
            (
                "[[trunks]]\nname = \"a\"\nhost = \"h\"\ncaller_ids = [\"123\"]\n",
                "trunks.a.caller_ids",
            ),
        ];
        for (text, place) in table {
            let problem = load(text, &[]).unwrap_err();
            assert!(problem.contains(place), "{text:?} gave {problem}");
        }
        assert!(
            load("", &[("CARILLON_SIP__LITSEN", "x")])
                .unwrap_err()
                .contains("CARILLON_SIP__LITSEN")
        );
        assert!(
            load("", &[("CARILLON_MEDIA__THREADS", "many")])
                .unwrap_err()
                .contains("whole number")
        );
    }
}
