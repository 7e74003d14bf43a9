//! The house plan, enforced: which room of `src` may import which, and what may be named where.
//!
//! Each rule is a function from the files to its violations, and is run twice: over `src`, where it must find nothing, and
//! over a planted fault, which it must find. Comments and literals are blanked before anything is searched, so a rule
//! reads only code; paths are resolved through braces, `super` and the crate root's re-exports.
//!
//! A new file needs a line in [`LAYERS`]. An import that points upward needs another design or, with its reason, a line in
//! [`UPWARD`]; one that is no longer used has to go from there.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it reads the sources")]

#[path = "house_rules/reader.rs"]
mod reader;
#[path = "house_rules/rules.rs"]
mod rules;

use reader::*;
use rules::*;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// From the bottom to the top: a room imports from its own layer and from those before it.
const LAYERS: &[(&str, &[&str])] = &[
    ("words", &["chance", "error", "history", "message", "panics", "reason"]),
    ("parts", &["latch", "metrics", "model_runner", "planted", "ring", "sync", "timeline", "wait", "wheel"]),
    ("rules", &["journal", "lifecycle", "protect", "retry", "storage"]),
    ("joints", &["clock", "commit", "driver", "envelope", "events", "ledger", "letters", "receipt", "slot"]),
    (
        "rooms",
        &[
            "batch",
            "builder",
            "consumer",
            "dead_letters",
            "delivery",
            "futures",
            "hub",
            "producer",
            "queue",
            "stats",
            "unsent",
            "worker",
        ],
    ),
    // The last is a test of the whole, which has to count locks from inside.
    ("street", &["internals", "lib", "lock_free"]),
];

/// The imports that point upward all the same: who, whom, why.
const UPWARD: &[(&str, &str, &str)] = &[
    ("error", "delivery", "a failed settle gives the delivery back, inside its error"),
    ("error", "retry", "a queue that does not open says which setting of its policy is at fault"),
    ("error", "protect", "and which one of its protection"),
    ("envelope", "hub", "names the type whose seat the message may still be in; calls nothing of it"),
    ("hub", "lib", "its models speak the public names, as a user's threads do"),
];

/// Who may name the real clocks, start a thread, draw a random number or touch a file: what, where.
const OUTSIDE: &[(&[&str], &[&str])] = &[
    (
        &["Instant::now", "SystemTime::now"],
        &["clock.rs", "commit/receipt.rs", "latch.rs", "model_runner.rs", "hub/models.rs"],
    ),
    (&["thread::spawn", "thread::Builder", "thread::scope"], &["commit/serve.rs", "driver.rs", "worker/crew.rs"]),
    (&["thread::sleep"], &[]),
    (&["RandomState"], &["chance.rs"]),
    (
        &["std::fs", "File::open", "File::create", "OpenOptions"],
        &["storage/file/mod.rs", "storage/file/unix.rs", "storage/file/elsewhere.rs"],
    ),
    (&["rustix"], &["storage/file/unix.rs"]),
];

/// Where shared memory is named besides `sync/`.
const SHARED_MEMORY: &[(&str, &str)] =
    &[("model_runner.rs", "it counts schedules from outside of them, so loom must not see its counter")];

/// What a room of rules may name all the same: file or folder, word, why.
const IMPURE: &[(&str, &str, &str)] = &[
    ("storage/file/", "fs", "it is the disk"),
    ("storage/simulated/", "Mutex", "the disk is shared by its handles, as a real one is"),
    ("storage/simulated/", "sync", "and its lock comes from there"),
];

const LINES_MAX: usize = 600;

// ---- over the sources ----

fn crate_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(base: &Path, folder: &Path, wanted: &dyn Fn(&Path) -> bool, into: &mut Vec<File>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() && path.file_name().is_none_or(|name| name != "target" && name != ".git") {
            read(base, &path, wanted, into);
        } else if path.is_file() && wanted(&path) {
            let name = path.strip_prefix(base).unwrap().to_string_lossy().replace('\\', "/");
            into.push(File::new(&name, &fs::read_to_string(&path).unwrap()));
        }
    }
}

fn sources() -> Vec<File> {
    let base = crate_root().join("src");
    let mut files = Vec::new();
    read(&base, &base, &|path| path.extension().is_some_and(|end| end == "rs"), &mut files);
    assert!(files.len() > 40, "only {} files read: is this the crate?", files.len());
    files
}

