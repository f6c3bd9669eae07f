//! Which of a host's addresses is asked: the first that answers, in the manner of RFC 8305
//! (Happy Eyeballs).
//!
//! ureq by itself tries one after the other, and gives the first half of all the time it has:
//! where IPv6 leads nowhere, a host with four addresses of each kind, IPv6 first, was reached
//! after 30 s.

use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use installation::board::threads;

/// How long an address is waited for before the next is tried beside it (RFC 8305, section 5).
const NEXT: Duration = Duration::from_millis(250);

/// How long an address may take to answer: the first packet and three more.
const ANSWER: Duration = Duration::from_secs(8);

/// Puts the address that answers first before the others. The connection that tells it is
/// closed; ureq makes its own.
#[derive(Debug, Default)]
pub(super) struct FirstToAnswer(DefaultResolver);

impl Resolver for FirstToAnswer {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut addresses = self.0.resolve(uri, config, timeout)?;
        if addresses.len() > 1 {
            alternate(&mut addresses);
            let first = first_to_answer(&addresses, ANSWER);
            let at = addresses.iter().position(|one| Some(*one) == first).unwrap_or(0);
            addresses[..=at].rotate_right(1);
        }
        Ok(addresses)
    }
}

/// Has the two families take turns; the first address stays the first.
fn alternate(addresses: &mut [SocketAddr]) {
    for at in 1..addresses.len() {
        let is_other = |one: &SocketAddr| one.is_ipv6() != addresses[at - 1].is_ipv6();
        if let Some(next) = addresses[at..].iter().position(is_other) {
            addresses[at..=at + next].rotate_right(1);
        }
    }
}

/// The address to which a connection comes to be first; each has a head start of [`NEXT`]
/// before the one after it, and as long as `limit` to answer.
fn first_to_answer(addresses: &[SocketAddr], limit: Duration) -> Option<SocketAddr> {
    let (tell, told) = channel();
    for &address in addresses {
        let tell = tell.clone();
        let connect =
            move || tell.send(TcpStream::connect_timeout(&address, limit).is_ok().then_some(address));
        if threads::start("connect", connect).is_err() {
            break;
        }
        // One that is refused at once has the next one begin.
        if let Ok(Some(first)) = told.recv_timeout(NEXT) {
            return Some(first);
        }
    }
    drop(tell);
    told.iter().flatten().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// An address that never answers: its queue of connections is full.
    fn dead() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let fill = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        (address, listener, std::iter::from_fn(fill).collect())
    }

    #[test]
    fn addresses_of_the_two_families_take_turns() {
        let texts = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"];
        let mut addresses = texts.map(|text| text.parse().expect("an address"));
        alternate(&mut addresses);
        let order = addresses.map(|one: SocketAddr| one.to_string());
        assert_eq!(order, [0, 3, 1, 4, 2].map(|at| texts[at]));
    }

    #[test]
    fn addresses_that_are_dead_or_refuse_do_not_hold_back_the_one_that_answers() {
        let live = TcpListener::bind("127.0.0.1:0").expect("a port");
        let refuses = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        let (live_address, dead) = (live.local_addr().expect("an address"), dead());
        let addresses = [dead.0, dead.0, refuses, live_address, dead.0];
        // As long as the kernel tries: two minutes for each that is dead.
        let (tell, told) = channel();
        std::thread::spawn(move || tell.send(first_to_answer(&addresses, Duration::from_secs(3600))));
        assert_eq!(told.recv_timeout(Duration::from_secs(60)), Ok(Some(live_address)));
        assert_eq!(first_to_answer(&[refuses, refuses], ANSWER), None);
    }
}
