//! The far end of all measured calls: one thread, one socket for SIP and one for all sound.
//!
//! Calls are told apart by the port that the server's sound comes from, which its offer names. Nothing here is shared
//! with the server's own code.

mod sip;
mod socket;
mod sound;
mod thread;

use crate::bench::quantiles::Quantiles;
use anyhow::Context;
use std::collections::BTreeMap;
use std::net::{SocketAddr, SocketAddrV4};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

pub(crate) use socket::now_us;

/// What is done with an INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// 100, then 486.
    Busy,
    /// 200 at once.
    Answer {
        /// Sends sound too, a packet every 20 ms.
        talks: bool,
    },
}

enum Command {
    /// BYE to every call that is up, so many a second.
    HangUpAll {
        per_second: u64,
    },
    Report(oneshot::Sender<Figures>),
    Forget,
    End,
}

/// What the far end has seen since it was started or last told to forget.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// When the INVITE with each number arrived, in microseconds since 1970.
    pub(crate) invited_us: BTreeMap<String, u64>,
    /// Calls that were answered with 200.
    pub(crate) answered: u64,
    /// Calls that are up: answered, acknowledged and not ended.
    pub(crate) up: u64,
    /// Calls that have ended with a BYE or, refused, with an ACK.
    pub(crate) ended: u64,
    /// Requests that came twice.
    pub(crate) retransmissions: u64,
    /// Answers and BYEs of ours that were sent twice, because nothing came back.
    pub(crate) own_retransmissions: u64,
    /// Requests that no call of ours should cause: CANCEL, second offers.
    pub(crate) unexpected: u64,
    /// Packets of sound that came.
    pub(crate) packets: u64,
    /// Packets of sound that did not.
    pub(crate) lost: u64,
    /// Packets more than 40 ms after their time.
    pub(crate) late: u64,
    /// The latest packet, in microseconds after its time.
    pub(crate) latest_us: u64,
    /// Calls without any sound.
    pub(crate) silent: u64,
    /// The fewest and the most packets of a call that has ended.
    pub(crate) packets_per_call: Option<(u64, u64)>,
    /// From the moment the 200 left to the arrival of the first packet, for each call with sound.
    pub(crate) first_packet: Quantiles,
    /// Datagrams dropped here, because we read too slowly.
    pub(crate) overflows: u64,
}

/// The far end. Ends with its last owner.
pub(crate) struct FarEnd {
    address: SocketAddrV4,
    commands: SyncSender<Command>,
    thread: Option<JoinHandle<()>>,
}

impl FarEnd {
    /// Starts it on free ports of the loopback address.
    pub(crate) fn start(behaviour: Behaviour) -> anyhow::Result<Self> {
        let (commands, receiver) = sync_channel(16);
        let thread = thread::FarEndThread::new(behaviour).context("the far end cannot listen")?;
        let address = thread.address();
        let thread = std::thread::Builder::new()
            .name("far-end".to_owned())
            .spawn(move || thread.run(&receiver))?;
        Ok(Self {
            address,
            commands,
            thread: Some(thread),
        })
    }

    /// Where it signals.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address.into()
    }

    /// Ends every call that is up, so many a second.
    pub(crate) fn hang_up_all(&self, per_second: u64) -> anyhow::Result<()> {
        self.tell(Command::HangUpAll { per_second })
    }

    /// Forgets what it has seen. Only between measurements: calls that are up are forgotten as well.
    pub(crate) fn forget(&self) -> anyhow::Result<()> {
        self.tell(Command::Forget)
    }

    /// What it has seen.
    pub(crate) async fn figures(&self) -> anyhow::Result<Figures> {
        let (reply, figures) = oneshot::channel();
        self.tell(Command::Report(reply))?;
        figures.await.context("the far end has ended")
    }

    /// Waits until its figures are as wanted, and returns them; after `patience` it returns them as they are.
    pub(crate) async fn wait_until(
        &self,
        patience: Duration,
        wanted: impl Fn(&Figures) -> bool,
    ) -> anyhow::Result<Figures> {
        let deadline = Instant::now() + patience;
        loop {
            let figures = self.figures().await?;
            if wanted(&figures) || Instant::now() >= deadline {
                return Ok(figures);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn tell(&self, command: Command) -> anyhow::Result<()> {
        self.commands.send(command).ok().context("the far end has ended")
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        // Refused only when it has ended already.
        drop(self.commands.send(Command::End));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
