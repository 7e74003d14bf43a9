//! `FileStorage` reaches the files of its directory and nothing else, says what is wrong in typed errors, and gives a directory
//! to one at a time.
#![cfg(all(feature = "store", not(any(loom, shuttle))))]
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it looks at the files themselves")]

mod support;

use redeliver::storage::{FileStorage, FileSystem, Storage};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use support::folder::Folder;

fn disk() -> (Folder, FileStorage) {
    let folder = Folder::new();
    let disk = FileStorage::create(folder.join("queue")).unwrap();
    (folder, disk)
}

#[test]
fn a_directory_is_created_with_all_above_it() {
    let folder = Folder::new();
    let path = folder.join("a/b/c/.");
    let disk = FileStorage::create(&path).unwrap();
    assert_eq!(disk.path(), folder.join("a/b/c"));
    assert!(format!("{disk:?}").contains("a/b/c"));
    disk.create("journal").unwrap();
    assert_eq!(FileStorage::create(&path).unwrap().list().unwrap(), ["journal"], "the one that is there");
    assert_eq!(FileStorage::open(&path).unwrap().list().unwrap(), ["journal"]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |name: &str| fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(["a", "a/b", "a/b/c", "a/b/c/journal"].map(mode), [0o700, 0o700, 0o700, 0o600]);
    }
}

