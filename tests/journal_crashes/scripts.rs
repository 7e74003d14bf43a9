//! What happens to the journals of these tests: each script is a list of steps.

use redeliver::internals::{Level, Settings};
use redeliver::storage::Loss;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Open,
    /// From the next opening on.
    Settings(Settings),
    /// So many records of so many bytes, each confirmed before the next is appended.
    Send(usize, usize, Level),
    /// The same, and only the last is waited for.
    Batch(usize, usize, Level),
    Group(usize, usize, Level),
    /// Until the disk is full.
    Fill(usize),
    /// Settles the oldest messages behind the first `skip`, and releases them.
    Settle {
        count: usize,
        skip: usize,
        level: Option<Level>,
    },
    Reclaim,
    /// Copies what lives in the segment that the journal names; forced: or else in the oldest.
    Compact {
        is_forced: bool,
    },
    /// So many milliseconds later.
    Tick(u64),
    Close,
    Kill,
    Cut(Loss),
    /// The disk has so many bytes from now on.
    Room(u64),
}

pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<Step>,
}

/// As small as they may be.
pub(crate) const SMALL: Settings = {
    let mut settings = Settings::DEFAULT;
    settings.segment_bytes = 64 << 10;
    settings
};

const FRESH: Settings = {
    let mut settings = SMALL;
    settings.recycle = false;
    settings
};

const LARGE: Settings = {
    let mut settings = SMALL;
    settings.segment_bytes = 1 << 20;
    settings
};

use Level::{Synced, Written};
use Step::{Batch, Close, Compact, Cut, Fill, Group, Kill, Open, Reclaim, Room, Send, Tick};

fn settle(count: usize, skip: usize, level: Option<Level>) -> Step {
    Step::Settle { count, skip, level }
}

