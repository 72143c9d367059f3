//! Requests to addresses that somebody else chose (webhooks, tools): no redirects, no proxy, and no address that the operator has
//! not opened.
//!
//! Where a request may go is decided on addresses, not on names: a name is checked when it is resolved, by the same look-up
//! whose result is connected to, so a name that changes its address between check and connection gains nothing.

mod targets;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Url, redirect};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
pub use targets::{AllowedTargets, BadTarget};
use targets::{Reach, Verdict};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// HTTP clients that reach public https, and what the operator lists besides.
#[derive(Clone, Debug)]
pub struct GuardedClients {
    targets: Arc<AllowedTargets>,
    /// To public addresses and allowed networks.
    public: Client,
    /// To allowed networks only.
    networks: Client,
    /// To wherever a name that is allowed by itself leads.
    anywhere: Client,
}

impl GuardedClients {
    /// Clients with no connections yet. An error means that TLS or the resolver cannot be set up.
    pub fn new(targets: AllowedTargets) -> Result<Self, reqwest::Error> {
        // Whoever comes first installs it; a second call changes nothing.
        drop(rustls::crypto::ring::default_provider().install_default());
        let targets = Arc::new(targets);
        let client = |reach: Reach| {
            Client::builder()
                .user_agent(concat!("Carillon/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // A proxy would resolve names by itself.
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(POOL_IDLE_TIMEOUT)
                .dns_resolver(CheckedResolver {
                    targets: Arc::clone(&targets),
                    reach,
                })
                .build()
        };
        Ok(Self {
            public: client(Reach::PublicAndNetworks)?,
            networks: client(Reach::Networks)?,
            anywhere: client(Reach::Anywhere)?,
            targets,
        })
    }

    /// The client that may be used for `url`; an error says why none may.
    pub fn client_for(&self, url: &Url) -> Result<&Client, String> {
        match self.targets.judge(url) {
            Verdict::Send(Reach::PublicAndNetworks) => Ok(&self.public),
            Verdict::Send(Reach::Networks) => Ok(&self.networks),
            Verdict::Send(Reach::Anywhere) => Ok(&self.anywhere),
            Verdict::Refuse(reason) => Err(reason),
        }
    }
}

/// Why a request was refused when its name was resolved, if that is what its error says.
pub fn refusal(error: &reqwest::Error) -> Option<&str> {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<AddressRefused>())
        .map(|refused| refused.0.as_str())
}

/// What lies behind an error, the deepest last. The error itself names the URL, which may hold secrets.
pub fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    fn source<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        // Through one reference only: both would be errors by themselves.
        let error: &'a (dyn Error + 'static) = *error;
        error.source()
    }
    std::iter::successors(error.source(), source)
}

/// A resolver that gives only addresses that may be connected to.
struct CheckedResolver {
    targets: Arc<AllowedTargets>,
    reach: Reach,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let targets = Arc::clone(&self.targets);
        let reach = self.reach;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let open: Vec<SocketAddr> = found
                .iter()
                .copied()
                .filter(|address| targets.opens(reach, address.ip()))
                .collect();
            if open.is_empty() && !found.is_empty() {
                return Err(AddressRefused(targets.refused_address(name.as_str())).into());
            }
            Ok(Box::new(open.into_iter()) as Addrs)
        })
    }
}

/// Every address of a name is closed.
#[derive(Debug)]
struct AddressRefused(String);

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for AddressRefused {}
