//! Sockets that were bound before this process began: a port below 1024 then needs no privilege, and stays open while
//! one process follows another.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::AppError;
use crate::metrics::Door;
use crate::server::listener::Listener;

/// Each takes the place of the address in the settings. The default: none.
#[derive(Debug, Default)]
pub struct PassedSockets {
    pub enroll: Option<Place>,
    pub admin: Option<Place>,
    pub metrics: Option<Place>,
}

/// Where a listener is to accept.
#[derive(Debug)]
pub enum Place {
    /// Still to be bound; port 0 takes a free one.
    Address(SocketAddr),
    /// Bound there already.
    Socket(TcpListener, SocketAddr),
}

impl PassedSockets {
    /// The place of a listener's socket; `None` when no listener has that name.
    pub fn slot(&mut self, name: &str) -> Option<&mut Option<Place>> {
        let door = Door::ALL.into_iter().find(|door| door.as_str() == name)?;
        Some(match door {
            Door::Admin => &mut self.admin,
            Door::Enroll => &mut self.enroll,
            Door::Metrics => &mut self.metrics,
        })
    }
}

impl Place {
    /// # Errors
    /// When the socket cannot say where it is bound.
    pub fn of(socket: TcpListener) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self::Socket(socket, address))
    }

    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Address(address) | Self::Socket(_, address) => *address,
        }
    }

    /// # Errors
    /// [`AppError::Listen`].
    pub fn listen(self) -> Result<Listener, AppError> {
        let address = self.address();
        let listener = match self {
            Self::Address(address) => Listener::bind(address),
            Self::Socket(socket, _) => Listener::from_socket(socket),
        };
        listener.map_err(|source| AppError::Listen { address, source })
    }
}
