//! The house plan, enforced: which room of `src` may import which, and what may be named where.
//!
//! Each rule is a function from the files to its violations, and is run twice: over `src`, where it must find nothing, and
//! over a planted fault, which it must find. Comments and literals are blanked before anything is searched, so a rule
//! reads only code; paths are resolved through braces, `super` and the crate root's re-exports.
//!
//! A new file needs a line in [`LAYERS`]. An import that points upward needs another design or, with its reason, a line in
//! [`UPWARD`]; one that is no longer used has to go from there.
#![allow(clippy::disallowed_methods, reason = "a test is the outside: it reads the sources")]

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

struct File {
    /// Below `src`, with `/`.
    name: String,
    text: String,
    /// `text` with comments and literals blanked, byte for byte.
    code: String,
}

impl File {
    fn new(name: &str, text: &str) -> File {
        File { name: name.into(), text: text.into(), code: blank(text) }
    }

    /// The room that the file belongs to: its folder, or itself.
    fn room(&self) -> &str {
        let end = self.name.find(['/', '.']).unwrap_or(self.name.len());
        &self.name[..end]
    }

    fn at(&self, byte: usize) -> String {
        format!("src/{}:{}", self.name, self.text[..byte].matches('\n').count() + 1)
    }

    /// Where `word` stands in the code, not as part of a longer one.
    fn finds<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            !is_word(self.code[..at].chars().next_back()) && !is_word(self.code[at + word.len()..].chars().next())
        })
    }
}

// ---- the rules ----

type Rule = fn(&[File]) -> Vec<String>;

/// Every file has its layer, every import goes down or stays, and every listed exception is used.
fn imports_go_down(files: &[File]) -> Vec<String> {
    let layer_of = |room: &str| LAYERS.iter().position(|(_, rooms)| rooms.contains(&room));
    let exports = files.iter().find(|file| file.name == "lib.rs").map(exports).unwrap_or_default();
    let mut found = Vec::new();
    let mut used = BTreeSet::new();
    for file in files {
        let Some(from) = layer_of(file.room()) else {
            found.push(format!("src/{}: `{}` has no layer in tests/house_rules.rs", file.name, file.room()));
            continue;
        };
        for (at, path) in paths(file) {
            let Some(first) = path.first() else { continue };
            // A name of the crate root is a use of the street, whatever room it comes from.
            let room = if exports.contains_key(first) { "lib" } else { first.as_str() };
            if room == file.room() || file.name == "lib.rs" {
                continue;
            }
            match layer_of(room) {
                None => found.push(format!("{}: crate::{first} has no layer", file.at(at))),
                Some(to) if to <= from => {}
                Some(_) if UPWARD.iter().any(|(who, whom, _)| (*who, *whom) == (file.room(), room)) => {
                    used.insert((file.room().to_owned(), room.to_owned()));
                }
                Some(to) => found.push(format!(
                    "{}: `{}` ({}) imports `{room}` ({}): upward",
                    file.at(at),
                    file.room(),
                    LAYERS[from].0,
                    LAYERS[to].0
                )),
            }
        }
    }
    for (who, whom, _) in UPWARD {
        if files.iter().any(|file| file.room() == *who) && !used.contains(&((*who).to_owned(), (*whom).to_owned())) {
            found.push(format!("the exception {who} → {whom} is no longer used: take it out"));
        }
    }
    found
}

fn rules_are_pure(files: &[File]) -> Vec<String> {
    let rules = LAYERS.iter().find(|(layer, _)| *layer == "rules").map_or(&[][..], |(_, rooms)| rooms);
    let impure = ["Instant", "SystemTime", "thread", "Mutex", "sync", "fs", "rand", "static mut"];
    let in_rules = files.iter().filter(|file| rules.contains(&file.room()));
    let mut found = Vec::new();
    for file in in_rules {
        let may = |word| IMPURE.iter().any(|(name, what, _)| file.name.starts_with(name) && *what == word);
        for word in impure.into_iter().filter(|word| !may(*word)) {
            // `Arc` is a way to share a policy, and the one thing of `std::sync` that rules may name.
            let places = file.finds(word).filter(|&at| word != "sync" || !file.code[at..].starts_with("sync::Arc"));
            found.extend(places.map(|at| format!("{}: a rule names `{word}`", file.at(at))));
        }
    }
    found
}

