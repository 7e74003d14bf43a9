//! What the figures were measured on: figures without it are worth nothing.

use std::fs::read_to_string;
use std::thread::available_parallelism;

pub struct Machine {
    pub cpu: String,
    pub cpus: usize,
    pub kernel: String,
    /// Of the last minute, before the first round: on a quiet machine about 0.
    pub load: String,
    /// The contenders' versions.
    pub versions: String,
}

impl Machine {
    pub fn look() -> Machine {
        let first = |path: &str| read_to_string(path).unwrap_or_default().trim().to_string();
        let cpuinfo = first("/proc/cpuinfo");
        let field = |name: &str| {
            let line = cpuinfo.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split(": ").nth(1)).unwrap_or("?").to_string()
        };
        let cpu = format!("{} (family {}, model {})", field("model name"), field("cpu family"), field("model\t"));
        Machine {
            cpu,
            cpus: available_parallelism().map_or(1, |n| n.get()),
            kernel: first("/proc/sys/kernel/osrelease"),
            load: first("/proc/loadavg").split(' ').next().unwrap_or("?").to_string(),
            versions: versions(),
        }
    }
}

/// From the lock file that this program was built with.
fn versions() -> String {
    let lock = include_str!("../Cargo.lock");
    let version = |name: &str| {
        let at = lock.find(&format!("name = \"{name}\"\n"))?;
        lock[at..].lines().nth(1)?.split('"').nth(1)
    };
    let named = |name: &str| Some(format!("{name} {}", version(name)?));
    let names = ["redeliver", "crossbeam-channel", "flume", "kanal"];
    names.into_iter().filter_map(named).collect::<Vec<_>>().join(", ")
}
