//! Ports for servers and far ends. They lie below those that the kernel gives away by itself, so that a server that was
//! killed finds its own free when it comes back. Each comes with the few after it, which SIPp takes without being asked.

use std::fs::File;
use std::net::{TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

const FIRST: u16 = 10_000;
/// Ports that belong to one caller.
const BLOCK: u16 = 8;
const BLOCKS: u16 = 1_200;

/// Where this process looks next; each process starts somewhere else.
static NEXT: AtomicU16 = AtomicU16::new(0);

/// The locks of the blocks that this process has. Tests run as processes beside each other, and a server that is down for a moment
/// must find its port free when it comes back.
static MINE: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// An even port that is free for UDP and TCP, and its neighbours too.
pub(crate) fn free() -> u16 {
    let somewhere = u16::try_from(std::process::id().wrapping_mul(97) % u32::from(BLOCKS)).unwrap_or(0);
    for _ in 0..BLOCKS {
        let block = (somewhere + NEXT.fetch_add(1, Ordering::Relaxed) % BLOCKS) % BLOCKS;
        let first = FIRST + block * BLOCK;
        let Some(lock) = lock(first) else { continue };
        if (first..first + BLOCK).all(is_free) {
            MINE.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
            return first;
        }
    }
    panic!("no port is free");
}

/// Takes a block for the life of this process; `None`: another one has it.
fn lock(first: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("carillon-test-ports");
    std::fs::create_dir_all(&folder).expect("a folder for locks");
    let file = File::create(folder.join(first.to_string())).expect("a file to lock");
    file.try_lock().is_ok().then_some(file)
}

fn is_free(port: u16) -> bool {
    UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
}
