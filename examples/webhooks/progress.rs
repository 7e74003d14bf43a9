//! What is seen while the work is done. All of it goes to stderr: stdout belongs to the result.

use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use redeliver::Queue;

use crate::args::Args;
use crate::events::Event;
use crate::url::Url;

pub fn announce(args: &Args, count: usize, url: &Url) {
    eprintln!("delivering {count} events of {} to {url} from {} threads", args.file.display(), args.threads);
}

/// Follows the queue's counters until `done`. The bar draws itself only on a terminal.
pub fn show(queue: &Queue<Event>, count: usize, done: impl Fn() -> bool) {
    let bar = ProgressBar::new(count as u64).with_style(style());
    while !done() {
        let stats = queue.stats();
        bar.set_message(format!("{} retried, {} unsent, {} dead", stats.retries, stats.unsent, stats.dead));
        bar.set_position(stats.acked + stats.dead);
        thread::sleep(Duration::from_millis(20));
    }
    bar.finish_and_clear();
}

fn style() -> ProgressStyle {
    let template = "{elapsed:>4} [{bar:40}] {pos}/{len} {msg}";
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}
