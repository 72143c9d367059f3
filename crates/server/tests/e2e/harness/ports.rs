//! Ports for servers and far ends. They lie below those that the kernel gives away by itself, so that a server that was
//! killed finds its own free when it comes back. Each comes with the few after it, which SIPp takes without being asked.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
/// Ports that belong to one caller.
const BLOCK: u16 = 8;
const BLOCKS: u16 = 1_200;

/// Where this process looks next; each process starts somewhere else.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// An even port that is free for UDP and TCP, and its neighbours too.
pub(crate) fn free() -> u16 {
    let somewhere = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(BLOCKS)).unwrap_or(0);
    for _ in 0..BLOCKS {
        let block = (somewhere + NEXT.fetch_add(1, Ordering::Relaxed) % BLOCKS) % BLOCKS;
        let first = FIRST + block * BLOCK;
        if (first..first + BLOCK).all(is_free) {
            return first;
        }
    }
    panic!("no port is free");
}

fn is_free(port: u16) -> bool {
    UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
}
