//! `perf runtimes`: the same minimal SMTP dialogue on the runtimes a mail server could stand on.
//!
//! No storage: what is compared is the cost of waiting, reading and answering. Each server is a
//! process of its own with one thread, on one core where there are two; the load comes from this
//! process. The ring's set-up flags decide, not the runtime; this is how to judge that
//! again on another kernel.

mod epoll;
#[cfg(feature = "glommio")]
mod glommio_server;
mod multishot;
mod uring;

use std::net::SocketAddr;
use std::process::Command;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::failure::{Doing, Failure, Result};
use crate::floor::{available_cores, pin};
use crate::interrupt::Interrupt;
use crate::load::{self, Plan};
use crate::minimal::listen;
use crate::progress;
use crate::results::Output;
use crate::server::{Counting, Server};

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// The runtimes to compare; all that were built by default.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Runtime>,
    /// Parallel sessions.
    #[arg(short, long, default_value_t = 200)]
    sessions: usize,
    /// Messages with kept connections; fresh ones get a third.
    #[arg(short, long, default_value_t = 60_000)]
    messages: u64,
    /// Repetitions; the table shows the median.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Print JSON instead of the table.
    #[arg(long)]
    json: bool,
}

/// Serves the minimal dialogue until killed; `runtimes` starts this itself.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeOptions {
    runtime: Runtime,
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Runtime {
    /// tokio-uring with SINGLE_ISSUER and COOP_TASKRUN.
    UringTuned,
    /// tokio-uring as it comes.
    UringDefault,
    /// tokio's current-thread runtime on epoll.
    TokioEpoll,
    /// The io-uring crate alone: multishot accept and receive, provided buffers, DEFER_TASKRUN.
    RawMultishot,
    /// glommio 0.9 (needs the cargo feature of that name).
    Glommio,
}

impl Runtime {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn is_built(self) -> bool {
        self != Self::Glommio || cfg!(feature = "glommio")
    }
}

/// How the generator uses its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Style {
    Fresh,
    Kept,
    KeptPipelined,
}

const STYLES: [Style; 3] = [Style::Fresh, Style::Kept, Style::KeptPipelined];

#[derive(Debug, Serialize)]
struct Row {
    runtime: Runtime,
    style: Style,
    server_cpu_us_per_message: f64,
    messages_per_second: f64,
    generator_busy: f64,
}

/// `perf serve-minimal`.
pub(crate) fn serve(options: &ServeOptions) -> Result<()> {
    let (address, mut listeners) = listen::group(options.listen, 1)?;
    let listener = listeners.remove(0);
    match options.runtime {
        Runtime::UringTuned => uring::serve(listener, address, uring::Flags::Tuned),
        Runtime::UringDefault => uring::serve(listener, address, uring::Flags::Default),
        Runtime::TokioEpoll => epoll::serve(listener, address),
        Runtime::RawMultishot => multishot::serve(listener, address),
        #[cfg(feature = "glommio")]
        Runtime::Glommio => glommio_server::serve(listener, address),
        #[cfg(not(feature = "glommio"))]
        Runtime::Glommio => {
            drop((listener, address));
            Err(Failure::new("this perf was built without --features glommio"))
        }
    }
}

