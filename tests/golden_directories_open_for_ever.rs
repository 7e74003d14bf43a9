//! T23: directories that an earlier version has written open for ever, and tell what they told then.
//!
//! `tests/golden/v1/` has directories in format version 1, and for each a text: what it tells, and what the recovery reports.
//! They are never written again. A format that changes gets a number and directories of its own, beside these:
//!
//! `cargo test --test golden_directories_open_for_ever -- --ignored write`
//!
//! writes those that are missing, and leaves alone what is there.
#![cfg(feature = "store")]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it reads and writes files")]

use redeliver::internals::{Entry, Journal, Level, Life, OpenError, Position, RecoveryReport, Settings, Urgency};
use redeliver::storage::{Loss, SimulatedDisk, Storage};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NAMES: [&str; 4] = ["closed", "segments", "torn", "damaged"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1")
}

fn settings() -> Settings {
    Settings { segment_bytes: 64 << 10, ..Settings::DEFAULT }
}

/// A copy in memory.
fn read(name: &str) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    for entry in std::fs::read_dir(folder().join(name)).unwrap() {
        let path = entry.unwrap().path();
        disk.put(path.file_name().unwrap().to_str().unwrap(), &std::fs::read(&path).unwrap()).unwrap();
    }
    disk
}

/// Opens it, and writes down what is told and reported.
fn open(disk: &SimulatedDisk, seed: u64) -> Result<(Journal, String), OpenError> {
    let mut text = String::new();
    let (journal, report) = Journal::open(Arc::new(disk.clone()), settings(), seed, |group| {
        writeln!(text, "group of {}", group.len()).unwrap();
        for record in group {
            let effect: Vec<u32> = record.speaks_of().collect();
            let life = if record.is_effect() { format!("of {effect:?}") } else { "held".into() };
            let body = match record.body {
                body if body.len() > 200 => format!("{} bytes, checksum {:08x}", body.len(), crc(0, body)),
                body => String::from_utf8_lossy(body).into_owned(),
            };
            writeln!(text, "  {}: kind {}, {life}: {body}", record.position, record.kind).unwrap();
        }
    })?;
    let RecoveryReport { segments, frames, records, groups, damage, tail, bytes_cut, kept_in, rewritten, end, .. } =
        report;
    let damage: Vec<_> = damage.iter().map(ToString::to_string).collect();
    let end = end.unwrap();
    writeln!(text, "{segments} segments, {frames} frames, {groups} groups, {records} records").unwrap();
    writeln!(text, "damage: {damage:?}").unwrap();
    writeln!(text, "tail: {tail:?}, {bytes_cut} bytes cut, kept in {kept_in:?}").unwrap();
    writeln!(text, "{rewritten} written again, goes on in {end}").unwrap();
    Ok((journal, text))
}

#[test]
fn they_open_and_tell_what_they_told() {
    for name in NAMES {
        let disk = read(name);
        let wanted = std::fs::read_to_string(folder().join(format!("{name}.txt"))).unwrap();
        let (journal, told) = open(&disk, 1).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(told, wanted, "{name}");
        // And it can be used.
        let appended = journal.append_one(held(b"new"), Urgency::Normal).unwrap();
        journal.commit(appended.1, Level::Synced).unwrap();
        journal.close().unwrap();
        let (_, told) = open(&disk, 2).unwrap();
        assert!(told.contains(": new\n"), "{name}: {told}");
    }
}

#[test]
fn a_later_version_is_left_alone() {
    for name in NAMES {
        let files = read(name).names();
        let headers = files.iter().filter(|file| file.ends_with(".segment") || *file == "store" || *file == "closed");
        for file in headers {
            let disk = read(name);
            let block = &mut disk.bytes(file).unwrap()[..4096].to_vec();
            for copy in [0, 2048] {
                block[copy + 8] = 2;
                let check = crc(0, &block[copy..copy + 60]);
                block[copy + 60..copy + 64].copy_from_slice(&check.to_le_bytes());
            }
            disk.overwrite(file, 0, block).unwrap();
            let before = disk.fingerprint();
            let refused = open(&disk, 1).err();
            let is_named =
                matches!(&refused, Some(OpenError::Newer { file: named, version: 2, known: 1 }) if named == file);
            assert!(is_named, "{name}, {file}: {refused:?}");
            assert_eq!(disk.fingerprint(), before, "{name}, {file}");
        }
    }
}

