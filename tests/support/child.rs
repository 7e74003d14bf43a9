//! This test program once more, as a process of its own: to be killed, to race with others, or to have less than others.
//!
//! A test that is run as a child finds its orders by [`orders`], and does what they say instead of what it does otherwise.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const ORDERS: &str = "REDELIVER_CHILD";
/// Before each line that is for the parent: the test harness writes lines as well.
const MARK: &str = "> ";
/// No child is silent for so long.
const PATIENCE: Duration = Duration::from_secs(120);

/// What this process was told to do, if it is a child.
pub(crate) fn orders() -> Option<Vec<String>> {
    let orders = std::env::var(ORDERS).ok()?;
    println!(); // what the harness has written has no end of line
    Some(orders.split('\n').map(str::to_owned).collect())
}

/// Tells the parent, in one write: it has all of the line or nothing, and keeps it if this process is killed.
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("{MARK}{line}");
}

/// A line, and when it came.
pub(crate) type Said = (Instant, String);

pub(crate) struct Process {
    child: Child,
    lines: Receiver<Said>,
    said: Vec<Said>,
}

impl Process {
    /// Starts the test of this name as a child.
    pub(crate) fn start(test: &str, orders: &[String]) -> Process {
        Process::start_by(Command::new(std::env::current_exe().unwrap()), test, orders)
    }

    /// As [`start`](Self::start), behind a command of the shell: a limit, say.
    pub(crate) fn start_after(shell: &str, test: &str, orders: &[String]) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell} && exec \"$@\""), "sh"]).arg(std::env::current_exe().unwrap());
        Process::start_by(command, test, orders)
    }

    fn start_by(mut command: Command, test: &str, orders: &[String]) -> Process {
        let mut child = command
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(ORDERS, orders.join("\n"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK) {
                    let _ = sender.send((Instant::now(), line.to_owned()));
                }
            }
        });
        Process { child, lines, said: Vec::new() }
    }

    /// Waits until it says something that begins with this. False: it ended before.
    pub(crate) fn until(&mut self, word: &str) -> bool {
        while let Ok(said) = self.lines.recv_timeout(PATIENCE) {
            let is_it = said.1.starts_with(word);
            self.said.push(said);
            if is_it {
                return true;
            }
        }
        false
    }

    /// `kill -9`, now. All that it said until then.
    pub(crate) fn kill(mut self) -> Vec<Said> {
        self.child.kill().unwrap();
        self.end().1
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<Said>) {
        self.until("\n");
        let mut said = std::mem::take(&mut self.said);
        said.extend(self.lines.try_iter());
        (self.child.wait().unwrap(), said)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
