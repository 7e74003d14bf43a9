//! What the files of a journal are called, and what may lie beside them.

pub(crate) const LOCK: &str = "lock";
pub(crate) const STORE: &str = "store";
/// Where the journal ended at the last clean close.
pub(crate) const CLOSED: &str = "closed";
/// A segment that nothing but what frees room may use.
pub(crate) const RESERVE: &str = "reserve";

const SEGMENT: &str = ".segment";
/// A file that is becoming something: whatever it holds, it is not that yet.
const NEW: &str = ".new";
/// A segment in which nothing lives, to be written over.
const SPARE: &str = ".spare";
/// What was cut off a torn tail, until the next clean close.
const TORN: &str = ".torn";
/// A segment with damage, when nothing lives in it any more: kept for whoever wants to look.
const DAMAGED: &str = ".damaged";

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum File {
    Lock,
    Store,
    Closed,
    Reserve,
    Segment(u32),
    Spare(u32),
    New,
    Torn,
    Damaged,
    /// What file systems and desktops put into directories: nobody's, and left alone.
    Hidden,
    Foreign,
}

pub(crate) fn segment(number: u32) -> String {
    numbered(number, SEGMENT)
}

pub(crate) fn spare(number: u32) -> String {
    numbered(number, SPARE)
}

pub(crate) fn damaged(number: u32) -> String {
    numbered(number, DAMAGED)
}

pub(crate) fn torn(number: u32) -> String {
    numbered(number, TORN)
}

pub(crate) fn new(what: &str) -> String {
    format!("{what}{NEW}")
}

fn numbered(number: u32, ending: &str) -> String {
    format!("{number:010}{ending}")
}

pub(crate) fn read(name: &str) -> File {
    let number = |ending| {
        let digits = name.strip_suffix(ending)?;
        (digits.len() == 10 && digits.bytes().all(|digit| digit.is_ascii_digit())).then(|| digits.parse().ok())?
    };
    match name {
        LOCK => return File::Lock,
        STORE => return File::Store,
        CLOSED => return File::Closed,
        RESERVE => return File::Reserve,
        "lost+found" => return File::Hidden,
        _ if name.starts_with('.') => return File::Hidden,
        _ => {}
    }
    if let Some(number) = number(SEGMENT) {
        return File::Segment(number);
    }
    if let Some(number) = number(SPARE) {
        return File::Spare(number);
    }
    if number(TORN).is_some() {
        return File::Torn;
    }
    if number(DAMAGED).is_some() {
        return File::Damaged;
    }
    match name.strip_suffix(NEW) {
        Some(what) if !matches!(read(what), File::Foreign | File::Hidden) => File::New,
        _ => File::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_given() {
        let named = [
            (segment(7), File::Segment(7)),
            (segment(u32::MAX), File::Segment(u32::MAX)),
            (spare(7), File::Spare(7)),
            (damaged(7), File::Damaged),
            (torn(7), File::Torn),
            (new(&segment(7)), File::New),
            (new(RESERVE), File::New),
            (new(STORE), File::New),
            (LOCK.into(), File::Lock),
        ];
        for (name, file) in named {
            assert_eq!(read(&name), file, "{name}");
        }
        let foreign = [
            "",
            "7.segment",
            "00000000007.segment",
            "4294967296.segment",
            "a000000007.segment",
            "notes.txt",
            "notes.txt.new",
            "store.new.bak",
            "+000000007.segment",
        ];
        for name in foreign {
            assert_eq!(read(name), File::Foreign, "{name}");
        }
        assert_eq!(read(".DS_Store"), File::Hidden);
        assert_eq!(read("lost+found"), File::Hidden);
    }
}
