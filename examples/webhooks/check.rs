//! The proof of the default run: the server has exactly what was sent, no more and no less.

use std::collections::HashSet;

use crate::events::Event;
use crate::outbox::Sent;
use crate::report::Report;
use crate::server::Inbox;

/// What the comparison found.
pub struct Verdict {
    accepted: usize,
    duplicates: usize,
    /// Dead letters that the server had accepted, though none of its answers came through.
    dead_but_accepted: usize,
    problems: Vec<String>,
}

/// Compares byte for byte what the server keeps with what the file holds.
pub fn compare(events: &[Event], sent: &Sent, report: &Report, inbox: &Inbox) -> Verdict {
    let mut problems = inbox.conflicts.clone();
    let mut strangers: HashSet<_> = inbox.accepted.keys().cloned().collect();
    let mut dead_but_accepted = 0;
    for (Event { line, body }, id) in events.iter().zip(sent) {
        let key = id.map(|id| id.to_string()).unwrap_or_default();
        strangers.remove(&key);
        let delivered = report.delivered.contains(line);
        match inbox.accepted.get(&key) {
            Some(arrived) if **arrived != **body => problems.push(format!("line {line} arrived with other bytes")),
            Some(_) if !delivered => dead_but_accepted += 1,
            None if delivered => problems.push(format!("line {line} counts as delivered, but the server lacks it")),
            _ => {}
        }
    }
    problems.extend(strangers.iter().map(|key| format!("the server accepted {key}, which was never sent")));
    Verdict { accepted: inbox.accepted.len(), duplicates: inbox.duplicates, dead_but_accepted, problems }
}

/// Says it on stderr, since stdout may have to be one JSON object. Returns whether all is well.
pub fn print(verdict: &Verdict) -> bool {
    let Verdict { accepted, duplicates, dead_but_accepted, problems } = verdict;
    for problem in problems {
        eprintln!("webhooks: {problem}");
    }
    if problems.is_empty() {
        eprintln!("check: the server has {accepted} events, each byte for byte as sent");
        eprintln!("check: it recognised {duplicates} duplicates by their Idempotency-Key");
    }
    if *dead_but_accepted > 0 {
        eprintln!("check: {dead_but_accepted} dead letters had arrived, but every answer to them was lost");
    }
    problems.is_empty()
}
