//! What a comparison found, as Markdown and as a chart.

use std::fmt::Write as _;

use super::Findings;
use super::measure::Row;
use super::plot::{Chart, Group};
use super::workload::Workload;
use crate::contender::Contender;
use crate::units::grouped;

pub(crate) fn label(workload: Workload) -> String {
    format!("{}, {} sessions", workload.client.name(), workload.sessions)
}

/// One run, told while the comparison goes on.
pub(crate) fn line(row: &Row) -> String {
    let fault = row.fault.as_ref().map_or_else(String::new, |fault| format!("  ! {fault}"));
    format!(
        "{:10} {:36} accept {:>7}/s  end to end {:>7}/s  CPU {:>7.1} us{fault}",
        row.contender.name(),
        label(row.workload),
        grouped(row.accepted_per_second),
        grouped(row.end_to_end_per_second),
        row.cpu_us_per_message,
    )
}

/// The median with the smallest and the largest, of the runs without a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    low: f64,
    high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (low, high) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            (values[middle - 1] + values[middle]) / 2.0
        };
        Some(Self { median, low, high })
    }

    fn text(self) -> String {
        if self.low == self.high {
            return grouped(self.median);
        }
        format!("{} ({}-{})", grouped(self.median), grouped(self.low), grouped(self.high))
    }
}

fn counted(rows: &[Row], contender: Contender, workload: Workload) -> Vec<&Row> {
    rows.iter()
        .filter(|row| row.contender == contender && row.workload == workload)
        .filter(|row| row.fault.is_none())
        .collect()
}

fn spread(rows: &[&Row], value: impl Fn(&Row) -> f64) -> Option<Spread> {
    Spread::of(rows.iter().map(|row| value(row)).collect())
}

fn median(rows: &[&Row], value: impl Fn(&Row) -> Option<f64>) -> Option<f64> {
    Spread::of(rows.iter().filter_map(|row| value(row)).collect()).map(|spread| spread.median)
}

/// The section of RESULTS.md.
pub(crate) fn section(
    findings: &Findings,
    contenders: &[Contender],
    workloads: &[Workload],
) -> String {
    let mut text = String::new();
    let versions: Vec<&str> = findings.versions.values().map(String::as_str).collect();
    let counted_by = findings.rows.first().map_or("", |row| row.cpu_counted_by);
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "4 KiB, one recipient, 1,000 mailboxes, on {}; {}. CPU counted by {counted_by}. Median \
         (smallest-largest) of the runs in which every message arrived exactly once.\n",
        findings.file_system,
        versions.join(", ")
    );
    for workload in workloads {
        let _ = writeln!(text, "### {}\n", label(*workload));
        rows(&mut text, findings, contenders, *workload);
    }
    sync_calls(&mut text, findings);
    faults(&mut text, findings);
    text
}

fn rows(text: &mut String, findings: &Findings, contenders: &[Contender], workload: Workload) {
    text.push_str(
        "| server | accepted/s | into Maildirs/s | server CPU us per message | user | of postfix | \
         of floor | other CPU us | flushes per message | KiB written per message | 250 p50 / p99 us \
         | peak RSS / PSS MiB | processes |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let cpu_of = |contender| {
        spread(&counted(&findings.rows, contender, workload), |row| row.cpu_us_per_message)
            .map(|spread| spread.median)
    };
    for contender in contenders {
        let runs = counted(&findings.rows, *contender, workload);
        let Some(cpu) = spread(&runs, |row| row.cpu_us_per_message) else {
            let _ = writeln!(text, "| {} | no run counted |", contender.name());
            continue;
        };
        let rate = |value: fn(&Row) -> f64| spread(&runs, value).map_or_else(dash, Spread::text);
        let share = |other| match cpu_of(other) {
            Some(theirs) if other != *contender => format!("{:.3}", cpu.median / theirs),
            _ => dash(),
        };
        let latency = median(&runs, |row| row.end_of_data_to_reply.map(|l| l.p50_us as f64))
            .zip(median(&runs, |row| row.end_of_data_to_reply.map(|l| l.p99_us as f64)))
            .map_or_else(dash, |(p50, p99)| format!("{} / {}", grouped(p50), grouped(p99)));
        let peak =
            |value: fn(&Row) -> u64| runs.iter().map(|row| value(row)).max().unwrap_or(0) as f64;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} | {} | {} | {} | {} | {} | {latency} | {:.0} / {:.0} | {} |",
            contender.name(),
            rate(|row| row.accepted_per_second),
            rate(|row| row.end_to_end_per_second),
            cpu.text(),
            median(&runs, |row| Some(row.cpu_user_us_per_message)).unwrap_or(0.0),
            share(Contender::Postfix),
            share(Contender::Floor),
            rate(|row| row.other_cpu_us_per_message),
            median(&runs, |row| row.flushes_per_message).map_or_else(dash, |n| format!("{n:.3}")),
            median(&runs, |row| row.kib_written_per_message)
                .map_or_else(dash, |n| format!("{n:.1}")),
            peak(|row| row.peak.rss_kib) / 1024.0,
            peak(|row| row.peak.pss_kib) / 1024.0,
            peak(|row| row.peak.processes as u64),
        );
    }
    text.push('\n');
}

