//! `kill -9` at a drawn moment, while senders write, segments come and go, or the journal is being opened after the kill
//! before: everything that was confirmed is there, byte for byte, and nothing else. The one who knows what was confirmed is
//! another process.
#![cfg(all(feature = "store", unix, not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it starts processes, and looks at real time")]

mod support;

use redeliver::internals::{Level, Settings};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use support::child::{self, Process};
use support::folder::Folder;
use support::witness::{SENDERS, SMALL, Witness, open, write_until_killed};
use support::{Rng, evidence, is_nightly, seed};

#[test]
fn child_that_writes() {
    let Some(orders) = child::orders() else { return };
    let [path, round, seed, senders, recycles] = &orders[..] else { panic!("{orders:?}") };
    let settings = Settings { recycle: recycles == "true", ..SMALL };
    let number = |text: &String| text.parse::<u64>().unwrap();
    write_until_killed(Path::new(path), settings, number(round) as u32, number(seed), number(senders) as u8);
}

#[test]
fn what_was_confirmed_survives_kill_9() {
    let rounds = if is_nightly() { 400 } else { 30 };
    let (mut rng, folder) = (Rng(seed()), Folder::new());
    let path = folder.join("journal");
    let (mut witness, mut opening, mut ended, mut rewritten, mut told_most) = (Witness::default(), 0, 0, 0, 0);
    println!("SEED={}", seed());
    for round in 0..rounds {
        let senders = 1 + rng.below(SENDERS.into());
        let orders = [
            path.display().to_string(),
            round.to_string(),
            rng.draw().to_string(),
            senders.to_string(),
            (rng.below(2) == 0).to_string(),
        ];
        let mut child = Process::start("child_that_writes", &orders);
        // Every third one while it recovers from the kill before.
        let (word, us_max) = if round % 3 == 2 { ("opening", 3_000) } else { ("opened", 60_000) };
        assert!(child.until(word), "round {round}: the child ended by itself");
        std::thread::sleep(Duration::from_micros(rng.below(us_max)));
        let said = child.kill();
        opening += u64::from(!said.iter().any(|(_, line)| line == "opened"));
        ended += u64::from(said.iter().any(|(_, line)| line == "ended" || line.starts_with("refused")));
        witness.hear(&said);

        // A copy, so that the next child has to recover from this kill as well; and now and then the thing itself.
        let copy = folder.join("copy");
        let of_copy = round % 5 != 4;
        let looked_at = if of_copy { copy_of(&path, &copy) } else { &path };
        let (journal, report, told) = open(looked_at, SMALL, rng.draw());
        assert!(report.damage.is_empty(), "round {round}: {report:?}");
        witness.check(&told, Level::Written, Instant::now());
        (rewritten, told_most) = (rewritten + report.rewritten, told_most.max(told.messages()));
        journal.close().unwrap();
        if of_copy {
            fs::remove_dir_all(&copy).unwrap();
        }
        witness.next_round();
    }
    assert_eq!(ended, 0, "no child ended by itself");
    assert!(opening > 0 && witness.confirmed > 100 && witness.settled > 100 && rewritten > 0);
    evidence(
        "killed",
        serde_json::json!({
            "seed": seed(), "kills": rounds, "kills_while_opening": opening, "confirmed": witness.confirmed,
            "settled": witness.settled, "rewritten": rewritten, "told_most": told_most, "lost": 0, "invented": 0,
        }),
    );
}

fn copy_of<'p>(from: &Path, to: &'p Path) -> &'p Path {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
    to
}
