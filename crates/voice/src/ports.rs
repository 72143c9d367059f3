//! UDP ports for calls: even ones for RTP, each with the odd one after it for RTCP.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};

/// The free ports. A port that was given back goes to the end of the queue, so that packets still under way to the call
/// that had it do not meet the next one.
#[derive(Debug)]
pub(crate) struct PortPool {
    free: Mutex<VecDeque<u16>>,
}

/// A port in use; given back when dropped.
#[derive(Debug)]
pub(crate) struct PortLease {
    pool: Arc<PortPool>,
    port: u16,
}

/// How many ports that others hold are skipped before giving up: other programs of this machine may hold hundreds in a row.
const TRIES_MAX: usize = 2_048;

impl PortPool {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Arc<Self> {
        let last = *range.end();
        let free = range
            .filter(|port| port % 2 == 0 && *port > 0 && *port < last)
            .collect();
        Arc::new(Self { free: Mutex::new(free) })
    }

    fn pop(&self) -> Option<u16> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Binds the next port that is free on the machine. The socket does not block.
    pub(crate) fn bind(self: &Arc<Self>, address: IpAddr) -> io::Result<(UdpSocket, PortLease)> {
        let mut error = io::Error::new(io::ErrorKind::AddrNotAvailable, "every media port is in use");
        for _ in 0..TRIES_MAX {
            let Some(port) = self.pop() else { break };
            let lease = PortLease {
                pool: Arc::clone(self),
                port,
            };
            match bind(SocketAddr::new(address, port)) {
                Ok(socket) => return Ok((socket, lease)),
                Err(refused) if refused.kind() == io::ErrorKind::AddrInUse => error = refused,
                Err(refused) => return Err(refused),
            }
        }
        Err(error)
    }
}

/// Binds a UDP socket that does not block.
pub(crate) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

impl PortLease {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for PortLease {
    fn drop(&mut self) {
        self.pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn a_used_up_range_is_refused_and_a_returned_port_serves_again() {
        let pool = PortPool::new(41_000..=41_005);
        let leases: Vec<_> = (0..3).map(|_| pool.bind(LOOPBACK).expect("a port")).collect();
        let ports: Vec<_> = leases.iter().map(|(_, lease)| lease.port()).collect();
        assert_eq!(ports, [41_000, 41_002, 41_004]);
        assert!(pool.bind(LOOPBACK).is_err());
        drop(leases);
        assert_eq!(pool.bind(LOOPBACK).expect("a port").1.port(), 41_000);
    }

    #[test]
    fn a_port_that_another_program_holds_is_skipped() {
        let other = UdpSocket::bind((LOOPBACK, 41_010)).expect("bound");
        let pool = PortPool::new(41_010..=41_013);
        assert_eq!(pool.bind(LOOPBACK).expect("a port").1.port(), 41_012);
        drop(other);
    }
}
