//! Opens listeners.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::error::DoorError;
use crate::settings::Listen;

/// Connections the kernel holds while the door is busy.
const BACKLOG: i32 = 128;

/// Bytes the kernel may hold for one client in each direction; without a bound it grows to megabytes for each slow one.
const KERNEL_BUFFER: usize = 128 * 1024;

/// Opens what `listen` asks for, on the first of its ports that is free.
pub(crate) fn open(listen: &Listen) -> Result<TcpListener, DoorError> {
    let candidates = match listen.address {
        Some(address) => vec![address],
        // IPv6 takes IPv4 clients as well; where it is switched off there is IPv4 alone.
        None => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
    };
    let last = match listen.port {
        0 => 0,
        port => port.saturating_add(listen.ports_to_try),
    };
    for port in listen.port..=last {
        match open_first(&candidates, port) {
            Ok(listener) => return Ok(listener),
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse => {}
            Err((_, error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(DoorError::PortForbidden { port, setting: listen.setting });
            }
            Err((address, source)) => {
                return Err(DoorError::Listen { address: address.to_string(), setting: listen.setting, source });
            }
        }
    }
    Err(DoorError::PortTaken { port: listen.port, last, setting: listen.setting })
}

/// Opens the first of these addresses that this computer has.
fn open_first(candidates: &[IpAddr], port: u16) -> Result<TcpListener, (SocketAddr, io::Error)> {
    let mut fault = None;
    for &address in candidates {
        let address = SocketAddr::new(address, port);
        match open_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => {
                let is_missing = matches!(
                    rustix::io::Errno::from_io_error(&error),
                    Some(
                        rustix::io::Errno::AFNOSUPPORT
                            | rustix::io::Errno::ADDRNOTAVAIL
                            | rustix::io::Errno::PROTONOSUPPORT
                    )
                );
                fault = Some((address, error));
                if !is_missing {
                    break;
                }
            }
        }
    }
    Err(fault.unwrap_or_else(|| {
        (SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), io::ErrorKind::AddrNotAvailable.into())
    }))
}

fn open_at(address: SocketAddr) -> io::Result<TcpListener> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::TCP),
    )?;
    // A restarted program takes its port back at once; two running ones still cannot share it.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, !address.ip().is_unspecified())?;
    }
    // Accepted sockets inherit these on Linux. A client that vanished without a word, during an event stream for
    // example, is noticed by the kernel: no timer of ours has to run for it. None of them is worth failing for.
    let options = [
        sockopt::set_socket_send_buffer_size(&socket, KERNEL_BUFFER),
        sockopt::set_socket_recv_buffer_size(&socket, KERNEL_BUFFER),
        sockopt::set_socket_keepalive(&socket, true),
        sockopt::set_tcp_keepidle(&socket, Duration::from_secs(60)),
        sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(15)),
        sockopt::set_tcp_keepcnt(&socket, 4),
        sockopt::set_tcp_nodelay(&socket, true),
    ];
    for error in options.into_iter().filter_map(Result::err) {
        log::debug!("a socket option was refused: {error}");
    }
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_and_the_next_ones_are_tried() {
        let first = open(&Listen::loopback(0)).expect("a free port");
        let port = first.local_addr().expect("bound").port();
        let error = open(&Listen::loopback(port).named("\"webPort\"")).expect_err("taken");
        assert_eq!(
            error.to_string(),
            format!(
                "port {port} is already in use by another program: \"webPort\" names another port, or stop the program that uses this one"
            )
        );
        let second = open(&Listen::loopback(port).or_next_ports(9)).expect("one of nine is free");
        let next = second.local_addr().expect("bound").port();
        assert!(next > port && next <= port + 9);
        // Taken on one address is taken for "everywhere", too.
        assert!(matches!(open(&Listen::everywhere(port)), Err(DoorError::PortTaken { .. })));
    }

    #[test]
    fn without_ipv6_there_is_ipv4() {
        // An address of the documentation prefix is refused as IPv6 is where it is switched off.
        let missing = "2001:db8::1".parse().expect("an address");
        let listener = open_first(&[missing, IpAddr::V4(Ipv4Addr::LOCALHOST)], 0).expect("IPv4");
        assert!(listener.local_addr().expect("bound").is_ipv4());
    }

    #[test]
    fn foreign_addresses_are_explained() {
        let foreign = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let error = open(&Listen::at(foreign, 0).named("\"listen\"")).expect_err("not ours");
        assert!(error.to_string().starts_with("cannot listen on 192.0.2.1:0 (set in \"listen\")"));
    }
}
