//! Dead letters as JSON lines. It holds no lock, changes nothing, and a writer that fails or panics costs the rest of the
//! lines.

use super::json::{Object, base64, push_text};
use super::rfc3339;
use crate::error::ExportError;
use crate::history::Attempt;
use crate::letters::DeadLetter;
use crate::message::Headers;
use crate::panics::{catch, drop_contained};
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

/// Writes each letter as a line, with what `show` makes of its message, and says how many. Each line is handed to the writer
/// in one piece, so that the number of complete ones is known.
pub(crate) fn export<T: Send + Sync + 'static>(
    letters: Vec<Arc<DeadLetter<T>>>,
    mut writer: impl Write,
    mut show: impl FnMut(&T) -> Option<String>,
) -> io::Result<usize> {
    let mut lines = 0;
    let outcome = catch(|| {
        let mut line = String::new();
        for letter in &letters {
            line.clear();
            push_letter(&mut line, letter, letter.message().and_then(&mut show));
            line.push('\n');
            writer.write_all(line.as_bytes())?; // goes on after short writes and interruptions
            lines += 1;
        }
        flush(&mut writer)
    });
    let outcome = outcome.unwrap_or_else(|panic| Err(io::Error::other(format!("a panic: {panic}"))));
    letters.into_iter().for_each(drop_contained); // the last to look at a message may be we
    drop_contained(writer);
    drop_contained(show);
    outcome.map_err(|source| io::Error::new(source.kind(), ExportError { lines, source }))?;
    Ok(lines)
}

fn flush(writer: &mut impl Write) -> io::Result<()> {
    loop {
        match writer.flush() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn push_letter<T: Send + Sync>(line: &mut String, letter: &DeadLetter<T>, shown: Option<String>) {
    let mut object = Object::open(line);
    object.text("id", &letter.id().to_string());
    object.text("reason", letter.reason());
    object.text_or_null("key", letter.key());
    push_headers(object.key("headers"), letter.headers());
    object.text_or_null("sent_at", rfc3339::utc(letter.sent_at()).as_deref());
    object.text_or_null("died_at", rfc3339::utc(letter.died_at()).as_deref());
    push_attempts(object.key("attempts"), letter.history());
    if let Some(shown) = shown {
        push_text(object.key("message"), &shown);
    }
    object.close();
}

fn push_headers(out: &mut String, headers: &Headers) {
    let mut object = Object::open(out);
    for (name, value) in headers.iter() {
        let mut header = Object::open(object.key(name));
        match std::str::from_utf8(value) {
            Ok(text) => header.text("text", text),
            Err(_) => header.text("base64", &base64(value)),
        }
        header.close();
    }
    object.close();
}

fn push_attempts(out: &mut String, history: &[Attempt]) {
    out.push('[');
    for (n, attempt) in history.iter().enumerate() {
        if n > 0 {
            out.push(',');
        }
        let mut object = Object::open(out);
        object.number_or_null("attempt", Some(u64::from(attempt.attempt())));
        object.text_or_null("at", rfc3339::utc(attempt.at()).as_deref());
        object.text("error", attempt.error());
        object.text_or_null("error_type", attempt.error_type());
        object.number_or_null("delay_ms", attempt.delay().map(whole_ms));
        object.text("rule", attempt.rule());
        object.close();
    }
    out.push(']');
}

/// Rounded up, as the queue does it.
fn whole_ms(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
