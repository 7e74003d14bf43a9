//! The simulated disk is never kinder than POSIX: what it promises to lose it can lose, what was flushed it never loses, and
//! the same seed loses the same.
#![cfg(all(feature = "store", not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it takes the time of a cut")]

use redeliver::storage::{AfterFailedFlush, Call, Fault, FileSystem, Loss, SimulatedDisk, Storage, StorageFile};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

const EIO: i32 = 5;

/// A disk with one durable file of these bytes.
fn disk_with(bytes: &[u8]) -> (SimulatedDisk, Arc<dyn StorageFile>) {
    let disk = SimulatedDisk::new();
    disk.put("f", bytes).unwrap();
    let file = disk.open("f").unwrap();
    (disk, file)
}

fn left(disk: &SimulatedDisk, loss: Loss) -> Vec<u8> {
    disk.after_power_cut(&loss).bytes("f").unwrap()
}

/// Everything that 2,000 random losses of power leave of it.
fn drawn<T: Ord>(disk: &SimulatedDisk, look: impl Fn(SimulatedDisk) -> T) -> BTreeSet<T> {
    (0..2000).map(|seed| look(disk.after_power_cut(&Loss::Random(seed)))).collect()
}

#[test]
fn reads_see_what_was_written_and_a_flush_keeps_it() {
    let (disk, file) = disk_with(b"");
    assert_eq!(file.write_at(b"hello", 4094).unwrap(), 5);
    let mut buffer = [7; 16];
    assert_eq!(file.read_at(&mut buffer, 4092).unwrap(), 7);
    assert_eq!(&buffer[..8], b"\0\0hello\x07");
    assert_eq!(file.read_at(&mut buffer, 4099).unwrap(), 0);
    assert_eq!(file.read_at(&mut buffer, u64::MAX).unwrap(), 0);
    assert_eq!(file.size().unwrap(), 4099);

    assert_eq!(disk.unsynced(), 1);
    assert_eq!(left(&disk, Loss::Everything), b"");
    file.flush().unwrap();
    assert_eq!(disk.unsynced(), 0);
    assert_eq!(left(&disk, Loss::Everything), disk.bytes("f").unwrap());

    file.truncate(4096).unwrap();
    file.truncate(4099).unwrap();
    assert_eq!(disk.bytes("f").unwrap()[4094..], *b"he\0\0\0");
    assert_eq!(left(&disk, Loss::AllBut(0)).len(), 4096);
    assert_eq!(left(&disk, Loss::Everything)[4094..], *b"hello");
}

#[test]
fn a_flush_of_bytes_is_none_of_names_and_the_other_way_round() {
    let disk = SimulatedDisk::new();
    let file = disk.create("new").unwrap();
    file.write_at(b"bytes", 0).unwrap();
    file.flush().unwrap();
    assert!(disk.after_power_cut(&Loss::Everything).names().is_empty());
    disk.flush_names().unwrap();
    assert_eq!(disk.after_power_cut(&Loss::Everything).bytes("new").unwrap(), b"bytes");

    let other = disk.create("other").unwrap();
    other.write_at(b"bytes", 0).unwrap();
    disk.flush_names().unwrap();
    assert_eq!(disk.after_power_cut(&Loss::Everything).bytes("other").unwrap(), b"");
    assert_eq!(disk.unsynced(), 1);
    file.flush().unwrap();
    assert_eq!(disk.unsynced(), 1, "a flush is one file's");
}

