//! A directory to which anything is done: files edited, removed, renamed, doubled, power lost, more appended. It is refused and
//! not touched, or tells of what was written at some time and of nothing else; and what a recovery leaves tells the same again.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver::internals::{Entry, Level, Life, Urgency};
use redeliver::storage::{Loss, Storage};
use redeliver_fuzz::journal::{Edit, Told, base, open, open_twice};

#[derive(Arbitrary, Debug)]
struct Input {
    which: u8,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Edit { file: u8, edit: Edit },
    Remove { file: u8 },
    Rename { file: u8, to: u8 },
    Double { file: u8, to: u8 },
    Lose { seed: u64 },
    Append { bodies: Vec<u8>, synced: bool, end: End },
}

#[derive(Arbitrary, Debug)]
enum End {
    Close,
    Kill,
    Lose(u64),
}

const NAMES: [&str; 12] = [
    "0000000001.segment",
    "0000000002.segment",
    "0000000003.segment",
    "0000000004.segment",
    "0000000009.segment",
    "0000000002.spare",
    "0000000002.torn",
    "0000000003.segment.new",
    "reserve",
    "closed",
    "store",
    ".hidden",
];

fuzz_target!(|input: Input| {
    let base = base(input.which);
    let mut disk = base.disk.kill();
    let mut written: Vec<Told> = base.told.iter().flatten().cloned().collect();
    for (n, step) in input.steps.iter().take(12).enumerate() {
        let names = disk.names();
        let name = |file: u8| names.get(usize::from(file) % names.len().max(1)).cloned();
        match step {
            Step::Edit { file, edit } => {
                let Some(name) = name(*file) else { continue };
                let mut bytes = disk.bytes(&name).expect("it is there");
                edit.apply(&mut bytes);
                disk.put(&name, &bytes).expect("a name");
            }
            Step::Remove { file } => {
                let Some(name) = name(*file) else { continue };
                disk.remove(&name).expect("it is there");
            }
            Step::Rename { file, to } => {
                let Some(name) = name(*file) else { continue };
                disk.rename(&name, NAMES[usize::from(*to) % NAMES.len()]).expect("it is there");
            }
            Step::Double { file, to } => {
                let Some(name) = name(*file) else { continue };
                let bytes = disk.bytes(&name).expect("it is there");
                disk.put(NAMES[usize::from(*to) % NAMES.len()], &bytes).expect("a name");
            }
            Step::Lose { seed } => disk = disk.after_power_cut(&Loss::Random(*seed)),
            Step::Append { bodies, synced, end } => {
                let Ok(opened) = open(&disk, n as u64) else { continue };
                for told in opened.told.iter().flatten() {
                    assert!(written.contains(told), "told, and never written: {told:?}; {:?}", opened.report);
                }
                for body in bodies.iter().take(16) {
                    let body = vec![*body; usize::from(*body) * 9];
                    let entry = Entry { kind: 7, life: Life::Held, body: &body };
                    let Ok((_, end)) = opened.journal.append_one(entry, Urgency::Normal) else { continue };
                    written.push(Told { kind: 7, effect: None, body });
                    let level = if *synced { Level::Synced } else { Level::Written };
                    opened.journal.commit(end, level).expect("a disk that works");
                }
                disk = match end {
                    End::Close => {
                        opened.journal.close().expect("a disk that works");
                        disk.kill()
                    }
                    End::Kill => disk.kill(),
                    End::Lose(seed) => disk.after_power_cut(&Loss::Random(*seed)),
                };
            }
        }
    }
    let Some(opened) = open_twice(&disk) else { return };
    for told in opened.told.iter().flatten() {
        assert!(written.contains(told), "told, and never written: {told:?}; {:?}", opened.report);
    }
});
