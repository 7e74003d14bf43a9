//! The command line: what was asked for, or what is wrong with it, where, and what to do.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use lexopt::prelude::*;

use crate::url::Url;

pub const HELP: &str = "\
Delivers every line of a file by HTTP POST through a redeliver queue, until it has arrived or is a
dead letter.

Usage: webhooks [OPTIONS]

  --url URL        deliver to this http:// endpoint [default: a server of its own on
                   loopback that keeps failing]
  --file FILE      one event a line [default: the file that ships with the example]
  --threads N      deliver from N threads, 1 to 256 [default: 8]
  --attempts N     a dead letter after N failed attempts, 1 to 1000 [default: 6]
  --timeout-ms N   give a request N milliseconds, 1 to 600000 [default: 500; with --url 5000]
  --seed N         what the server of its own does, and when [default: 7]
  --json           print the result as one JSON object, and nothing else, to stdout
  --help           print this

Events: the body of a POST is the line's bytes without the newline, whatever they are (a carriage
return and bytes that are no UTF-8 included). Every line is an event, also an empty one: its body is
empty. A file that ends in a newline has no event after it.

Every POST carries an Idempotency-Key, the same at each attempt for the event, and the line's number
in X-Event-Line. A 2xx answer is a delivery. 429, 5xx and a connection that fails are tried again:
after Retry-After if the answer gives it in seconds (30 at most), else after 100 ms doubling to 1 s.
Any other answer makes the event a dead letter at once.

JSON: sent, delivered (events that arrived), retried, retransmitted,
dead: [{line, reason, attempts}], throughput (events delivered per second), latency_ms: {p50, p99}
(from send to the first attempt), failure_rate (failed attempts per attempt).

Exit code: 0 every event is delivered or named as dead (and the server of its own has exactly the
bytes that were sent), 1 not so, 2 bad arguments or an unreadable file.
";

pub enum Command {
    Run(Args),
    Help,
}

pub struct Args {
    /// Where to deliver; `None` is the example's own server.
    pub url: Option<Url>,
    pub file: PathBuf,
    pub threads: usize,
    pub attempts: u32,
    pub timeout: Duration,
    pub seed: u64,
    pub json: bool,
}

#[derive(Debug)]
pub struct ArgsError(String);

impl Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nTry --help for the options.", self.0)
    }
}

impl Error for ArgsError {}

impl From<lexopt::Error> for ArgsError {
    fn from(error: lexopt::Error) -> Self {
        Self(format!("command line: {error}"))
    }
}

/// Reads the process's own arguments.
pub fn parse() -> Result<Command, ArgsError> {
    parse_from(lexopt::Parser::from_env())
}

fn parse_from(mut parser: lexopt::Parser) -> Result<Command, ArgsError> {
    let mut args = Args {
        url: None,
        file: PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/webhooks/events.jsonl")),
        threads: 8,
        attempts: 6,
        timeout: Duration::ZERO,
        seed: 7,
        json: false,
    };
    let mut timeout_ms = None;
    while let Some(arg) = parser.next()? {
        match arg {
            Long("url") => args.url = Some(url(&parser.value()?)?),
            Long("file") => args.file = parser.value()?.into(),
            Long("threads") => args.threads = number("--threads", &parser.value()?, 1..=256)?,
            Long("attempts") => args.attempts = number("--attempts", &parser.value()?, 1..=1000)?,
            Long("timeout-ms") => timeout_ms = Some(number("--timeout-ms", &parser.value()?, 1..=600_000)?),
            Long("seed") => args.seed = number("--seed", &parser.value()?, 0..=u64::MAX)?,
            Long("json") => args.json = true,
            Short('h') | Long("help") => return Ok(Command::Help),
            other => return Err(other.unexpected().into()),
        }
    }
    // A real endpoint may be far away; the built-in one stalls on purpose, and waiting for it long
    // proves nothing.
    let default_ms = if args.url.is_some() { 5_000 } else { 500 };
    args.timeout = Duration::from_millis(timeout_ms.unwrap_or(default_ms));
    Ok(Command::Run(args))
}

fn url(value: &OsStr) -> Result<Url, ArgsError> {
    let text = value.to_string_lossy();
    Url::parse(&text).map_err(|problem| ArgsError(format!("--url {text:?}: {problem}")))
}

fn number<N: FromStr + PartialOrd + Display>(
    option: &str,
    value: &OsStr,
    range: RangeInclusive<N>,
) -> Result<N, ArgsError> {
    let parsed = value.to_str().and_then(|text| text.parse().ok()).filter(|n| range.contains(n));
    let (least, most) = range.into_inner();
    parsed.ok_or_else(|| ArgsError(format!("{option} {value:?}: not a whole number from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Command, ArgsError> {
        parse_from(lexopt::Parser::from_args(words))
    }

    #[test]
    fn no_arguments_run_against_the_server_of_its_own() {
        let Ok(Command::Run(args)) = parsed(&[]) else { panic!("no arguments are fine") };
        assert!(args.url.is_none());
        assert_eq!(args.timeout, Duration::from_millis(500));
    }

    #[test]
    fn a_bad_value_is_named_with_its_option() {
        for (words, part) in [
            (["--threads", "0"], "--threads \"0\": not a whole number from 1 to 256"),
            (["--attempts", "many"], "--attempts \"many\""),
            (["--url", "https://example.org"], "https"),
            (["--url", "example.org"], "http://"),
            (["--url", "http://example.org:99999/"], "--url"),
            (["--colour", "red"], "--colour"),
        ] {
            let Err(error) = parsed(&words) else { panic!("{words:?} must be refused") };
            assert!(error.to_string().contains(part), "{words:?}: {error}");
        }
    }
}