#[test]
fn a_rename_has_happened_or_has_not() {
    let disk = SimulatedDisk::new();
    disk.put("f", b"old").unwrap();
    let file = disk.create("f.new").unwrap();
    file.write_at(b"new", 0).unwrap();
    file.flush().unwrap();
    disk.rename("f.new", "f").unwrap();
    let seen = drawn(&disk, |disk| disk.bytes("f").unwrap());
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
    assert_eq!(disk.names(), ["f"]);

    // Renamed only, it always has one name, be it lost or not.
    disk.flush_names().unwrap();
    disk.rename("f", "g").unwrap();
    disk.rename("g", "h").unwrap();
    let names = drawn(&disk, |disk| {
        assert_eq!(disk.bytes(&disk.names()[0]).unwrap(), b"new");
        disk.names()
    });
    assert_eq!(names, ["f", "g", "h"].map(|name| vec![name.to_owned()]).into());

    // Renamed without a flush: the name of the old with nothing in it, the classic.
    let file = disk.create("h.new").unwrap();
    file.write_at(b"newer", 0).unwrap();
    disk.rename("h.new", "h").unwrap();
    let seen = drawn(&disk, |disk| disk.bytes("h").ok());
    assert!(seen.contains(&Some(Vec::new())) && seen.contains(&Some(b"newer".to_vec())), "{seen:?}");
}

#[test]
fn a_removed_name_may_come_back() {
    let (disk, file) = disk_with(b"x");
    disk.remove("f").unwrap();
    assert_eq!(disk.open("f").err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1, "who has it open keeps it");
    assert_eq!(left(&disk, Loss::Everything), b"x");
    disk.flush_names().unwrap();
    assert!(disk.after_power_cut(&Loss::Everything).names().is_empty());
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1, "even so");
}

#[test]
fn every_loss_means_what_it_says() {
    let (disk, file) = disk_with(&[b'.'; 6]);
    for (at, byte) in [b"a", b"b", b"c"].into_iter().enumerate() {
        file.write_at(byte, at as u64).unwrap();
    }
    for (loss, bytes) in [
        (Loss::Nothing, b"abc..."),
        (Loss::Everything, b"......"),
        (Loss::Suffix { kept: 0 }, b"......"),
        (Loss::Suffix { kept: 2 }, b"ab...."),
        (Loss::AllBut(1), b".b...."),
        (Loss::Only(1), b"a.c..."),
        (Loss::SizeWithoutData, b"......"),
        (Loss::TornLast { sectors: 0 }, b"ab...."),
        (Loss::LastUpTo(0), b"ab...."),
        (Loss::LastUpTo(9), b"abc..."),
    ] {
        assert_eq!(left(&disk, loss), bytes, "{loss:?}");
    }
    assert_eq!(Loss::each(3).filter(|loss| matches!(loss, Loss::Suffix { .. })).count(), 3);

    file.write_at(b"longer than before", 6).unwrap();
    assert_eq!(left(&disk, Loss::SizeWithoutData), [&b"......"[..], &[0; 18]].concat());
    assert_eq!(left(&disk, Loss::LastUpTo(6)), b"abc...longer");
    file.allocate(8192).unwrap();
    assert_eq!(left(&disk, Loss::Everything).len(), 6);
    assert_eq!(left(&disk, Loss::SizeWithoutData).len(), 8192);
    assert_eq!(left(&disk, Loss::Only(3))[6..], [0; 8186]);
}

#[test]
fn a_write_tears_at_sectors_and_in_them() {
    let old = [1; 2048];
    let (disk, file) = disk_with(&old);
    file.write_at(&[2; 1024], 256).unwrap(); // sectors 0, 1 and half of 2
    let torn = left(&disk, Loss::TornLast { sectors: 0b101 });
    assert_eq!(torn, [&[1; 256][..], &[2; 256], &[1; 512], &[2; 256], &[1; 768]].concat());

    let seen = drawn(&disk, |disk| disk.bytes("f").unwrap());
    let mut within = BTreeSet::new();
    for bytes in &seen {
        assert!(bytes[..256].iter().chain(&bytes[1280..]).all(|byte| *byte == 1), "bytes that nobody wrote");
        for sector in bytes.chunks(512) {
            assert!(sector.iter().all(|byte| [1, 2].contains(byte)), "garbage");
            within.insert(sector.iter().filter(|byte| **byte == 2).count());
        }
    }
    assert!(seen.contains(&old[..]) && seen.contains(&disk.bytes("f").unwrap()[..]));
    assert!(within.len() > 20, "torn within a sector at {within:?} only");
}

