//! The link: a proxy that closes, resets and stalls connections, as a seed decides.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

const SEED: u64 = 42;
/// Longer than a lease, and shorter than a sender's patience.
const STALL: Duration = Duration::from_millis(300);

/// What becomes of a connection, after so many bytes in one of its directions.
#[derive(Clone, Copy)]
enum Fate {
    Close,
    Reset,
    Stall,
}

/// Joins the two sides of connection `number`, until one of them, or its fate, ends it.
pub fn join(number: u64, source: TcpStream, replica: SocketAddr) -> io::Result<()> {
    let (draw, never) = (mix(number), usize::MAX);
    if draw % 8 == 0 {
        return Ok(()); // not even a byte
    }
    let fate = [Fate::Close, Fate::Reset, Fate::Stall][(draw / 8 % 3) as usize];
    // Requests break off in the middle of a record; or answers do, and the source cannot know what has arrived.
    let (there, back) = if draw / 32 % 2 == 0 { (4000, never) } else { (never, 100) };
    let replica = TcpStream::connect(replica)?;
    for stream in [&source, &replica] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_millis(5)))?;
    }
    let answers = (replica.try_clone()?, source.try_clone()?);
    let over = AtomicBool::new(false);
    let carry_until_over = |from, to, quota| {
        let result = carry(from, to, quota, fate, &over);
        over.store(true, Relaxed); // for the other direction: a socket is closed when both have let go of it
        result
    };
    thread::scope(|scope| {
        scope.spawn(|| carry_until_over(answers.0, answers.1, back));
        carry_until_over(source, replica, there)
    })
}

/// Carries bytes from one side to the other; after `quota` of them comes their fate.
fn carry(mut from: TcpStream, mut to: TcpStream, quota: usize, mut fate: Fate, over: &AtomicBool) -> io::Result<()> {
    let (mut left, mut buffer) = (quota, [0; 1024]);
    while !over.load(Relaxed) {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
            Err(error) => return Err(error),
        };
        let (passes, waits) = buffer[..count].split_at(count.min(left));
        to.write_all(passes)?;
        left -= passes.len();
        match fate {
            _ if left > 0 => {}
            Fate::Close => return Ok(()),
            Fate::Reset => {
                // A linger time of zero: what is closed then sends a RST.
                return [&from, &to].into_iter().try_for_each(|s| SockRef::from(s).set_linger(Some(Duration::ZERO)));
            }
            Fate::Stall => {
                thread::sleep(STALL); // then it goes on as if nothing had happened, once
                to.write_all(waits)?;
                (left, fate) = (quota, Fate::Close);
            }
        }
    }
    Ok(())
}

/// Evenly distributed bits (one step of splitmix64).
pub fn mix(n: u64) -> u64 {
    let z = (n ^ SEED).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