fn files_are_short(files: &[File]) -> Vec<String> {
    let long = files.iter().filter(|file| file.text.lines().count() > LINES_MAX);
    long.map(|file| format!("src/{}: {} lines, at most {LINES_MAX}", file.name, file.text.lines().count())).collect()
}

fn files_say_what_they_promise(files: &[File]) -> Vec<String> {
    let silent = files.iter().filter(|file| !file.text.starts_with("//! "));
    silent.map(|file| format!("src/{}: does not open with `//! ` and what it promises", file.name)).collect()
}

fn unsafe_lives_in_the_ring(files: &[File]) -> Vec<String> {
    let outside = files.iter().filter(|file| file.room() != "ring");
    outside.flat_map(|file| file.finds("unsafe").map(|at| format!("{}: unsafe outside of ring", file.at(at)))).collect()
}

/// Above an `unsafe` block or impl stands a comment with SAFETY, on its line or right above its statement.
fn unsafe_says_why(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let lines: Vec<_> = file.text.lines().collect();
        for at in file.finds("unsafe") {
            let next = file.code[at + "unsafe".len()..].trim_start();
            if !next.starts_with('{') && !next.starts_with("impl") {
                continue;
            }
            let line = file.text[..at].matches('\n').count();
            // Up to the comment: through the statement's own lines, then through the comment's.
            let mut above = (line.saturating_sub(3)..line).rev().skip_while(|&n| !is_comment(lines[n]));
            let first = above.next();
            let comment = first.map(|n| (0..=n).rev().take_while(|&n| is_comment(lines[n])).map(|n| lines[n]));
            let mut said = comment.into_iter().flatten().chain([lines[line]]);
            if !said.any(|text| text.contains("SAFETY")) {
                found.push(format!("{}: unsafe without SAFETY", file.at(at)));
            }
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Atomics, locks and cells come from `crate::sync`, so that the models see them.
fn shared_memory_is_named_in_sync(files: &[File]) -> Vec<String> {
    // Shared ownership is no shared memory: what is behind it is what counts.
    let harmless = ["Arc", "Weak"];
    let mut found = Vec::new();
    for file in files {
        if file.room() == "sync" || SHARED_MEMORY.iter().any(|(name, _)| *name == file.name) {
            continue;
        }
        for root in ["std::sync", "core::sync", "loom::sync"] {
            for at in file.finds(root) {
                let names = leaves(&file.code[at + root.len()..]);
                let strange = names.iter().filter(|name| !harmless.contains(&name.as_str()));
                found.extend(strange.map(|name| format!("{}: `{root}::{name}`, not from crate::sync", file.at(at))));
            }
        }
        for name in ["parking_lot", "UnsafeCell", "spin_loop"] {
            let is_ours = file.code.contains("crate::sync");
            if name != "parking_lot" && is_ours {
                continue;
            }
            found.extend(file.finds(name).map(|at| format!("{}: `{name}`, not from crate::sync", file.at(at))));
        }
        for path in ["std::cell::UnsafeCell", "std::hint::spin_loop", "std::thread::park", "std::thread::current"] {
            found.extend(file.finds(path).map(|at| format!("{}: `{path}`, not from crate::sync", file.at(at))));
        }
    }
    found
}

fn the_outside_has_one_door_each(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (names, doors) in OUTSIDE {
        for file in files.iter().filter(|file| !doors.contains(&file.name.as_str())) {
            for name in *names {
                // A thread of a model is loom's.
                let real = file.finds(name).filter(|&at| !file.code[..at].ends_with("loom::"));
                found.extend(real.map(|at| format!("{}: `{name}` here", file.at(at))));
            }
        }
    }
    found
}

fn nothing_is_left_undone(files: &[File]) -> Vec<String> {
    let marks = ["todo!", "unimplemented!", "dbg!", "print!", "println!", "eprint!", "eprintln!"];
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.name != "model_runner.rs") {
        let tells = |mark: &&&str| !file.name.ends_with("tests.rs") || !mark.contains("print");
        for mark in marks.iter().filter(tells) {
            let word = mark.trim_end_matches('!');
            let calls = file.finds(word).filter(|&at| file.code[at + word.len()..].starts_with('!'));
            found.extend(calls.map(|at| format!("{}: `{mark}`", file.at(at))));
        }
    }
    found
}

/// The names of the planted bugs that are marked in the code, and where.
fn planted_in(files: &[File]) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for file in files.iter().filter(|file| file.name != "planted.rs") {
        for at in file.finds("planted!") {
            let name = file.text[at..].split('"').nth(1).unwrap_or_default();
            names.insert(name.to_owned(), file.at(at));
        }
    }
    names
}

