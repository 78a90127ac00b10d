//! The socket that hears the meters.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

/// Where all Speedwire devices send to.
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 12, 255, 254);

/// The interface on which to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Interface {
    /// The system's choice.
    Any,
    /// The one with this address.
    Address(Ipv4Addr),
    /// The one with this name.
    Named(String),
}

/// Opens the port, which other programs may have open too, and joins the group. The second part may fail where meters are
/// set to send to this computer alone: it says why.
pub(crate) fn open(port: u16, interface: &Interface) -> io::Result<(UdpSocket, Option<io::Error>)> {
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(ipproto::UDP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port)))?;
    let socket = UdpSocket::from(socket);
    let joined = join(&socket, interface);
    Ok((socket, joined.err()))
}

fn join(socket: &UdpSocket, interface: &Interface) -> io::Result<()> {
    match interface {
        Interface::Any => socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED),
        Interface::Address(address) => socket.join_multicast_v4(&GROUP, address),
        Interface::Named(name) => {
            // Only letters that interface names have reach the file system; `open` of the driver checks that.
            let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"))?;
            let index = text.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
            Ok(sockopt::set_ip_add_membership_with_ifindex(socket, &GROUP, &Ipv4Addr::UNSPECIFIED, index)?)
        }
    }
}