#[test]
fn what_is_in_the_way_is_said() {
    let folder = Folder::new();
    fs::write(folder.join("file"), "mine").unwrap();
    let error = |path: &str| FileStorage::open(folder.join(path)).unwrap_err().kind();
    assert_eq!(error("missing"), ErrorKind::NotFound);
    assert_eq!(error("file"), ErrorKind::NotADirectory);
    for path in ["file", "file/below", "file/below/that"] {
        assert_eq!(FileStorage::create(folder.join(path)).unwrap_err().kind(), ErrorKind::NotADirectory, "{path}");
    }
    assert_eq!(FileStorage::create("").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read(folder.join("file")).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn without_permission_nothing_is_opened() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.join("locked");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&path).is_ok() {
        println!("SKIPPED: this user may do anything");
        return;
    }
    for opened in [FileStorage::open(&path), FileStorage::create(&path), FileStorage::create(path.join("below"))] {
        assert_eq!(opened.unwrap_err().kind(), ErrorKind::PermissionDenied);
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    let disk = FileStorage::open(&path).unwrap();
    assert_eq!(disk.create("f").err().unwrap().kind(), ErrorKind::PermissionDenied);
    assert_eq!(disk.lock("f").err().unwrap().kind(), ErrorKind::PermissionDenied);
}

#[test]
fn a_name_leads_nowhere_else() {
    let (folder, disk) = disk();
    fs::write(folder.join("outside"), "mine").unwrap();
    for name in ["", ".", "..", "../outside", "/etc/hostname", "a/b", "..\\outside", "c:outside", "a\0b"] {
        let kind = ErrorKind::InvalidInput;
        assert_eq!(disk.open(name).err().unwrap().kind(), kind, "{name:?}");
        assert_eq!(disk.create(name).err().unwrap().kind(), kind, "{name:?}");
        assert_eq!(disk.lock(name).err().unwrap().kind(), kind, "{name:?}");
        assert_eq!(disk.remove(name).unwrap_err().kind(), kind, "{name:?}");
        assert_eq!(disk.rename(name, "b").unwrap_err().kind(), kind, "{name:?}");
    }
    disk.create("a").unwrap();
    assert_eq!(disk.rename("a", "../a").unwrap_err().kind(), ErrorKind::InvalidInput);
    assert!(disk.create(&"x".repeat(300)).is_err());
    assert_eq!(disk.list().unwrap(), ["a"]);
    assert_eq!(fs::read(folder.join("outside")).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn links_pipes_and_folders_are_no_files() {
    let (folder, disk) = disk();
    fs::write(folder.join("outside"), "mine").unwrap();
    std::os::unix::fs::symlink(folder.join("outside"), disk.path().join("link")).unwrap();
    std::os::unix::fs::symlink(folder.join("nowhere"), disk.path().join("dangling")).unwrap();
    fs::create_dir(disk.path().join("folder")).unwrap();
    let made = Command::new("mkfifo").arg(disk.path().join("pipe")).status();
    let mut names = vec!["link", "dangling", "folder"];
    names.extend(made.is_ok_and(|made| made.success()).then_some("pipe"));
    for name in &names {
        assert!(disk.open(name).is_err(), "{name} was opened");
        assert!(disk.lock(name).is_err(), "{name} was locked");
        assert_eq!(disk.create(name).err().unwrap().kind(), ErrorKind::AlreadyExists, "{name}");
    }
    assert!(!folder.join("nowhere").exists(), "a lock went through a link");
    disk.remove("link").unwrap();
    assert_eq!(fs::read(folder.join("outside")).unwrap(), b"mine", "what a link leads to stays");
    assert_eq!(disk.list().unwrap().len(), names.len() - 1, "everything is listed");
}

#[test]
fn bytes_lie_where_they_were_written() {
    let (_folder, disk) = disk();
    let file = disk.create("f").unwrap();
    assert_eq!(file.size().unwrap(), 0);
    assert_eq!(file.write_at(b"hello", 10).unwrap(), 5);
    let mut buffer = [7; 20];
    assert_eq!(file.read_at(&mut buffer, 8).unwrap(), 7);
    assert_eq!(&buffer[..8], b"\0\0hello\x07");
    assert_eq!(file.read_at(&mut buffer, 15).unwrap(), 0);
    file.flush().unwrap();
    file.truncate(12).unwrap();
    file.truncate(14).unwrap();
    assert_eq!(fs::read(disk.path().join("f")).unwrap(), b"\0\0\0\0\0\0\0\0\0\0he\0\0");

    let again = disk.open("f").unwrap();
    again.write_at(b"H", 10).unwrap();
    assert_eq!(file.read_at(&mut buffer[..1], 10).unwrap(), 1);
    assert_eq!(buffer[0], b'H', "two handles, one file");
}

#[test]
fn room_is_taken_in_advance() {
    let (_folder, disk) = disk();
    let file = disk.create("f").unwrap();
    file.write_at(b"head", 0).unwrap();
    file.allocate(1 << 20).unwrap();
    assert_eq!(file.size().unwrap(), 1 << 20);
    let bytes = fs::read(disk.path().join("f")).unwrap();
    assert!(bytes.starts_with(b"head") && bytes[4..].iter().all(|byte| *byte == 0));
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::MetadataExt;
        let blocks = fs::metadata(disk.path().join("f")).unwrap().blocks();
        assert!(blocks * 512 >= 1 << 20, "only {blocks} blocks were taken");
    }
    for less in [0, 1, 4096] {
        file.allocate(less).unwrap();
        assert_eq!(file.size().unwrap(), 1 << 20, "never shorter");
    }
    assert!(file.allocate(u64::MAX).is_err());
    assert_eq!(file.size().unwrap(), 1 << 20, "all or nothing");
}

#[test]
fn names_change_and_open_files_stay() {
    let (_folder, disk) = disk();
    let file = disk.create("a").unwrap();
    file.write_at(b"a", 0).unwrap();
    assert_eq!(disk.create("a").err().unwrap().kind(), ErrorKind::AlreadyExists);
    assert_eq!(disk.open("b").err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(disk.rename("b", "a").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(disk.remove("b").unwrap_err().kind(), ErrorKind::NotFound);

    disk.create("b").unwrap();
    disk.rename("a", "b").unwrap();
    assert_eq!(disk.list().unwrap(), ["b"]);
    assert_eq!(fs::read(disk.path().join("b")).unwrap(), b"a");
    disk.remove("b").unwrap();
    disk.flush_names().unwrap();
    assert!(disk.list().unwrap().is_empty());
    assert_eq!(file.read_at(&mut [0], 0).unwrap(), 1);
}

#[cfg(unix)]
#[test]
fn a_directory_that_is_moved_is_still_the_same() {
    let (folder, disk) = disk();
    disk.create("a").unwrap();
    fs::rename(folder.join("queue"), folder.join("moved")).unwrap();
    FileStorage::create(folder.join("queue")).unwrap().create("another").unwrap();
    disk.create("b").unwrap();
    disk.rename("a", "c").unwrap();
    disk.flush_names().unwrap();
    let mut names = disk.list().unwrap();
    names.sort();
    assert_eq!(names, ["b", "c"]);
    assert!(folder.join("moved/b").exists() && !folder.join("queue/b").exists());
}

#[test]
fn it_says_what_kind_of_disk_it_is() {
    let (_folder, disk) = disk();
    let kind = disk.kind().unwrap();
    // Where temporary files lie over a network, that is what it has to say.
    assert!(matches!(kind, FileSystem::Local | FileSystem::Network), "{kind:?}");
}

// ---- the lock ----

#[test]
fn a_lock_is_held_by_one_at_a_time() {
    let (_folder, disk) = disk();
    let lock = disk.lock("LOCK").unwrap();
    assert!(lock.is_ours());
    assert_eq!(disk.list().unwrap(), ["LOCK"]);
    let other = FileStorage::open(disk.path()).unwrap();
    for disk in [&disk, &other] {
        assert_eq!(disk.lock("LOCK").err().unwrap().kind(), ErrorKind::WouldBlock);
    }
    assert!(disk.lock("ANOTHER").is_ok());
    drop(lock);
    let again = other.lock("LOCK").unwrap();
    assert_eq!(disk.lock("LOCK").err().unwrap().kind(), ErrorKind::WouldBlock);
    drop(again);
}

/// A process that is being started holds a copy of every descriptor for a moment, and must not prolong a lock by it.
#[test]
fn a_lock_that_was_dropped_is_free_at_once() {
    let (_folder, disk) = disk();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        let locked = (0..20_000).all(|_| disk.lock("LOCK").is_ok());
        is_over.store(true, Ordering::Relaxed);
        assert!(locked);
    });
}

/// What a child of this test program does if it is told where: takes the lock, says so, and waits to be killed.
#[test]
fn child_that_holds_the_lock() {
    let Some(path) = std::env::var_os("REDELIVER_LOCK_IN") else { return };
    let lock = FileStorage::open(path).unwrap().lock("LOCK");
    println!("\nlock: {:?}", lock.as_ref().map(|lock| lock.is_ours()).map_err(|error| error.kind()));
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

fn child(disk: &FileStorage) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_holds_the_lock", "--nocapture"])
        .env("REDELIVER_LOCK_IN", disk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said = lines.into_iter().find(|line| line.starts_with("lock: ")).unwrap();
    (child, said)
}

#[test]
fn a_lock_ends_with_its_process() {
    let (_folder, disk) = disk();
    let (mut one, said) = child(&disk);
    assert_eq!(said, "lock: Ok(true)");
    assert_eq!(disk.lock("LOCK").err().unwrap().kind(), ErrorKind::WouldBlock);
    let (mut other, said) = child(&disk);
    assert_eq!(said, "lock: Err(WouldBlock)");
    one.kill().unwrap();
    one.wait().unwrap();
    assert!(disk.lock("LOCK").is_ok(), "who is killed holds nothing");
    other.kill().unwrap();
    other.wait().unwrap();
}
