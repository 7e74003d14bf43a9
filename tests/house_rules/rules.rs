//! The rules: each says where the files that it is given violate it.

use super::*;

pub(crate) type Rule = fn(&[File]) -> Vec<String>;

/// Every file has its layer, every import goes down or stays, and every listed exception is used.
pub(crate) fn imports_go_down(files: &[File]) -> Vec<String> {
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

pub(crate) fn rules_are_pure(files: &[File]) -> Vec<String> {
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

pub(crate) fn files_are_short(files: &[File]) -> Vec<String> {
    let long = files.iter().filter(|file| file.text.lines().count() > LINES_MAX);
    long.map(|file| format!("src/{}: {} lines, at most {LINES_MAX}", file.name, file.text.lines().count())).collect()
}

pub(crate) fn files_say_what_they_promise(files: &[File]) -> Vec<String> {
    let silent = files.iter().filter(|file| !file.text.starts_with("//! "));
    silent.map(|file| format!("src/{}: does not open with `//! ` and what it promises", file.name)).collect()
}

pub(crate) fn unsafe_lives_in_the_ring(files: &[File]) -> Vec<String> {
    let outside = files.iter().filter(|file| file.room() != "ring");
    outside.flat_map(|file| file.finds("unsafe").map(|at| format!("{}: unsafe outside of ring", file.at(at)))).collect()
}

/// Above an `unsafe` block or impl stands a comment with SAFETY, on its line or right above its statement.
pub(crate) fn unsafe_says_why(files: &[File]) -> Vec<String> {
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

pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Atomics, locks and cells come from `crate::sync`, so that the models see them.
pub(crate) fn shared_memory_is_named_in_sync(files: &[File]) -> Vec<String> {
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

pub(crate) fn the_outside_has_one_door_each(files: &[File]) -> Vec<String> {
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

pub(crate) fn nothing_is_left_undone(files: &[File]) -> Vec<String> {
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
pub(crate) fn planted_in(files: &[File]) -> BTreeMap<String, String> {
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
pub(crate) fn planted_by(script: &str) -> Vec<String> {
    let table = script.split("<<'TABLE'\n").nth(1).and_then(|rest| rest.split("\nTABLE").next()).unwrap_or_default();
    table.lines().filter_map(|line| line.split_once('|')).map(|(name, _)| name.trim().to_owned()).collect()
}

/// Every planted bug is looked for, once, and everything that is looked for is planted.
pub(crate) fn planted_and_looked_for(files: &[File], script: &str) -> Vec<String> {
    let (marks, rows) = (planted_in(files), planted_by(script));
    let count = |name: &String| rows.iter().filter(|row| *row == name).count();
    let lost = marks.iter().filter(|(name, _)| count(name) != 1);
    let lost = lost.map(|(name, at)| format!("{at}: `{name}` is {} times in scripts/planted.sh", count(name)));
    let idle = rows.iter().filter(|row| !marks.contains_key(*row));
    lost.chain(idle.map(|row| format!("scripts/planted.sh: `{row}` is not planted"))).collect()
}

/// No path of one person's or one company's machine: what is written here is read on others.
pub(crate) fn no_path_of_one_machine(files: &[File]) -> Vec<String> {
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
