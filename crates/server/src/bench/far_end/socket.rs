//! A UDP socket that takes and sends many datagrams with one call to the kernel, and knows when each arrived.
//!
//! Arrival times are the kernel's own (`SO_TIMESTAMPNS`), so that a far end that reads late measures no worse.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// Datagrams taken or sent at once.
pub(super) const BATCH: usize = 64;
/// Longest datagram; an INVITE with SDP is about 1 kB.
const DATAGRAM_MAX: usize = 4_096;
/// Room for two control messages: a time and a count.
const CONTROL_WORDS: usize = 16;
/// Wanted receive buffer: a fifth of a second of 1,000 calls.
const RECEIVE_BUFFER: libc::c_int = 16 << 20;

/// Microseconds since 1970, by the clock of the arrival times.
pub(crate) fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// The socket.
pub(super) struct TimedSocket {
    socket: UdpSocket,
    address: SocketAddrV4,
    /// Datagrams that the kernel dropped because we read too slowly, modulo 2^32.
    pub(super) overflows: u32,
}

/// Datagrams that have arrived.
pub(super) struct Inbox {
    bytes: Box<[[u8; DATAGRAM_MAX]; BATCH]>,
    control: Box<[[u64; CONTROL_WORDS]; BATCH]>,
    arrived: Vec<Arrived>,
}

#[derive(Clone, Copy)]
struct Arrived {
    from: SocketAddrV4,
    length: usize,
    at_us: u64,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self {
            bytes: Box::new([[0; DATAGRAM_MAX]; BATCH]),
            control: Box::new([[0; CONTROL_WORDS]; BATCH]),
            arrived: Vec::with_capacity(BATCH),
        }
    }

    /// What the last [`TimedSocket::receive`] took: where from, when, and the bytes.
    pub(super) fn datagrams(&self) -> impl Iterator<Item = (SocketAddrV4, u64, &[u8])> {
        self.arrived.iter().zip(self.bytes.iter()).map(|(arrived, bytes)| {
            let length = arrived.length.min(DATAGRAM_MAX);
            (arrived.from, arrived.at_us, &bytes[..length])
        })
    }
}

impl TimedSocket {
    /// Binds a free port of the loopback address.
    pub(super) fn bind() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        let SocketAddr::V4(address) = socket.local_addr()? else {
            return Err(io::Error::other("a socket of the IPv4 loopback address has none"));
        };
        let fd = socket.as_raw_fd();
        set_option(fd, libc::SO_TIMESTAMPNS, 1)?;
        set_option(fd, libc::SO_RXQ_OVFL, 1)?;
        // Beyond the system's limit only for the administrator; others get what the limit allows.
        set_option(fd, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
            .or_else(|_| set_option(fd, libc::SO_RCVBUF, RECEIVE_BUFFER))?;
        Ok(Self {
            socket,
            address,
            overflows: 0,
        })
    }

    /// Its address.
    pub(super) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Sends one datagram. One that the kernel refuses counts as lost on the way.
    pub(super) fn send(&self, bytes: &[u8], to: SocketAddrV4) {
        drop(self.socket.send_to(bytes, to));
    }

