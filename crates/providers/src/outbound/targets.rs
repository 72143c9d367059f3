//! Which targets may be called: public https, and what the operator lists.

use reqwest::Url;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The operator's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedTargets {
    /// The setting that it stands in; what is refused names it.
    setting: &'static str,
    hosts: Vec<(String, Option<u16>)>,
    networks: Vec<Network>,
}

/// An entry of the list that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{setting}: `{entry}` is no target\n  fix: write a host (`hooks.internal`), `host:port`, or a network (`10.0.0.0/8`)"
)]
pub struct BadTarget {
    setting: &'static str,
    entry: String,
}

/// Which addresses a request may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public ones, and those of listed networks.
    PublicAndNetworks,
    /// Those of listed networks.
    Networks,
    /// All: the host is listed by name.
    Anywhere,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be sent, to these addresses.
    Send(Reach),
    /// It may not, for this reason.
    Refuse(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: u128,
    /// Of 128; IPv4 networks are those of `::ffff:0:0/96`.
    prefix: u32,
}

impl AllowedTargets {
    /// Reads the entries of `setting`: hosts, `host:port`, or networks.
    pub fn parse(setting: &'static str, entries: &[String]) -> Result<Self, BadTarget> {
        let mut targets = Self {
            setting,
            hosts: Vec::new(),
            networks: Vec::new(),
        };
        for entry in entries {
            let text = entry.trim();
            let bad = || BadTarget {
                setting,
                entry: entry.clone(),
            };
            if let Some(network) = Network::parse(text) {
                targets.networks.push(network);
            } else if text.contains('/') {
                return Err(bad());
            } else {
                targets.hosts.push(host_and_port(text).ok_or_else(bad)?);
            }
        }
        Ok(targets)
    }

    /// Why a name is refused whose every address is closed.
    pub(super) fn refused_address(&self, host: &str) -> String {
        format!(
            "`{host}` leads to a loopback, private or reserved address; list it in {} if it is meant",
            self.setting
        )
    }

    /// What may become of a request to `url`.
    pub(super) fn judge(&self, url: &Url) -> Verdict {
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Verdict::Refuse("the URL names no host".to_owned());
        };
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Verdict::Refuse(format!("`{other}` is neither https nor http")),
        };
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if self
            .hosts
            .iter()
            .any(|(listed, at)| *listed == host && at.is_none_or(|at| at == port))
        {
            return Verdict::Send(Reach::Anywhere);
        }
        let literal = host.parse::<IpAddr>().ok();
        match (secure, literal) {
            (true, None) => Verdict::Send(Reach::PublicAndNetworks),
            // Plain HTTP by name: only into listed networks, if there are any.
            (false, None) if !self.networks.is_empty() => Verdict::Send(Reach::Networks),
            (true, Some(address)) if self.opens(Reach::PublicAndNetworks, address) => {
                Verdict::Send(Reach::PublicAndNetworks)
            }
            (false, Some(address)) if self.opens(Reach::Networks, address) => Verdict::Send(Reach::Networks),
            (false, _) => Verdict::Refuse(format!(
                "`{host}` is to be called over plain HTTP; use https, or list it in {} if it is meant",
                self.setting
            )),
            (true, Some(_)) => Verdict::Refuse(self.refused_address(&host)),
        }
    }

    /// Whether `address` may be connected to.
    pub(super) fn opens(&self, reach: Reach, address: IpAddr) -> bool {
        let listed = || self.networks.iter().any(|network| network.contains(address));
        match reach {
            Reach::Anywhere => true,
            Reach::Networks => listed(),
            Reach::PublicAndNetworks => is_public(address) || listed(),
        }
    }
}

/// `host`, `host:port`, `address` or `[address]:port`.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((address.to_string(), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().ok()?.to_string(),
        None => host.trim_end_matches('.').to_ascii_lowercase(),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let plausible = !host.is_empty() && (host.parse::<IpAddr>().is_ok() || host.chars().all(is_name));
    plausible.then_some((host, port))
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u32 = prefix.parse().ok()?;
        let prefix = match address {
            IpAddr::V4(_) if prefix <= 32 => prefix + 96,
            IpAddr::V6(_) if prefix <= 128 => prefix,
            IpAddr::V4(_) | IpAddr::V6(_) => return None,
        };
        Some(Self {
            address: bits(address),
            prefix,
        })
    }

    fn contains(self, address: IpAddr) -> bool {
        let shift = 128 - self.prefix;
        let cut = |bits: u128| bits.checked_shr(shift).unwrap_or(0);
        cut(bits(address)) == cut(self.address)
    }
}