fn dash() -> String {
    "-".to_owned()
}

fn sync_calls(text: &mut String, findings: &Findings) {
    if findings.sync_calls.is_empty() {
        return;
    }
    text.push_str(
        "### Sync calls per message\n\nperf, kept, 20 sessions, under strace (O_DSYNC writes through \
         io_uring do not show).\n\n",
    );
    for (contender, calls) in &findings.sync_calls {
        let calls: Vec<String> =
            calls.iter().map(|(name, count)| format!("{count:.3} {name}")).collect();
        let calls = if calls.is_empty() { "none".to_owned() } else { calls.join(", ") };
        let _ = writeln!(text, "- {contender}: {calls}");
    }
    text.push('\n');
}

/// What did not count, and why; and what was measured while the machine was not quiet.
fn faults(text: &mut String, findings: &Findings) {
    for row in &findings.rows {
        if let Some(fault) = &row.fault {
            let _ = writeln!(
                text,
                "- not counted: {}, {}, round {}: {fault}",
                row.contender.name(),
                label(row.workload),
                row.run
            );
        }
    }
    let busiest = findings.rows.iter().map(|row| row.busy_before).fold(0.0, f64::max);
    let _ = writeln!(
        text,
        "- before a run the machine was at most {:.0} % busy with other things",
        busiest * 100.0
    );
}

/// Medians of one value for all workloads and contenders.
pub(crate) fn chart<'a>(
    title: &'a str,
    rows: &[Row],
    contenders: &[Contender],
    workloads: &[Workload],
    value: fn(&Row) -> f64,
) -> Chart<'a> {
    let groups = workloads
        .iter()
        .map(|workload| Group {
            label: label(*workload),
            values: contenders
                .iter()
                .map(|contender| {
                    spread(&counted(rows, *contender, *workload), value).map(|s| s.median)
                })
                .collect(),
        })
        .collect();
    Chart { title, series: contenders.iter().map(|c| c.name()).collect(), groups }
}

#[cfg(test)]
mod tests {
    use super::super::workload::Client;
    use super::*;
    use crate::accounting::Memory;

    const WORKLOAD: Workload = Workload { client: Client::SourceKept, sessions: 20 };

    fn row(contender: Contender, cpu: f64, fault: Option<&str>) -> Row {
        Row {
            contender,
            workload: WORKLOAD,
            run: 1,
            messages: 1000,
            accepted_per_second: 1234.0,
            end_to_end_per_second: 1200.0,
            cpu_us_per_message: cpu,
            cpu_user_us_per_message: cpu / 2.0,
            cpu_counted_by: "cgroup",
            other_cpu_us_per_message: 3.0,
            client_cpu_us_per_message: 4.0,
            busy_before: 0.02,
            flushes_per_message: Some(0.04),
            writes_per_message: Some(1.0),
            kib_written_per_message: Some(9.0),
            peak: Memory { rss_kib: 2048, pss_kib: 1024, processes: 3 },
            end_of_data_to_reply: None,
            files: 1000,
            distinct: 1000,
            fault: fault.map(str::to_owned),
        }
    }

    fn findings(rows: Vec<Row>) -> Findings {
        Findings {
            machine: String::new(),
            file_system: "file system".to_owned(),
            versions: [("postfix", "Postfix 3.7".to_owned())].into(),
            rows,
            sync_calls: [("postfix", [("fsync".to_owned(), 2.0)].into())].into(),
        }
    }

    #[test]
    fn a_run_with_a_fault_does_not_enter_the_median_and_is_named() {
        let rows = vec![
            row(Contender::Ringpost, 80.0, None),
            row(Contender::Ringpost, 1.0, Some("999 files for 1000 messages")),
            row(Contender::Postfix, 1600.0, None),
        ];
        let contenders = [Contender::Ringpost, Contender::Postfix];
        let text = section(&findings(rows), &contenders, &[WORKLOAD]);
        assert!(text.contains("| ringpost | 1,234 | 1,200 | 80 | 40 | 0.050 | - |"), "{text}");
        assert!(text.contains("not counted: ringpost, smtp-source -d, 20 sessions, round 1: 999"));
        assert!(text.contains("- postfix: 2.000 fsync"));
    }

    #[test]
    fn a_contender_without_a_counted_run_is_said_to_have_none() {
        let rows = vec![row(Contender::Postfix, 1.0, Some("stalled"))];
        let text = section(&findings(rows), &[Contender::Postfix], &[WORKLOAD]);
        assert!(text.contains("| postfix | no run counted |"));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let spread = Spread::of(vec![4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((spread.median, spread.low, spread.high), (2.5, 1.0, 4.0));
        assert_eq!(Spread::of(vec![]), None);
    }

    #[test]
    fn the_chart_has_a_group_for_each_workload_and_a_gap_where_nothing_counted() {
        let rows = vec![row(Contender::Postfix, 1600.0, None)];
        let contenders = [Contender::Ringpost, Contender::Postfix];
        let chart = chart("t", &rows, &contenders, &[WORKLOAD], |row| row.cpu_us_per_message);
        assert_eq!(chart.groups[0].values, [None, Some(1600.0)]);
    }
}
