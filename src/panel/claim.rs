//! Claims a pin that rppal drives, so that no second program like this one does:
//! the kernel lets any number of programs map the pins' registers. (A line of its
//! character device it gives to one program only.)

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use anyhow::{Result, bail};

use super::settings::Pin;

/// A claimed pin; given back when this is dropped or the process ends, however
/// it ends.
///
/// It is a socket with a name in the abstract namespace of unix(7): only one
/// process can have the name, and no file is left behind.
#[derive(Debug)]
pub(super) struct Claim {
    /// `None` where the system has no such sockets: nothing is claimed then.
    _socket: Option<UnixListener>,
}

impl Claim {
    /// Claims a pin.
    ///
    /// # Errors
    ///
    /// When another process has claimed it.
    pub(super) fn of(pin: Pin) -> Result<Self> {
        let name = format!("torment-nexus GPIO {}", pin.number());
        let address = SocketAddr::from_abstract_name(name);
        match address.and_then(|address| UnixListener::bind_addr(&address)) {
            Ok(socket) => Ok(Self { _socket: Some(socket) }),
            Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
                "another torment-nexus uses GPIO {}; end it (systemctl stop torment-nexus), or name another pin",
                pin.number()
            ),
            Err(_) => Ok(Self { _socket: None }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_claimed_once_and_can_be_claimed_again_when_it_is_given_back() {
        let pin = Pin::new(27).expect("a pin");
        let claim = Claim::of(pin).expect("it is free");
        let error = Claim::of(pin).expect_err("it is claimed").to_string();
        assert!(error.contains("GPIO 27") && error.contains("stop"), "{error}");
        Claim::of(Pin::new(26).expect("a pin")).expect("another one is free");
        drop(claim);
        Claim::of(pin).expect("it is free again");
    }
}