/// Computes every checksum as `docs/format.md` describes it, with nothing of the library.
#[test]
fn the_checksums_are_what_the_page_says() {
    let disk = read("segments");
    let (mut frames, mut records) = (0, 0);
    for file in disk.names().into_iter().filter(|file| file.ends_with(".segment")) {
        let bytes = disk.bytes(&file).unwrap();
        for copy in [0, 2048] {
            assert_eq!(u32_at(&bytes, copy + 60), crc(0, &bytes[copy..copy + 60]), "{file}");
        }
        let number = u32_at(&bytes, 12);
        let words = [u64_at(&bytes, 16), u64_at(&bytes, 24), u64_at(&bytes, 32), u64::from(number)];
        let bound = words.into_iter().fold(0, |bound, word| mix(bound ^ word));
        let check = |content: u32, offset: usize, head: &[u8]| {
            let place = [bound.to_le_bytes(), (u64::from(number) << 32 | offset as u64).to_le_bytes()].concat();
            crc(crc(content, &place), head)
        };
        let mut at = 4096_usize;
        // A file that was written over has frames of another number behind its end.
        let is_head =
            |here: usize| bytes.get(here + 4..here + 8) == Some(b"rdlv") && u32_at(&bytes, here + 12) == number;
        while let Some(head) = [at, at.next_multiple_of(4096)].into_iter().find(|here| is_head(*here)) {
            assert_eq!(u32_at(&bytes, head), check(0, head, &bytes[head + 4..head + 40]), "{file}, {head}");
            assert_eq!(u32_at(&bytes, head + 24) as usize, at, "{file}, {head}");
            let end = head + 40 + u32_at(&bytes, head + 28) as usize;
            at = head + 40;
            while at < end {
                let body = u32_at(&bytes, at + 4) as usize;
                let content = crc(0, &bytes[at + 12..at + 12 + body]);
                assert_eq!(u32_at(&bytes, at), check(content, at, &bytes[at + 4..at + 12]), "{file}, {at}");
                at += (12 + body + 4).next_multiple_of(8);
                records += 1;
            }
            frames += 1;
        }
    }
    assert!(frames > 20 && records > 20, "{frames} frames, {records} records");
}

