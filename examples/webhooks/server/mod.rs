//! An endpoint on loopback that keeps failing, in a pattern that the seed decides, and keeps what
//! it accepted.
//!
//! A thread for each connection, which suits a server whose main trade is sleeping. It ends with
//! the process. It is made for the one client of this example and must not face any other. What
//! goes wrong with a request is `pattern`'s to say; what HTTP looks like is `wire`'s; what has
//! arrived is `inbox`'s.

mod connection;
mod inbox;
mod pattern;
mod wire;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, thread};

pub use self::inbox::Inbox;
use self::pattern::Pattern;
use crate::url::Url;

/// How long the server is gone in one outage. Connections are refused meanwhile.
const OUTAGE: Duration = Duration::from_millis(60);
/// How often the accepting thread looks for a connection or an outage.
const POLL: Duration = Duration::from_millis(1);
/// How long it tries to get its port back: nobody else should have taken it.
const REBIND_MAX: Duration = Duration::from_secs(5);

pub struct Server {
    url: Url,
    shared: Arc<Shared>,
}

struct Shared {
    pattern: Pattern,
    /// Longer than the client's patience.
    stall: Duration,
    inbox: Mutex<Inbox>,
    /// Requests so far; outages begin at certain numbers. Relaxed: a count, which orders nothing
    /// else.
    requests: AtomicU64,
    /// Set during an outage: open connections end too. Relaxed: to see it a little later is to fail
    /// a little later.
    down: AtomicBool,
}

impl Server {
    /// Listens on a free port of loopback. `timeout` is the client's, so that a stall can outlast
    /// it.
    pub fn start(seed: u64, timeout: Duration) -> io::Result<Self> {
        let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let url = Url::parse(&format!("http://{address}/hooks")).map_err(io::Error::other)?;
        let shared = Arc::new(Shared {
            pattern: Pattern::new(seed),
            stall: timeout * 3 / 2,
            inbox: Mutex::default(),
            requests: AtomicU64::new(0),
            down: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::Builder::new()
            .name("server".to_owned())
            .spawn(move || accept_until_lost(listener, address, &accepting))?;
        Ok(Self { url, shared })
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox()
    }
}

impl Shared {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // A connection that panicked has not left half an entry: each is made by one insert.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Accepts, and closes the door at each outage, until the port cannot be had again. Then the
/// endpoint is down for good, which the client has to cope with like any other outage.
fn accept_until_lost(mut listener: TcpListener, address: SocketAddr, shared: &Arc<Shared>) {
    let mut outages_past = 0;
    loop {
        match listener.accept() {
            Ok((stream, _)) => connection::spawn(stream, shared),
            Err(_) => thread::sleep(POLL),
        }
        let outages_due = shared.pattern.outages_by(shared.requests.load(Ordering::Relaxed));
        if outages_due > outages_past {
            outages_past = outages_due;
            shared.down.store(true, Ordering::Relaxed);
            drop(listener);
            thread::sleep(OUTAGE);
            let Ok(again) = listen_again(address) else {
                return;
            };
            listener = again;
            shared.down.store(false, Ordering::Relaxed);
        }
    }
}

fn listen_again(address: SocketAddr) -> io::Result<TcpListener> {
    let started = Instant::now();
    loop {
        match listen(address) {
            Err(_) if started.elapsed() < REBIND_MAX => thread::sleep(POLL),
            outcome => return outcome,
        }
    }
}