#[test]
fn size_and_bytes_of_an_appending_write_part_company() {
    let (disk, file) = disk_with(b"head");
    file.write_at(&[9; 1000], 4).unwrap();
    let seen = drawn(&disk, |disk| {
        let bytes = disk.bytes("f").unwrap();
        assert_eq!(bytes[..4], *b"head");
        assert!(bytes[4..].iter().all(|byte| [0, 9].contains(byte)));
        (bytes.len() - 4, bytes.iter().filter(|byte| **byte == 9).count())
    });
    assert!(seen.contains(&(0, 0)) && seen.contains(&(1000, 1000)) && seen.contains(&(1000, 0)), "{seen:?}");
    assert!(seen.iter().any(|(size, _)| (1..1000).contains(size)), "{seen:?}");
}

#[test]
fn what_was_flushed_is_never_lost() {
    let (disk, file) = disk_with(b"durable");
    file.allocate(65536).unwrap();
    file.flush().unwrap();
    file.write_at(b"more", 600).unwrap();
    disk.create("g").unwrap();
    for seed in 0..2000 {
        let bytes = left(&disk, Loss::Random(seed));
        assert!(bytes.starts_with(b"durable\0") && bytes.len() == 65536, "{seed}");
    }
}

#[test]
fn the_same_seed_loses_the_same() {
    let run = || {
        let disk = SimulatedDisk::new();
        for n in 0..20_u8 {
            let name = format!("f{}", n % 4);
            let file = disk.open(&name).or_else(|_| disk.create(&name)).unwrap();
            file.write_at(&[n; 3000], u64::from(n) * 700).unwrap();
            if n % 7 == 0 {
                file.flush().unwrap();
                disk.rename(&name, &format!("{name}.old")).unwrap();
            }
        }
        disk
    };
    let (one, other) = (run(), run());
    assert_eq!(one.list().unwrap(), other.list().unwrap());
    let mut prints = BTreeSet::new();
    for seed in 0..500 {
        let print = one.after_power_cut(&Loss::Random(seed)).fingerprint();
        assert_eq!(print, other.after_power_cut(&Loss::Random(seed)).fingerprint(), "{seed}");
        prints.insert(print);
    }
    assert!(prints.len() > 400, "only {} of 500 seeds differ", prints.len());
}

/// A seed in a bug report has to mean the same tomorrow, and on another machine.
#[test]
fn a_seed_means_the_same_tomorrow() {
    let (disk, file) = disk_with(&[1; 1024]);
    for n in 0..10 {
        file.write_at(&[n; 1024], 256 * u64::from(n)).unwrap();
    }
    let prints = (0..100).map(|seed| disk.after_power_cut(&Loss::Random(seed)).fingerprint());
    assert_eq!(prints.fold(0, |sum: u64, print| sum.rotate_left(1) ^ print), 473_645_829_259_189_015);
}

#[test]
fn a_cut_leaves_the_old_disk_alone_and_a_kill_keeps_the_cache() {
    let (disk, file) = disk_with(b"a");
    let lock = disk.lock("LOCK").unwrap();
    assert!(lock.is_ours());
    assert_eq!(disk.lock("LOCK").err().unwrap().kind(), ErrorKind::WouldBlock);
    file.write_at(b"b", 0).unwrap();

    let cut = disk.after_power_cut(&Loss::Everything);
    let killed = disk.kill();
    file.write_at(b"c", 0).unwrap();
    assert_eq!([&disk, &cut, &killed].map(|disk| disk.bytes("f").unwrap()), [b"c", b"a", b"b"]);
    assert_eq!((killed.unsynced(), cut.unsynced(), cut.calls()), (2, 0, 0));
    assert_eq!(left(&killed, Loss::Everything), b"a", "a kill flushes nothing");
    assert!(cut.lock("LOCK").is_ok() && killed.lock("LOCK").is_ok());

    drop(lock);
    let again = disk.lock("LOCK").unwrap();
    assert_eq!(disk.clone().lock("LOCK").err().unwrap().kind(), ErrorKind::WouldBlock);
    drop(again);
}