/// The names in the table of `scripts/planted.sh`.
fn planted_by(script: &str) -> Vec<String> {
    let table = script.split("<<'TABLE'\n").nth(1).and_then(|rest| rest.split("\nTABLE").next()).unwrap_or_default();
    table.lines().filter_map(|line| line.split_once('|')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Every planted bug is looked for, once, and everything that is looked for is planted.
fn planted_and_looked_for(files: &[File], script: &str) -> Vec<String> {
    let (marks, rows) = (planted_in(files), planted_by(script));
    let count = |name: &String| rows.iter().filter(|row| *row == name).count();
    let lost = marks.iter().filter(|(name, _)| count(name) != 1);
    let lost = lost.map(|(name, at)| format!("{at}: `{name}` is {} times in scripts/planted.sh", count(name)));
    let idle = rows.iter().filter(|row| !marks.contains_key(*row));
    lost.chain(idle.map(|row| format!("scripts/planted.sh: `{row}` is not planted"))).collect()
}

/// No path of one person's or one company's machine: what is written here is read on others.
fn no_path_of_one_machine(files: &[File]) -> Vec<String> {
    let roots = ["root", "home", "work", "Users", "mnt"].map(|root| format!("/{root}/"));
    let mut found = Vec::new();
    for file in files {
        for root in &roots {
            let starts = |at: usize| file.text[..at].chars().next_back().is_none_or(|c| " \t\n\"'`=(:".contains(c));
            let places = file.text.match_indices(root.as_str()).map(|(at, _)| at).filter(|&at| starts(at));
            found.extend(places.map(|at| format!("{}: a path that begins with {root}", file.at(at))));
        }
    }
    found
}

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

// ---- reading Rust, as far as the rules need it ----

/// Comments, strings and characters become spaces; line breaks and byte positions stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        for byte in &mut code[at..end] {
            *byte = if *byte == b'\n' { b'\n' } else { b' ' };
        }
        at = end.max(at + 1);
    }
    String::from_utf8(code).expect("whole characters were blanked")
}