// ---- the format, once more ----

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// CRC-32C of what came before, and of these bytes behind it.
fn crc(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32| crc >> 1 ^ (0x82f6_3b78 & 0_u32.wrapping_sub(crc & 1));
    !bytes.iter().fold(!before, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// SplitMix64's finalizer.
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[test]
fn the_checksum_is_castagnolis() {
    assert_eq!(crc(0, b"123456789"), 0xe306_9283);
    assert_eq!(crc(crc(0, b"12345"), b"6789"), 0xe306_9283);
}

// ---- how they were written ----

fn held(body: &[u8]) -> Entry<'_> {
    Entry { kind: 1, life: Life::Held, body }
}

fn send(journal: &Journal, body: &str, level: Level) -> Position {
    let (at, end) = journal.append_one(held(body.as_bytes()), Urgency::Normal).unwrap();
    journal.commit(end, level).unwrap();
    at
}

fn settle(journal: &Journal, at: Position) {
    let of = [at.segment()];
    let effect = Entry { kind: 2, life: Life::Effect(&of), body: b"settled" };
    let (_, end) = journal.append_one(effect, Urgency::FreesRoom).unwrap();
    journal.commit(end, Level::Synced).unwrap();
    journal.release(at);
}

fn send_group(journal: &Journal) {
    let of = [1, 2];
    let group =
        [held(b"first of three"), Entry { kind: 3, life: Life::Effect(&of), body: b"second" }, held(b"third of three")];
    let end = journal.append(&group, Urgency::Normal).unwrap().end;
    journal.commit(end, Level::Synced).unwrap();
}

fn mark(journal: &Journal) {
    let now = Instant::now();
    journal.tick(now);
    journal.tick(now + Duration::from_millis(200));
    journal.tick(now + Duration::from_millis(400));
}

fn write(name: &str) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let (journal, _) = open(&disk, 11).unwrap();
    match name {
        "closed" => {
            let first = send(&journal, "hello", Level::Synced);
            send(&journal, "", Level::Written);
            send(&journal, "written and not flushed alone", Level::Written);
            send_group(&journal);
            mark(&journal);
            settle(&journal, first);
            journal.close().unwrap();
        }
        "segments" => {
            // Segment 1 goes, and 3 is the same file, written over.
            let first = send(&journal, &"x".repeat(9000), Level::Synced);
            while journal.health().segments < 2 {
                let at = send(&journal, &"y".repeat(9000), Level::Synced);
                settle(&journal, at);
            }
            settle(&journal, first);
            send_group(&journal);
            journal.reclaim().unwrap();
            while journal.health().synced.segment() < 3 {
                send(&journal, &"z".repeat(3000), Level::Synced);
            }
            for n in 0..5 {
                send(&journal, &format!("number {n}"), Level::Synced);
            }
            mark(&journal);
            assert_eq!(u32_at(&disk.bytes("0000000003.segment").unwrap(), 52), 1, "written over");
            journal.close().unwrap();
        }
        "torn" => {
            // The first recovery writes what was not marked again, the second cuts off what did not arrive.
            send(&journal, "marked", Level::Synced);
            send(&journal, "flushed", Level::Synced);
            let disk = disk.kill();
            let (journal, _) = open(&disk, 12).unwrap();
            send(&journal, "safe", Level::Synced);
            let bodies: Vec<_> = (0..8).map(|n| format!("one of eight: {n} ").repeat(12)).collect();
            let group: Vec<_> = bodies.iter().map(|body| held(body.as_bytes())).collect();
            let end = journal.append(&group, Urgency::Normal).unwrap().end;
            journal.commit(end, Level::Written).unwrap();
            let disk = disk.after_power_cut(&Loss::LastUpTo(1500));
            drop(journal);
            // Nobody reads behind its end.
            disk.cut("0000000001.segment", 5 * 4096).unwrap();
            return without_reserve(disk);
        }
        _ => {
            for n in 0..4 {
                let (_, end) = journal.append_one(held(format!("number {n}").as_bytes()), Urgency::Normal).unwrap();
                if n % 2 == 1 {
                    journal.commit(end, Level::Synced).unwrap();
                }
            }
            journal.close().unwrap();
            // One record of the first frame, and the head of the second.
            disk.flip("0000000001.segment", (3 * 4096 + 40 + 14) * 8).unwrap();
            disk.flip("0000000001.segment", (4 * 4096 + 30) * 8).unwrap();
        }
    }
    if name == "closed" { disk } else { without_reserve(disk) }
}

/// Smaller: a recovery sets a segment aside if there is none.
fn without_reserve(disk: SimulatedDisk) -> SimulatedDisk {
    disk.remove("reserve").unwrap();
    disk.flush_names().unwrap();
    disk
}

#[test]
#[ignore = "writes the directories that are missing"]
fn write_what_is_missing() {
    for name in NAMES {
        let folder = folder();
        if folder.join(name).exists() {
            println!("{name} is there, and stays as it is");
            continue;
        }
        let disk = write(name);
        std::fs::create_dir_all(folder.join(name)).unwrap();
        for file in disk.names() {
            std::fs::write(folder.join(name).join(&file), disk.bytes(&file).unwrap()).unwrap();
        }
        let (_, told) = open(&disk.kill(), 1).unwrap();
        std::fs::write(folder.join(format!("{name}.txt")), told).unwrap();
    }
}