#[test]
fn names_are_simple_and_unique() {
    let disk = SimulatedDisk::new();
    for name in ["", ".", "..", "a/b", "/", "a\\b", "c:d", "a\0b"] {
        let kind = ErrorKind::InvalidInput;
        assert_eq!(disk.create(name).err().unwrap().kind(), kind, "{name:?}");
        assert_eq!(disk.open(name).err().unwrap().kind(), kind, "{name:?}");
        assert_eq!(disk.lock(name).err().unwrap().kind(), kind, "{name:?}");
        assert_eq!(disk.remove(name).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(disk.put(name, b"").unwrap_err().kind(), kind, "{name:?}");
    }
    disk.create("a").unwrap();
    assert_eq!(disk.create("a").err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.rename("b", "a").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.rename("a", "a/b").unwrap_err().kind(), ErrorKind::InvalidInput);
    disk.rename("a", "a").unwrap();
    assert_eq!(disk.names(), ["a"]);
}

#[test]
fn the_list_has_no_order_to_rely_on() {
    let disk = SimulatedDisk::new();
    for name in ["a", "b", "c", "d", "e"] {
        disk.create(name).unwrap();
    }
    let lists: BTreeSet<_> = (0..20).map(|_| disk.list().unwrap()).collect();
    assert!(lists.len() > 5);
    for mut list in lists {
        list.sort();
        assert_eq!(list, disk.names());
    }
}

#[test]
fn each_call_is_counted_and_can_fail() {
    let story = |disk: &SimulatedDisk| -> std::io::Result<()> {
        let _lock = disk.lock("LOCK")?;
        let file = disk.create("a")?;
        file.allocate(4096)?;
        file.write_at(b"x", 0)?;
        file.read_at(&mut [0], 0)?;
        file.truncate(1)?;
        file.size()?;
        file.flush()?;
        disk.rename("a", "b")?;
        disk.open("b")?;
        disk.list()?;
        disk.remove("b")?;
        disk.flush_names()
    };
    let disk = SimulatedDisk::new();
    story(&disk).unwrap();
    assert_eq!(disk.calls(), 13);
    for call in 0..13 {
        let disk = SimulatedDisk::new();
        disk.fail(Fault::errno(call, EIO));
        assert_eq!(story(&disk).unwrap_err().raw_os_error(), Some(EIO), "{call}");
        assert_eq!(disk.calls(), call + 1);
        disk.flush_names().unwrap();
    }
    let disk = SimulatedDisk::new();
    disk.fail(Fault::new(13, ErrorKind::Other));
    story(&disk).unwrap();
    assert!(disk.list().is_err());
}

#[test]
fn a_fault_meets_the_calls_it_is_meant_for() {
    let (disk, file) = disk_with(b"abcdef");
    disk.fail(Fault::new(1, ErrorKind::Interrupted).on(&[Call::ReadAt]));
    disk.fail(Fault::errno(0, EIO).on(Call::FLUSHES).for_good());
    assert!(file.read_at(&mut [0], 0).is_ok() && file.write_at(b"A", 0).is_ok());
    assert_eq!(file.read_at(&mut [0], 0).unwrap_err().kind(), ErrorKind::Interrupted);
    assert!(file.read_at(&mut [0], 0).is_ok(), "once");
    assert!(file.flush().is_err() && disk.flush_names().is_err() && file.flush().is_err(), "for good");
    disk.heal();
    assert!(file.flush().is_ok());

    disk.fail(Fault::short(0, 2).for_good());
    assert_eq!(file.write_at(b"xyz", 0).unwrap(), 2);
    let mut buffer = [0; 4];
    assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 2);
    assert_eq!(&buffer, b"xy\0\0");
    disk.heal();
    assert_eq!(disk.bytes("f").unwrap(), b"xycdef");
}

#[test]
fn a_call_may_be_done_and_fail_all_the_same() {
    let (disk, file) = disk_with(b"a");
    let done = || Fault::errno(0, EIO).but_done();
    disk.fail(done());
    assert!(file.write_at(b"b", 0).is_err());
    assert_eq!(disk.bytes("f").unwrap(), b"b");
    disk.fail(done());
    assert!(file.flush().is_err());
    assert_eq!(left(&disk, Loss::Everything), b"b");
    disk.fail(done());
    assert!(disk.rename("f", "g").is_err());
    assert_eq!(disk.names(), ["g"]);
    disk.fail(done());
    assert!(disk.lock("LOCK").is_err());
    assert!(disk.lock("LOCK").is_ok());
}