/// An address as 128 bits; IPv4 ones as IPv6 writes them.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// Networks that are not of the public Internet (RFC 6890 and its registries).
const CLOSED_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !CLOSED_V4.iter().any(|(network, prefix)| {
        let shift = 32 - prefix;
        address.to_bits() >> shift == network.to_bits() >> shift
    })
}

/// Of IPv6 only global unicast (2000::/3) is public, without the parts of it that are not, and the IPv4 addresses that
/// are written in it are judged as what they are.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let groups = address.segments();
    let v4_at = |index: usize| {
        let [a, b] = groups[index].to_be_bytes();
        let [c, d] = groups[index + 1].to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match groups {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => is_public_v4(v4_at(6)),
        [0x2002, ..] => is_public_v4(v4_at(1)),
        // Protocol assignments (Teredo, ORCHID and others) and documentation.
        [0x2001, second, ..] if second < 0x200 || second == 0x0db8 => false,
        [0x3fff, second, ..] if second < 0x1000 => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(entries: &[&str]) -> AllowedTargets {
        AllowedTargets::parse(
            "webhooks.allow_targets",
            &entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>(),
        )
        .unwrap()
    }

    #[test]
    fn only_public_addresses_are_public() {
        let closed = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2001::1",
            "::127.0.0.1",
        ];
        for text in closed {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn what_is_not_listed_is_public_https_only() {
        let none = targets(&[]);
        let listed = targets(&["127.0.0.1:9000", "hooks.internal", "10.0.0.0/8", "[::1]:81", "fd00::/8"]);
        let table = [
            //                                   nothing listed                      the list
            (
                "https://example.com/a",
                Some(Reach::PublicAndNetworks),
                Some(Reach::PublicAndNetworks),
            ),
            ("http://example.com/", None, Some(Reach::Networks)),
            ("https://127.0.0.1/", None, None),
            ("https://127.0.0.1:9000/", None, Some(Reach::Anywhere)),
            ("http://127.0.0.1:9000/", None, Some(Reach::Anywhere)),
            ("http://127.1:9000/", None, Some(Reach::Anywhere)),
            ("http://0x7f000001:9000/", None, Some(Reach::Anywhere)),
            ("http://127.0.0.1:9001/", None, None),
            ("http://hooks.internal:8080/", None, Some(Reach::Anywhere)),
            ("http://HOOKS.internal./", None, Some(Reach::Anywhere)),
            ("https://10.2.3.4/", None, Some(Reach::PublicAndNetworks)),
            ("http://10.2.3.4/", None, Some(Reach::Networks)),
            ("http://[::1]:81/", None, Some(Reach::Anywhere)),
            ("http://[fd12::1]/", None, Some(Reach::Networks)),
            ("https://[::ffff:127.0.0.1]/", None, None),
            (
                "https://1.1.1.1/",
                Some(Reach::PublicAndNetworks),
                Some(Reach::PublicAndNetworks),
            ),
            ("ftp://example.com/", None, None),
        ];
        let reach = |targets: &AllowedTargets, url: &str| match targets.judge(&Url::parse(url).unwrap()) {
            Verdict::Send(reach) => Some(reach),
            Verdict::Refuse(_) => None,
        };
        for (url, without, with) in table {
            assert_eq!(reach(&none, url), without, "{url}, nothing listed");
            assert_eq!(reach(&listed, url), with, "{url}, listed");
        }
    }

    #[test]
    fn entries_that_are_no_targets_are_named() {
        for entry in ["10.0.0.0/33", "host:99999", "http://host/", "", "a b", "10.0.0/8"] {
            let error = AllowedTargets::parse("webhooks.allow_targets", &[entry.to_owned()]).unwrap_err();
            assert!(error.to_string().contains(&format!("`{entry}`")), "{error}");
        }
    }
}
