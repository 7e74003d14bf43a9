//! A journal whose segments have rotted in any number of places: it is refused, or tells of what was written and of nothing
//! else, in order, groups whole; and what a recovery leaves tells the same again.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use redeliver_fuzz::journal::{Edit, assert_written, base, open_twice};

#[derive(Arbitrary, Debug)]
struct Input {
    which: u8,
    edits: Vec<(u8, Edit)>,
}

fuzz_target!(|input: Input| {
    let base = base(input.which);
    let disk = base.disk.kill();
    let names: Vec<_> = disk.names().into_iter().filter(|name| name.ends_with(".segment")).collect();
    for (which, edit) in input.edits.iter().take(32) {
        let name = &names[usize::from(*which) % names.len()];
        let mut bytes = disk.bytes(name).expect("it is there");
        edit.apply(&mut bytes);
        disk.put(name, &bytes).expect("a name");
    }
    let Some(opened) = open_twice(&disk) else { return };
    assert_written(&opened.told, &base.told, &opened.report);
});