/// Where the comment or literal ends that begins at `at`; `at` if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let find = |from: usize, end: &[u8]| {
        let found = bytes[from..].windows(end.len()).position(|window| window == end);
        found.map_or(bytes.len(), |n| from + n + end.len())
    };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let in_word = at > 0 && is_word(bytes[at - 1]);
    if rest.starts_with(b"//") {
        return bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |n| at + n);
    }
    if rest.starts_with(b"/*") {
        let (mut depth, mut here) = (1, at + 2);
        while depth > 0 && here < bytes.len() {
            match &bytes[here..] {
                [b'/', b'*', ..] => (depth, here) = (depth + 1, here + 2),
                [b'*', b'/', ..] => (depth, here) = (depth - 1, here + 2),
                _ => here += 1,
            }
        }
        return here;
    }
    if !in_word && (rest.starts_with(b"r") || rest.starts_with(b"br")) {
        let from = at + if rest[0] == b'b' { 2 } else { 1 };
        let hashes = bytes[from..].iter().take_while(|&&byte| byte == b'#').count();
        if bytes.get(from + hashes) == Some(&b'"') {
            return find(from + hashes + 1, &[b"\"", &b"#".repeat(hashes)[..]].concat());
        }
    }
    if rest[0] == b'"' {
        let mut here = at + 1;
        while here < bytes.len() && bytes[here] != b'"' {
            here += if bytes[here] == b'\\' { 2 } else { 1 };
        }
        return (here + 1).min(bytes.len());
    }
    // A character, not a lifetime: it is closed after one character or an escape.
    if rest[0] == b'\'' {
        let text = std::str::from_utf8(&rest[1..]).unwrap_or_default();
        if text.starts_with('\\') {
            return find(at + 3, b"'");
        }
        let mut chars = text.chars();
        if let (Some(c), Some('\'')) = (chars.next(), chars.next()) {
            return at + 2 + c.len_utf8();
        }
    }
    at
}

/// What the crate root re-exports: its name there, and the room that it comes from.
fn exports(lib: &File) -> BTreeMap<String, String> {
    let mut names = BTreeMap::new();
    for at in lib.finds("pub use") {
        let path = lib.code[at + "pub use".len()..].trim_start();
        let room: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        for name in leaves(&path[room.len()..]) {
            names.insert(name, room.clone());
        }
    }
    names
}

/// The names right behind a path: `::a::b` is `a`, `::{a, b::c}` is `a` and `b`.
fn leaves(rest: &str) -> Vec<String> {
    let word =
        |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || "_*".contains(*c)).collect();
    let Some(rest) = rest.trim_start().strip_prefix("::").map(str::trim_start) else { return Vec::new() };
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut names, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(word(&group[begin..at]));
                begin = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names.retain(|name: &String| !name.is_empty());
    names
}

/// Every path from the crate root: where it stands, and its first name. `super` is followed as far as the root.
fn paths(file: &File) -> Vec<(usize, Vec<String>)> {
    let mut found = Vec::new();
    for at in file.finds("crate") {
        found.extend(leaves(&file.code[at + "crate".len()..]).into_iter().map(|name| (at, vec![name])));
    }
    let folders = file.name.matches('/').count();
    let is_root_of_folder = file.name.ends_with("/mod.rs") || file.name == "lib.rs";
    let depth_of_file = folders + usize::from(!is_root_of_folder);
    for at in file.finds("super") {
        if file.code[..at].trim_end().ends_with("::") || file.code[..at].trim_end().ends_with("(") {
            continue; // in the middle of a chain, or pub(super)
        }
        let (mut rest, mut ups) = (&file.code[at..], 0);
        while let Some(next) = rest.trim_start().strip_prefix("super") {
            ups += 1;
            let Some(behind) = next.trim_start().strip_prefix("::") else { break };
            rest = behind;
        }
        // As many steps as there are modules around lead to the root.
        if ups == depth_of_file + modules_around(&file.code, at) {
            let behind = format!("::{}", rest.trim_start());
            found.extend(leaves(&behind).into_iter().filter(|name| name != "*").map(|name| (at, vec![name])));
        }
    }
    found
}

/// How many `mod name {` are open at `at`.
fn modules_around(code: &str, at: usize) -> usize {
    let mut open = Vec::new();
    for (here, c) in code[..at].char_indices() {
        match c {
            '{' => {
                let named = code[..here].trim_end().trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
                open.push(named.trim_end() != named && named.trim_end().ends_with("mod"));
            }
            '}' => drop(open.pop()),
            _ => {}
        }
    }
    open.into_iter().filter(|is_module| *is_module).count()
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