pub(crate) fn all() -> Vec<Script> {
    let script = |name, settings, steps: &[Step]| Script { name, settings, steps: steps.to_vec() };
    vec![
        script(
            "create",
            SMALL,
            &[Open, Send(3, 100, Synced), Batch(5, 700, Synced), Close, Open, Send(2, 20, Synced), Close, Open],
        ),
        script("steady", SMALL, &[Open, Send(12, 500, Synced), Send(3, 5000, Synced), Batch(9, 300, Synced)]),
        script(
            "windows",
            SMALL,
            &[
                Open,
                Send(4, 300, Written),
                Tick(0),
                Send(4, 700, Written),
                Tick(60),
                Send(1, 90, Written),
                Tick(60),
                Send(2, 400, Synced),
                Send(5, 3000, Written),
                Batch(4, 10, Written),
                Tick(100),
                Tick(100),
                Send(1, 10, Written),
            ],
        ),
        script(
            "groups",
            LARGE,
            &[
                Open,
                Send(2, 100, Synced),
                Group(40, 4000, Synced),
                Send(1, 100, Written),
                Group(30, 5000, Written),
                Group(3, 70_000, Written),
                Tick(0),
                Tick(100),
                Group(5, 50, Synced),
                Kill,
                Open,
                Group(20, 6000, Written),
            ],
        ),
        script(
            "rolls",
            SMALL,
            &[Open, Send(7, 9000, Synced), Batch(8, 12_000, Written), Group(3, 5000, Synced), Batch(9, 7000, Synced)],
        ),
        script(
            "effects",
            SMALL,
            &[
                Open,
                Send(10, 500, Synced),
                settle(3, 2, Some(Written)),
                Send(8, 6000, Synced),
                settle(4, 1, Some(Synced)),
                Tick(0),
                Tick(100),
                settle(3, 0, None),
                Tick(100),
                Kill,
                Open,
                settle(2, 0, Some(Synced)),
                Reclaim,
            ],
        ),
        script("recycled", SMALL, &reclaims()),
        script("reclaimed", FRESH, &reclaims()),
        script(
            "straggler",
            SMALL,
            &[
                Open,
                Send(1, 100, Synced),
                Batch(6, 9000, Synced),
                settle(6, 1, Some(Synced)),
                Batch(6, 9000, Written),
                settle(6, 1, Some(Written)),
                Reclaim,
                Compact { is_forced: true },
                Reclaim,
                Reclaim,
                Send(3, 9000, Synced),
                Kill,
                Open,
                Compact { is_forced: true },
                settle(2, 0, None),
                Reclaim,
                settle(9, 0, Some(Written)),
                Tick(0),
                Tick(100),
                Tick(100),
                Tick(11_000),
            ],
        ),
        script(
            "compaction",
            SMALL,
            &[
                Open,
                Batch(12, 4000, Synced),
                settle(10, 1, None),
                Batch(12, 4000, Synced),
                settle(10, 2, None),
                Compact { is_forced: false },
                Reclaim,
                Compact { is_forced: true },
                settle(1, 0, Some(Written)),
                Tick(0),
                Cut(Loss::Everything),
                Open,
                Compact { is_forced: true },
                Reclaim,
                settle(1, 0, Some(Synced)),
                Compact { is_forced: true },
                Reclaim,
            ],
        ),
        script(
            "marks",
            SMALL,
            &[
                Open,
                Tick(0),
                Tick(100),
                Send(2, 300, Synced),
                Tick(100),
                Tick(100),
                Send(3, 300, Written),
                Tick(0),
                Tick(100),
                Tick(0),
                Tick(100),
                Send(2, 100, Synced),
            ],
        ),
        script(
            "full",
            SMALL,
            &[
                Room(400 << 10),
                Open,
                Fill(9000),
                settle(30, 3, Some(Written)),
                Reclaim,
                Tick(0),
                Tick(100),
                Batch(3, 4000, Synced),
                Room(2 << 20),
                Batch(3, 4000, Synced),
                Send(2, 9000, Synced),
                settle(30, 0, None),
                Reclaim,
            ],
        ),
        script(
            "full and over",
            SMALL,
            &[
                Room(300 << 10),
                Open,
                Fill(5000),
                Batch(2, 100, Written),
                Kill,
                Open,
                settle(5, 0, Some(Synced)),
                Cut(Loss::Random(4)),
                Open,
                settle(40, 0, Some(Synced)),
                Reclaim,
                Batch(3, 3000, Synced),
            ],
        ),
        script(
            "reopened",
            SMALL,
            &[
                Open,
                Send(2, 200, Synced),
                Close,
                Open,
                Send(1, 100, Written),
                Kill,
                Open,
                Send(1, 6000, Written),
                Kill,
                Open,
                Kill,
                Open,
                Tick(0),
                Tick(100),
                Close,
                Open,
                Batch(3, 400, Written),
                Cut(Loss::Nothing),
                Open,
            ],
        ),
        script(
            "recovered",
            SMALL,
            &[
                Open,
                Send(2, 300, Synced),
                Batch(6, 900, Written),
                Cut(Loss::TornLast { sectors: 5 }),
                Open,
                Batch(2, 2000, Written),
                Batch(3, 2000, Written),
                Cut(Loss::Only(0)),
                Open,
                Group(4, 1500, Written),
                Cut(Loss::Random(9)),
                Open,
                Send(1, 50, Written),
                Cut(Loss::SizeWithoutData),
                Open,
            ],
        ),
        script(
            "resized",
            LARGE,
            &[
                Open,
                Group(20, 4000, Written),
                Step::Settings(SMALL),
                Kill,
                Open,
                Send(8, 9000, Synced),
                settle(30, 2, None),
                Reclaim,
                Step::Settings(LARGE),
                Close,
                Open,
                Batch(5, 9000, Written),
            ],
        ),
    ]
}

fn reclaims() -> [Step; 13] {
    [
        Open,
        Send(12, 9000, Synced),
        settle(12, 0, None),
        Reclaim,
        Batch(10, 9000, Synced),
        settle(10, 1, Some(Written)),
        Reclaim,
        Batch(4, 9000, Written),
        Kill,
        Open,
        settle(3, 0, Some(Synced)),
        Reclaim,
        Send(7, 9000, Synced),
    ]
}