fn assert_holds(rule: Rule) {
    let found = rule(&sources());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// The rule must find each of these, alone in a crate.
fn assert_finds(rule: Rule, faults: &[(&str, &str)]) {
    for (name, text) in faults {
        let found = rule(&[File::new(name, text)]);
        assert!(!found.is_empty(), "not found in src/{name}:\n{text}");
    }
}

/// The rule must find nothing in any of these.
fn assert_passes(rule: Rule, sane: &[(&str, &str)]) {
    for (name, text) in sane {
        assert_eq!(rule(&[File::new(name, text)]), [""; 0], "in src/{name}:\n{text}");
    }
}

macro_rules! rule {
    ($name:ident, $rule:expr, finds: $faults:expr, passes: $sane:expr) => {
        #[test]
        fn $name() {
            assert_finds($rule, $faults);
            assert_passes($rule, $sane);
            assert_holds($rule);
        }
    };
}

rule!(imports, imports_go_down,
finds: &[
    ("ring/take.rs", "use crate::ledger::Ledger;"),
    ("wheel/mod.rs", "use crate::{message::MessageId, hub::Hub};"),
    ("retry/fixed.rs", "fn f() -> crate::queue::Queue<u8> { todo() }"),
    ("retry/fixed.rs", "use super::super::hub::Hub;"),
    ("message.rs", "use super::hub::Hub;"),
    ("message.rs", "mod tests { use super::super::hub::Hub; }"),
    ("clock.rs", "macro_rules! m { () => { $crate::queue::Queue } }"),
    ("novelty.rs", "//! A room without a layer."),
    ("queue.rs", "use crate::novelty::New;"),
    ("envelope.rs", "// uses none of its exceptions"),
],
passes: &[
    ("queue.rs", "use crate::{hub::Hub, message::{Headers, MessageId}};"),
    ("wheel/tests.rs", "use super::*; /* crate::hub */ const S: &str = \"crate::queue\";"),
    ("message.rs", "mod tests { use super::*; use super::hub::Hub; } // a module of its own"),
    ("retry/tests/laws.rs", "use super::super::*;"),
]);
rule!(pure_rules, rules_are_pure,
    finds: &[
        ("retry/fixed.rs", "use std::time::{Duration, Instant};"),
        ("retry/limits.rs", "use crate::sync::Mutex;"),
        ("storage/simulated/mod.rs", "fn f() { std::thread::yield_now() }"),
        ("lifecycle/mod.rs", "fn f() { std::thread::yield_now() }"),
    ],
    passes: &[("retry/policy.rs", "use std::sync::Arc; use std::time::Duration;"), ("hub/mod.rs", "use std::time::Instant;")]);
rule!(length, files_are_short,
    finds: &[("ring/mod.rs", &"\n".repeat(LINES_MAX + 1))],
    passes: &[("ring/mod.rs", &"\n".repeat(LINES_MAX))]);
rule!(opening, files_say_what_they_promise,
    finds: &[("ring/mod.rs", "use std::fmt;\n//! Late."), ("ring/mod.rs", "// A comment."), ("ring/mod.rs", "")],
    passes: &[("ring/mod.rs", "//! The seats.")]);
rule!(where_unsafe_lives, unsafe_lives_in_the_ring,
    finds: &[("hub/mod.rs", "fn f() { unsafe { g() } }"), ("sync/mod.rs", "unsafe impl Sync for X {}")],
    passes: &[("hub/mod.rs", "// unsafe\nfn is_unsafe() -> &'static str { \"unsafe\" }"), ("ring/mod.rs", "unsafe fn f() {}")]);
rule!(safety, unsafe_says_why,
finds: &[
    ("ring/mod.rs", "fn f() {\n    unsafe { g() }\n}"),
    ("ring/mod.rs", "// SAFETY: of something else.\nfn f() {}\n\n\n\nfn h() {\n    unsafe { g() }\n}"),
    ("ring/mod.rs", "unsafe impl Send for X {}"),
],
passes: &[
    ("ring/mod.rs", "fn f() {\n    // SAFETY: g is safe here,\n    // and says so.\n    let x =\n        unsafe { g() };\n}"),
    ("ring/mod.rs", "/// # Safety\nunsafe fn f() {}"),
]);
rule!(shared_memory, shared_memory_is_named_in_sync,
    finds: &[
        ("hub/mod.rs", "use std::sync::{Arc, Mutex};"),
        ("hub/mod.rs", "use std::sync::atomic::AtomicU64;"),
        ("ring/mod.rs", "static X: std::sync::OnceLock<u8> = std::sync::OnceLock::new();"),
        ("events.rs", "use parking_lot::Mutex;"),
        ("ring/mod.rs", "use std::cell::UnsafeCell;"),
        ("hub/room.rs", "fn f() { std::thread::park() }"),
    ],
    passes: &[("hub/mod.rs", "use std::sync::{Arc, Weak};\nuse crate::sync::Mutex;"), ("sync/real.rs", "use std::sync::atomic::AtomicU8;")]);
rule!(outside, the_outside_has_one_door_each,
    finds: &[
        ("hub/mod.rs", "fn f() { let now = Instant::now(); }"),
        ("clock.rs", "fn f() { std::thread::sleep(SECOND) }"),
        ("queue.rs", "fn f() { thread::spawn(g); }"),
        ("ledger.rs", "use std::fs::File;"),
        ("builder.rs", "use std::hash::RandomState;"),
    ],
    passes: &[("clock.rs", "fn f() { Instant::now(); }"), ("hub/mod.rs", "/// `Instant::now`\nfn f() {}"), ("wait.rs", "use loom::thread::spawn;")]);
rule!(undone, nothing_is_left_undone,
    finds: &[("hub/mod.rs", "fn f() { todo!() }"), ("hub/mod.rs", "fn f() { dbg!(1); }"), ("queue.rs", "fn f() { println!() }")],
    passes: &[("hub/mod.rs", "// todo!()\nfn todo() {}"), ("wheel/tests.rs", "fn f() { println!() }")]);

#[test]
fn planted_bugs() {
    let files = |text: &str| [File::new("hub/room.rs", text)];
    let script = |rows: &str| format!("table() {{\n    cat <<'TABLE'\n{rows}\nTABLE\n}}\n");
    let one = files("fn f() { if planted!(\"a\") { g() } }\n// planted!(\"b\")");
    assert_eq!(planted_and_looked_for(&one, &script("    a | unit f")), [""; 0]);
    for rows in ["", "    b | unit f", "    a | unit f\n    a | unit g", "    a | unit f\n    b | unit g"] {
        assert!(!planted_and_looked_for(&one, &script(rows)).is_empty(), "{rows}");
    }

    let sources = sources();
    assert!(planted_in(&sources).len() >= 24);
    let found = planted_and_looked_for(&sources, &fs::read_to_string(crate_root().join("scripts/planted.sh")).unwrap());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn paths_of_one_machine() {
    let planted = |root: &str| format!("//! See `/{root}/me/notes`.");
    assert_finds(no_path_of_one_machine, &[("lib.rs", &planted("home")), ("lib.rs", &planted("work"))]);
    assert_passes(no_path_of_one_machine, &[("lib.rs", "// https://example.org/home/ and src/work/x")]);

    let is_text = |path: &Path| {
        let ends = path.extension().and_then(|end| end.to_str());
        matches!(ends, Some("rs" | "md" | "toml" | "sh" | "py"))
            || path.ends_with("justfile")
            || path.ends_with(".ci/run")
    };
    let mut files = Vec::new();
    for folder in ["src", "tests", "benches", "examples", "fuzz/src", "fuzz/targets", "scripts", "docs", ".ci"] {
        let folder = crate_root().join(folder);
        if folder.is_dir() {
            read(crate_root(), &folder, &is_text, &mut files);
        }
    }
    for entry in fs::read_dir(crate_root()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() && is_text(&path) {
            files.push(File::new(&path.file_name().unwrap().to_string_lossy(), &fs::read_to_string(&path).unwrap()));
        }
    }
    assert!(files.len() > 60, "only {} files read", files.len());
    let found = no_path_of_one_machine(&files);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// An example that the README does not list is found by nobody. CI runs whatever lies in the folder.
#[test]
fn every_example_is_listed_and_says_how_it_is_run() {
    let readme = fs::read_to_string(crate_root().join("README.md")).unwrap();
    let mut examples = 0;
    for entry in fs::read_dir(crate_root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let main = if path.is_dir() { path.join("main.rs") } else { path.clone() };
        let command = format!("`cargo run --release --example {}`", path.file_stem().unwrap().to_string_lossy());
        assert!(readme.contains(&format!("| {command} |")), "README.md does not list {command}");
        let text = fs::read_to_string(&main).unwrap();
        assert!(text.starts_with("//! ") && text.contains(&command), "{} does not say {command}", main.display());
        examples += 1;
    }
    assert!(examples > 1, "only {examples} examples: is this the crate?");
}

/// The table names what there is, once.
#[test]
fn the_table_is_true() {
    let rooms: Vec<_> = LAYERS.iter().flat_map(|(_, rooms)| *rooms).collect();
    let there: BTreeSet<_> = sources().iter().map(|file| file.room().to_owned()).collect();
    for room in &rooms {
        assert!(there.contains(**room), "`{room}` has a layer and no file");
    }
    assert_eq!(rooms.iter().collect::<BTreeSet<_>>().len(), rooms.len(), "a room stands in two layers");
    for (_, doors) in OUTSIDE {
        for door in *doors {
            assert!(sources().iter().any(|file| file.name == *door), "no src/{door}");
        }
    }
}

/// The reader reads what it should, before any rule relies on it.
#[test]
fn the_reader() {
    let text = "a /* b /* c */ d */ 'e' '\\'' \"f\\\"g\" r#\"h\"i\"# b'j' 'k: loop {} // l\n// m\n'\u{1F}' 'ü' n";
    let code = blank(text);
    assert_eq!(code.len(), text.len());
    assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a", "b", "'k:", "loop", "{}", "n"], "{code}");
    assert_eq!(leaves("::{a::{b, c}, d, self::e}"), ["a", "d", "self"]);
    assert_eq!(leaves(" :: a::b"), ["a"]);

    let lib = File::new("lib.rs", "pub use queue::Queue;\npub use retry::{Fixed, Never};");
    let planted = File::new("wheel/mod.rs", "use crate::{Fixed, message::MessageId};");
    let found = imports_go_down(&[lib, planted]);
    assert_eq!(found, ["src/wheel/mod.rs:1: `wheel` (parts) imports `lib` (street): upward"]);
}
