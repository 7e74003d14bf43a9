//! One connection: takes requests, and does to each what the pattern says.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::{io, thread};

use super::Shared;
use super::pattern::Behaviour;
use super::wire::{Request, Wire};

/// Gives the connection a thread. If there is none to be had, the connection is dropped: one more
/// fault for the client.
pub fn spawn(stream: TcpStream, shared: &Arc<Shared>) {
    let shared = Arc::clone(shared);
    let serving = move || {
        // A connection that breaks is the client's to notice; the server has nobody to tell.
        let _ = serve(stream, &shared);
    };
    drop(thread::Builder::new().name("connection".to_owned()).spawn(serving));
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    // On some systems an accepted stream takes this over from its listener.
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    while let Some(request) = wire.request()? {
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if shared.down.load(Ordering::Relaxed) {
            return wire.reset();
        }
        let nth = shared.inbox().see(&request.key);
        thread::sleep(shared.pattern.work(request.line));
        match shared.pattern.behaviour(request.line, nth) {
            Behaviour::Accept => {
                accept(shared, request);
                wire.answer(200, "")?;
            }
            Behaviour::Answer(code) => wire.answer(code, "")?,
            Behaviour::TooManyRequests => wire.answer(429, "Retry-After: 1\r\n")?,
            Behaviour::AcceptAndReset => {
                accept(shared, request);
                return wire.reset();
            }
            Behaviour::Reset => return wire.reset(),
            Behaviour::AcceptAndStall => {
                accept(shared, request);
                return stall(shared);
            }
            Behaviour::Stall => return stall(shared),
        }
    }
    Ok(())
}

/// The answer never comes: when this is over the client has long gone.
fn stall(shared: &Shared) -> io::Result<()> {
    thread::sleep(shared.stall);
    Ok(())
}

fn accept(shared: &Shared, request: Request) {
    shared.inbox().accept(request.key, request.body);
}
