//! redeliver against its peers: interleaved rounds, ratios, their spread, and the bars they have to reach.
//!
//! `cells/` knows what is measured, `contenders/` who is, `rounds.rs` in which order, `probe.rs` which rounds may be
//! compared, `report.rs` how it is told. README.md says how to read it.

mod args;
mod bars;
mod cells;
mod contenders;
mod json;
mod machine;
mod payload;
mod pool;
mod probe;
mod report;
mod rounds;
mod stats;

use args::Args;
use cells::throughput::Shape;
use cells::{Bench, held, latency, memory, throughput};
use contenders::Entry;
use pool::Pool;
use probe::Probe;
use report::Report;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(Some(args)) => args,
        Ok(None) => {
            print!("{}", args::HELP);
            return ExitCode::SUCCESS;
        }
        Err(wrong) => return fail(&wrong),
    };
    let entries = match chosen(&args) {
        Ok(entries) => entries,
        Err(wrong) => return fail(&wrong),
    };
    let command = std::iter::once("redeliver-compare".to_string()).chain(std::env::args().skip(1));
    let mut report = Report::begin(command.collect::<Vec<_>>().join(" "), args.pin, args.near_ns);
    let (pool, probe) = (Pool::new(args.pin), Probe::new(args.near_ns));
    if report.machine.cpus > 2 && !args.pin {
        println!("note: the probe watches the first two CPUs; --pin puts the threads there");
    }

    let mut bench = Bench { args: &args, entries: &entries, pool: &pool, probe: &probe, report: &mut report };
    for cell in &args.cells {
        match cell.as_str() {
            "batch" => throughput::batch_cells(&mut bench),
            "latency" => latency::cells(&mut bench),
            "held" => held::cells(&mut bench),
            "memory" => memory::cells(&mut bench),
            #[cfg(feature = "ours")]
            "written" | "synced" | "scan" => cells::journal::cells(&mut bench, cell),
            #[cfg(not(feature = "ours"))]
            "written" | "synced" | "scan" => println!("\n{cell}: left out, for the library is not built in"),
            shape => {
                let shape =
                    Shape::ALL.into_iter().find(|known| known.name() == shape).expect("the arguments are checked");
                throughput::cells(&mut bench, shape);
            }
        }
    }
    report.end(&probe);

    if let Some(path) = &args.json {
        if let Err(error) = json::write(path, &report, &probe) {
            return fail(&format!("{}: {error}", path.display()));
        }
        println!("every round: {}", path.display());
    }
    ExitCode::SUCCESS
}

/// The one that is compared, and the peers that the command line names.
fn chosen(args: &Args) -> Result<Vec<Entry>, String> {
    let mut all = contenders::all();
    let Some(names) = &args.peers else {
        return Ok(all);
    };
    if let Some(stranger) = names.iter().find(|name| all[1..].iter().all(|entry| entry.name != **name)) {
        let known: Vec<&str> = all[1..].iter().map(|entry| entry.name).collect();
        return Err(format!("{stranger} is none of {}", known.join(",")));
    }
    let subject = all[0].name;
    all.retain(|entry| entry.name == subject || names.iter().any(|name| name == entry.name));
    Ok(all)
}

fn fail(wrong: &str) -> ExitCode {
    eprintln!("{wrong}\n\n{}", args::HELP);
    ExitCode::FAILURE
}
