//! The command line.

use crate::cells::throughput::BATCH;
use crate::payload::Kind;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub const CELLS: [&str; 10] =
    ["one-thread", "1p1c", "2p2c", "batch", "latency", "held", "memory", "written", "synced", "scan"];

pub const HELP: &str = "\
Compares redeliver with channels that track nothing and with a naive queue that tracks, in interleaved rounds.

  --cells LIST       of one-thread,1p1c,2p2c,batch,latency,held,memory,
                     and of the journal: written,synced,scan (default: all)
  --payload LIST     of u64,64b,string (default: all)
  --peers LIST       of crossbeam,std,flume,kanal,ledger (default: all)
  --capacities LIST  of 128 at least (default: 1024,65536)
  --rounds N         near rounds wanted (default: 21)
  --tries N          rounds after which a cell ends without them (default: 4 x rounds)
  --messages N       in a pass (default: what each contender does in about 30 ms)
  --pin              pin each thread to a CPU
  --near NS          a cache line one way under this is near (default: 100)
  --dir DIR          where the journal's cells write (default: the system's directory for such things)
  --quick            5 rounds of 5 ms, only to see that it runs
  --json FILE        every round, as JSON
";

pub struct Args {
    pub cells: Vec<String>,
    pub payloads: Vec<Kind>,
    /// `None`: all.
    pub peers: Option<Vec<String>>,
    pub capacities: Vec<usize>,
    pub rounds: usize,
    pub tries: usize,
    pub messages: Option<u64>,
    pub trial_messages: u64,
    pub pass: Duration,
    pub latency_pass: Duration,
    pub pin: bool,
    pub near_ns: f64,
    /// Only to see that it runs.
    pub quick: bool,
    pub dir: PathBuf,
    pub json: Option<PathBuf>,
}

impl Args {
    /// `Err`: what is wrong; `Ok(None)`: help was asked for.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Args>, String> {
        let mut args = Args {
            cells: CELLS.map(String::from).to_vec(),
            payloads: Kind::ALL.to_vec(),
            peers: None,
            capacities: vec![1_024, 65_536],
            rounds: 0,
            tries: 0,
            messages: None,
            trial_messages: 200_000,
            pass: Duration::from_millis(30),
            latency_pass: Duration::from_millis(100),
            pin: false,
            near_ns: 100.0,
            quick: false,
            dir: std::env::temp_dir(),
            json: None,
        };
        let mut rounds = None;
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value"));
            match word.as_str() {
                "--cells" => args.cells = list(&value()?, |cell| known(&CELLS, cell))?,
                "--payload" => args.payloads = list(&value()?, kind)?,
                "--peers" => args.peers = Some(list(&value()?, |peer| Ok(peer.to_string()))?),
                "--capacities" => args.capacities = list(&value()?, capacity)?,
                "--rounds" => rounds = Some(positive(&value()?)?),
                "--tries" => args.tries = positive(&value()?)?,
                "--messages" => args.messages = Some(positive(&value()?)?),
                "--pin" => args.pin = true,
                "--near" => args.near_ns = positive(&value()?)?,
                "--dir" => args.dir = value()?.into(),
                "--quick" => args.quick = true,
                "--json" => args.json = Some(value()?.into()),
                "--help" | "-h" => return Ok(None),
                // What `cargo bench` adds.
                "--bench" => {}
                _ => return Err(format!("unknown: {word}")),
            }
        }
        if args.quick {
            args.trial_messages = 20_000;
            args.pass = Duration::from_millis(5);
            args.latency_pass = Duration::from_millis(20);
        }
        args.rounds = rounds.unwrap_or(if args.quick { 5 } else { 21 });
        args.tries = args.tries.max(if args.tries == 0 { 4 * args.rounds } else { args.rounds });
        Ok(Some(args))
    }
}

fn list<V>(words: &str, read: impl Fn(&str) -> Result<V, String>) -> Result<Vec<V>, String> {
    words.split(',').map(|word| read(word.trim())).collect()
}

fn known(names: &[&str], word: &str) -> Result<String, String> {
    names.contains(&word).then(|| word.to_string()).ok_or(format!("{word} is none of {}", names.join(",")))
}

fn kind(word: &str) -> Result<Kind, String> {
    Kind::ALL.into_iter().find(|kind| kind.name() == word).ok_or(format!("{word} is none of u64,64b,string"))
}

fn capacity(word: &str) -> Result<usize, String> {
    let n = positive::<usize>(word)?;
    // One thread sends a whole batch before it receives, with a few messages waiting.
    if n < 2 * BATCH { Err(format!("{word} is too small a capacity: {} at least", 2 * BATCH)) } else { Ok(n) }
}

fn positive<N: FromStr + PartialOrd + Default>(word: &str) -> Result<N, String> {
    let number = word.replace(['_', ','], "").parse::<N>().ok();
    number.filter(|n| *n > N::default()).ok_or(format!("{word} is no positive number"))
}
