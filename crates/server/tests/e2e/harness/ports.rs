//! Ports for servers and far ends. They lie below those that the kernel gives away by itself, so that a server that was
//! killed finds its own free when it comes back.

use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 10_000;
const COUNT: u16 = 9_000;

/// Where this process looks next; each process starts somewhere else.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// An even port that is free for UDP and TCP, its odd neighbour too.
pub(crate) fn free() -> u16 {
    let somewhere = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(COUNT)).unwrap_or(0);
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(2, Ordering::Relaxed) % COUNT;
        let port = FIRST + (somewhere + offset) % COUNT / 2 * 2;
        let is_free =
            |port: u16| UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free(port) && is_free(port + 1) {
            return port;
        }
    }
    panic!("no port is free");
}