#[test]
fn a_failed_flush_leaves_three_kinds_of_lies() {
    for pages in [AfterFailedFlush::CleanAndNew, AfterFailedFlush::Reverted, AfterFailedFlush::OneLate] {
        let (disk, file) = disk_with(b"old");
        file.write_at(b"new", 0).unwrap();
        disk.fail(Fault::errno(0, EIO).pages(pages));
        assert_eq!(file.flush().is_ok(), pages == AfterFailedFlush::OneLate);
        let reverted = pages == AfterFailedFlush::Reverted;
        assert_eq!(disk.bytes("f").unwrap(), if reverted { b"old" } else { b"new" });
        assert_eq!(left(&disk, Loss::Nothing), b"old", "{pages:?}");

        file.write_at(b"!", 3).unwrap();
        assert_eq!(file.flush().is_ok(), pages != AfterFailedFlush::OneLate);
        assert!(file.flush().is_ok(), "it proves nothing");
        let end = if pages == AfterFailedFlush::OneLate { &b"old"[..] } else { b"old!" };
        assert_eq!(left(&disk, Loss::Nothing), end, "{pages:?}");

        // The same with names.
        disk.rename("f", "g").unwrap();
        disk.fail(Fault::errno(0, EIO).pages(pages));
        assert_eq!(disk.flush_names().is_ok(), pages == AfterFailedFlush::OneLate);
        assert_eq!(disk.names(), [if reverted { "f" } else { "g" }]);
        assert_eq!(disk.flush_names().is_ok(), pages != AfterFailedFlush::OneLate);
        assert_eq!(disk.after_power_cut(&Loss::Nothing).names(), ["f"]);
    }
}