    /// Takes what has arrived, at most [`BATCH`] datagrams. Returns whether there may be more.
    pub(super) fn receive(&mut self, inbox: &mut Inbox) -> bool {
        let mut names = [EMPTY_NAME; BATCH];
        let mut parts: [libc::iovec; BATCH] = std::array::from_fn(|index| libc::iovec {
            iov_base: inbox.bytes[index].as_mut_ptr().cast(),
            iov_len: DATAGRAM_MAX,
        });
        let mut messages: [libc::mmsghdr; BATCH] = std::array::from_fn(|index| {
            let mut message = empty_message(&raw mut names[index], &raw mut parts[index]);
            message.msg_hdr.msg_control = inbox.control[index].as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL_WORDS * size_of::<u64>();
            message
        });
        // SAFETY: every message points to a name, one part and a control buffer of the lengths it names, all of which
        // live until the call returns and are not used otherwise meanwhile.
        let taken = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        let taken = usize::try_from(taken).unwrap_or(0);
        inbox.arrived.clear();
        for (message, name) in messages.iter().zip(&names).take(taken) {
            let mut at_us = 0;
            // SAFETY: the kernel has filled the header of this message, whose buffers still live; the macros walk the
            // control buffer within its length, and each payload is read only as the type that its header names.
            unsafe {
                let header = &raw const message.msg_hdr;
                let mut control = libc::CMSG_FIRSTHDR(header);
                while let Some(entry) = control.as_ref() {
                    let data = libc::CMSG_DATA(control);
                    match (entry.cmsg_level, entry.cmsg_type) {
                        (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                            let time = data.cast::<libc::timespec>().read_unaligned();
                            at_us = time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000;
                        }
                        (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => self.overflows = data.cast::<u32>().read_unaligned(),
                        _ => {}
                    }
                    control = libc::CMSG_NXTHDR(header, control);
                }
            }
            let from = SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr)),
                u16::from_be(name.sin_port),
            );
            inbox.arrived.push(Arrived {
                from,
                length: message.msg_len as usize,
                at_us: if at_us == 0 { now_us() } else { at_us },
            });
        }
        taken == BATCH
    }

    /// Sends datagrams, at most [`BATCH`] of them. What the kernel does not take at once counts as lost on the way.
    pub(super) fn send_many(&self, datagrams: &[(SocketAddrV4, [u8; 172])]) {
        let mut names = [EMPTY_NAME; BATCH];
        let mut parts = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        let count = datagrams.len().min(BATCH);
        for ((name, part), (to, bytes)) in names.iter_mut().zip(&mut parts).zip(datagrams) {
            name.sin_addr.s_addr = u32::from(*to.ip()).to_be();
            name.sin_port = to.port().to_be();
            // The kernel only reads from there.
            *part = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
        }
        let mut messages: [libc::mmsghdr; BATCH] =
            std::array::from_fn(|index| empty_message(&raw mut names[index], &raw mut parts[index]));
        // SAFETY: the first `count` messages point to a name and one part of the lengths they name, all of which live
        // until the call returns; sending does not write to the parts.
        unsafe {
            libc::sendmmsg(
                self.socket.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT,
            )
        };
    }

    /// Waits until a datagram arrives here, at most so many microseconds.
    pub(super) fn wait(&self, at_most_us: u64) {
        let mut poll = libc::pollfd {
            fd: self.socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = libc::timespec {
            tv_sec: (at_most_us / 1_000_000) as libc::time_t,
            tv_nsec: (at_most_us % 1_000_000 * 1_000) as libc::c_long,
        };
        // SAFETY: one pollfd and a timeout that live until the call returns. Failure is a shorter wait.
        unsafe { libc::ppoll(&raw mut poll, 1, &raw const timeout, std::ptr::null()) };
    }
}

const EMPTY_NAME: libc::sockaddr_in = libc::sockaddr_in {
    sin_family: libc::AF_INET as libc::sa_family_t,
    sin_port: 0,
    sin_addr: libc::in_addr { s_addr: 0 },
    sin_zero: [0; 8],
};

fn empty_message(name: *mut libc::sockaddr_in, part: *mut libc::iovec) -> libc::mmsghdr {
    // SAFETY: a message header is plain data, for which zeroes are a value.
    let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
    message.msg_hdr.msg_name = name.cast();
    message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    message.msg_hdr.msg_iov = part;
    message.msg_hdr.msg_iovlen = 1;
    message
}

fn set_option(fd: RawFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is an int that lives until the call returns.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, (&raw const value).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_in_batches_with_their_times() {
        let mut here = TimedSocket::bind().unwrap();
        let there = TimedSocket::bind().unwrap();
        let before_us = now_us();
        let datagrams: Vec<_> = (0..100_u8).map(|number| (here.address(), [number; 172])).collect();
        for batch in datagrams.chunks(BATCH) {
            there.send_many(batch);
        }
        there.send(b"last", here.address());
        let (mut inbox, mut bytes, mut times) = (Inbox::new(), Vec::new(), Vec::new());
        loop {
            let more = here.receive(&mut inbox);
            for (from, at_us, datagram) in inbox.datagrams() {
                assert_eq!(from, there.address());
                bytes.push((datagram[0], datagram.len()));
                times.push(at_us);
            }
            if !more {
                break;
            }
        }
        let expected: Vec<_> = (0..100_u8).map(|number| (number, 172)).chain([(b'l', 4)]).collect();
        assert_eq!(bytes, expected);
        assert!(
            times.is_sorted() && times[0] >= before_us && times[100] <= now_us() + 1_000,
            "{times:?}"
        );
        assert_eq!(here.overflows, 0);
    }
}