/// `perf runtimes`.
pub(crate) fn main(options: &Options) -> Result<Output> {
    let runtimes: Vec<Runtime> = if options.only.is_empty() {
        Runtime::value_variants().iter().copied().filter(|runtime| runtime.is_built()).collect()
    } else {
        options.only.clone()
    };
    if let Some(missing) = runtimes.iter().find(|runtime| !runtime.is_built()) {
        return Err(Failure::new(format!("{} needs cargo --features glommio", missing.name())));
    }
    let interrupt = Interrupt::watch()?;
    let server_core = separate_cores()?;

    let mut rows = Vec::new();
    let steps = (runtimes.len() * STYLES.len()) as u64 * u64::from(options.runs);
    let bar = progress::steps("runtimes", steps);
    // Round by round, so that a slow minute of the machine meets every runtime.
    for _ in 0..options.runs {
        for runtime in &runtimes {
            for style in STYLES {
                rows.push(measure(*runtime, style, options, server_core, &interrupt)?);
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    let medians: Vec<Row> = runtimes
        .iter()
        .flat_map(|runtime| STYLES.map(|style| (*runtime, style)))
        .filter_map(|(runtime, style)| median(&rows, runtime, style))
        .collect();
    if options.json {
        let json = serde_json::to_string_pretty(&medians).doing(|| "writing JSON")?;
        return Ok(Output::Json(json));
    }
    Ok(Output::Markdown(table(&medians, options.sessions)))
}

/// The server gets the first core and this process the second, where there are two.
pub(crate) fn separate_cores() -> Result<Option<usize>> {
    match available_cores()[..] {
        [server, generator, ..] => {
            pin(generator)?;
            Ok(Some(server))
        }
        _ => Ok(None),
    }
}

/// This program with other arguments.
pub(crate) fn own_program() -> Result<Command> {
    let program = std::env::current_exe().doing(|| "finding this program")?;
    Ok(Command::new(program))
}

fn measure(
    runtime: Runtime,
    style: Style,
    options: &Options,
    core: Option<usize>,
    interrupt: &Interrupt,
) -> Result<Row> {
    let mut command = own_program()?;
    command.args(["serve-minimal", &runtime.name()]);
    let server = Server::start(&command, Counting::Tree, core, None)?;
    let messages = if style == Style::Fresh { options.messages / 3 } else { options.messages };
    let plan = |messages| {
        let plan = Plan::standard(server.address, options.sessions, messages).until(interrupt);
        match style {
            Style::Fresh => plan,
            Style::Kept => plan.kept(),
            Style::KeptPipelined => plan.kept().pipelined(),
        }
    };
    load::run(&plan((messages / 10).max(1)), "warming up")?;
    let before = server.cpu();
    let report = load::run(&plan(messages.max(1)), &runtime.name())?;
    let cpu = server.cpu() - before;
    if report.accepted == 0 || report.lost() > 0 {
        return Err(Failure::new(format!(
            "{} lost {} of {messages} messages: {:?}",
            runtime.name(),
            report.lost(),
            report.refusals,
        )));
    }
    server.stop()?;
    Ok(Row {
        runtime,
        style,
        server_cpu_us_per_message: cpu.total() * 1e6 / report.accepted as f64,
        messages_per_second: report.messages_per_second,
        generator_busy: report.generator_busy,
    })
}

fn median(rows: &[Row], runtime: Runtime, style: Style) -> Option<Row> {
    let of = |value: fn(&Row) -> f64| {
        let mut values: Vec<f64> = rows
            .iter()
            .filter(|row| row.runtime == runtime && row.style == style)
            .map(value)
            .collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    Some(Row {
        runtime,
        style,
        server_cpu_us_per_message: of(|row| row.server_cpu_us_per_message)?,
        messages_per_second: of(|row| row.messages_per_second)?,
        generator_busy: of(|row| row.generator_busy)?,
    })
}

fn table(rows: &[Row], sessions: usize) -> String {
    let mut text = format!(
        "Server CPU us per message (messages/s), {sessions} sessions, 4 KiB, no storage.\n\n\
         | runtime | fresh connections | kept | kept, pipelined |\n|---|---|---|---|\n"
    );
    for row in rows.chunks(STYLES.len()) {
        let cells: Vec<String> = row
            .iter()
            .map(|row| {
                format!("{:.1} ({:.0})", row.server_cpu_us_per_message, row.messages_per_second)
            })
            .collect();
        text.push_str(&format!("| {} | {} |\n", row[0].runtime.name(), cells.join(" | ")));
    }
    if rows.iter().any(|row| row.generator_busy > 0.95) {
        text.push_str(
            "\nIn some runs the generator was the limit: compare the CPU, not the rates.\n",
        );
    }
    text
}