#[test]
fn a_full_disk_says_so_and_room_that_was_taken_is_there() {
    let disk = SimulatedDisk::with_room(4 * 4096);
    let journal = disk.create("journal").unwrap();
    journal.allocate(2 * 4096).unwrap();
    let other = disk.create("other").unwrap();
    assert_eq!(other.allocate(3 * 4096).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(other.size().unwrap(), 0, "all or nothing");
    assert_eq!(other.write_at(&[1; 10_000], 0).unwrap(), 8192);
    assert_eq!(other.write_at(&[1], 8192).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(other.write_at(&[2], 8191).unwrap(), 1, "in place");
    assert_eq!(journal.write_at(&[3; 8192], 0).unwrap(), 8192, "it has its room");
    assert_eq!(journal.write_at(&[3], 8192).unwrap_err().kind(), ErrorKind::StorageFull);

    // Room comes back by cutting off, by removing what is not open, and by more of it.
    other.truncate(4096).unwrap();
    assert_eq!(journal.write_at(&[3], 8192).unwrap(), 1);
    disk.remove("other").unwrap();
    assert_eq!(journal.allocate(4 * 4096).unwrap_err().kind(), ErrorKind::StorageFull, "still open");
    drop(other);
    journal.allocate(4 * 4096).unwrap();
    disk.set_room(5 * 4096);
    assert_eq!(journal.write_at(&[3], 4 * 4096).unwrap(), 1);
    journal.truncate(4097).unwrap();
    disk.create("third").unwrap().allocate(3 * 4096).unwrap();
    assert_eq!(journal.write_at(&[3], 8192).unwrap_err().kind(), ErrorKind::StorageFull, "what was cut off is taken");
}

#[test]
fn no_file_is_larger_than_files_can_be() {
    let (_disk, file) = disk_with(b"");
    let kind = ErrorKind::FileTooLarge;
    assert_eq!(file.write_at(b"x", u64::MAX).unwrap_err().kind(), kind);
    assert_eq!(file.write_at(b"x", i64::MAX as u64).unwrap_err().kind(), kind);
    assert_eq!(file.truncate(u64::MAX).unwrap_err().kind(), kind);
    assert_eq!(file.allocate(u64::MAX).unwrap_err().kind(), kind);
    file.allocate(i64::MAX as u64).unwrap();
    assert_eq!(file.read_at(&mut [1; 8], i64::MAX as u64 - 4).unwrap(), 4);
}

#[test]
fn a_read_only_disk_can_be_read() {
    let (disk, file) = disk_with(b"a");
    assert_eq!(disk.kind().unwrap(), FileSystem::Local);
    disk.set_kind(FileSystem::ReadOnly);
    assert_eq!(disk.kind().unwrap(), FileSystem::ReadOnly);
    let print = disk.fingerprint();
    let kind = ErrorKind::ReadOnlyFilesystem;
    assert_eq!(file.write_at(b"b", 0).unwrap_err().kind(), kind);
    assert_eq!(disk.create("g").err().unwrap().kind(), kind);
    assert_eq!(disk.open("f").err().unwrap().kind(), kind);
    assert_eq!(disk.lock("LOCK").err().unwrap().kind(), kind);
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1);
    assert_eq!(disk.fingerprint(), print);
}

#[test]
fn damage_is_done_at_once_and_for_good() {
    let (disk, file) = disk_with(b"abc");
    let print = disk.fingerprint();
    disk.flip("f", 8).unwrap();
    assert_ne!(disk.fingerprint(), print);
    assert_eq!(left(&disk, Loss::Everything), b"acc");
    disk.flip("f", 8).unwrap();
    assert_eq!(disk.fingerprint(), print);
    disk.overwrite("f", 1, b"yz").unwrap();
    assert!(disk.overwrite("f", 2, b"yz").is_err() && disk.overwrite("f", u64::MAX, b"y").is_err());
    disk.cut("f", 2).unwrap();
    assert_eq!(left(&disk, Loss::Everything), b"ay");
    assert_eq!((disk.calls(), disk.unsynced()), (1, 0), "but for the opening, none of it is a call");

    // Zeros that were written read as zeros that were not, and count as the same bytes.
    file.truncate(5000).unwrap();
    file.flush().unwrap();
    let print = disk.fingerprint();
    file.write_at(&[0; 100], 4096).unwrap();
    file.flush().unwrap();
    assert_eq!(disk.fingerprint(), print);
}

#[test]
fn each_moment_of_a_run_is_kept() {
    let disk = SimulatedDisk::new();
    disk.record_moments();
    let file = disk.create("f").unwrap();
    file.write_at(b"a", 0).unwrap();
    file.write_at(b"b", 1).unwrap();
    disk.fail(Fault::errno(0, EIO));
    assert!(file.flush().is_err());
    let moments = disk.take_moments();
    let bytes: Vec<_> = moments.iter().map(|moment| moment.bytes("f").ok()).collect();
    assert_eq!(bytes, [None, Some(b"".to_vec()), Some(b"a".to_vec()), Some(b"ab".to_vec()), Some(b"ab".to_vec())]);
    assert_eq!((moments[3].unsynced(), moments[4].unsynced()), (3, 1), "the failed flush takes the writes for clean");
    assert!(disk.take_moments().is_empty());
}

/// Crash tests cut a disk hundreds of thousands of times.
#[test]
fn a_cut_costs_microseconds() {
    let disk = SimulatedDisk::new();
    for n in 0..4 {
        let file = disk.create(&format!("segment-{n}")).unwrap();
        file.allocate(1 << 20).unwrap();
        file.write_at(&vec![1; 300_000], 0).unwrap();
        file.flush().unwrap();
    }
    disk.flush_names().unwrap();
    let file = disk.open("segment-3").unwrap();
    for n in 0..20 {
        file.write_at(&[n; 100], 300_000 + u64::from(n) * 100).unwrap();
    }
    let began = std::time::Instant::now();
    for seed in 0..20_000 {
        let cut = disk.after_power_cut(&Loss::Random(seed));
        assert_eq!(cut.names().len(), 4);
    }
    let each = began.elapsed() / 20_000;
    println!("{each:?} for a cut");
    assert!(each < std::time::Duration::from_millis(1), "{each:?} for a cut");
}
