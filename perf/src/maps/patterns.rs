//! Tables of patterns and of networks: what a line or an address costs with few rules and with many.
//!
//! In this process, as the server asks them; and through the command for both programs, `postmap -q -` with
//! many lines less the same with one.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use table::{AtHand, Disk, Response, Table};

use super::Options;
use super::postmap::{Postmap, write_keys};
use super::rules::{ORDINARY, line_of_all_words, networks, rules_and_lines};
use crate::contender;
use crate::failure::{Doing, Failure, Result};
use crate::interrupt::Interrupt;
use crate::progress;
use crate::scratch::Scratch;
use crate::units::grouped;

/// How long each figure is measured, in seconds, and how often; the least disturbed one counts.
const ROUND_SECONDS: f64 = 0.01;
const ROUNDS: usize = 40;
/// Lines that ringpost's command is asked for, which take the same with few rules and with many.
const ASKED: usize = 1_000_000;
/// Rules, multiplied by lines, that a peer is asked for: it tries one after the other.
const PEER_PATTERNS_MAX: usize = 4_000_000;
const PEER_NETWORKS_MAX: usize = 50_000_000;
/// Repetitions of a command; the least disturbed one counts.
const COMMAND_ROUNDS: usize = 3;

/// Measures them all and prints them as tables.
pub(super) fn section(options: &Options, interrupt: &Interrupt) -> Result<String> {
    let scratch = Scratch::make(options.directory.clone())?;
    let ringpost =
        Postmap::ringpost(&contender::ringpost(options.ringpost.as_deref())?, scratch.path())?;
    let has_peers = options.peers.iter().any(|peer| !peer.is_empty());
    let postfix = match has_peers {
        true => Some(Postmap::postfix(&options.postmap, scratch.path())?),
        false => None,
    };
    let asked = Asked { ringpost, postfix };
    let bar = progress::steps("maps", (options.rules.len() * 4) as u64);
    let mut text = PATTERNS_HEAD.to_owned();
    for kind in ["regexp", "pcre"] {
        for &rules in &options.rules {
            text.push_str(&patterns(kind, rules, scratch.path(), &asked)?);
            bar.inc(1);
            interrupt.check()?;
        }
    }
    text.push_str(NETWORKS_HEAD);
    for v6 in [false, true] {
        for &rules in &options.networks {
            text.push_str(&addresses(v6, rules, scratch.path(), &asked)?);
            bar.inc(1);
            interrupt.check()?;
        }
    }
    bar.finish_and_clear();
    text.push_str(FOOT);
    Ok(text)
}

const PATTERNS_HEAD: &str = "| table | rules | opened ms | line that none matches, ns | one of ten lines, each of a rule, ns | \
    each line another rule, ns | 100 KB with the words of all rules, ms | `-q -` ns, ringpost | Postfix |\n\
    |---|---:|---:|---:|---:|---:|---:|---:|---:|\n";

const NETWORKS_HEAD: &str = "\n| table | networks | opened ms | address, ns | `-q -` ns, ringpost | Postfix |\n\
    |---|---:|---:|---:|---:|---:|\n";

const FOOT: &str = "\nThe rules are a mixture as header checks have it; lines that none matches are those of an ordinary \
    message. `-q -` is the time for a line of these through the command (for an address of the networks), the others are \
    of the call that the server makes.\n";

fn patterns(kind: &str, rules: usize, place: &Path, asked: &Asked) -> Result<String> {
    let (text, matching) = rules_and_lines(kind, rules);
    let (table, opened_ms) = open(kind, &text, place)?;
    let ordinary: Vec<String> = ORDINARY.iter().map(|&line| line.to_owned()).collect();
    let worst = line_of_all_words(&matching);
    let ten: Vec<String> = matching.iter().take(10).cloned().collect();
    // Lines that a command reads are lines.
    let plain: Vec<String> = ordinary.iter().filter(|it| !it.contains('\n')).cloned().collect();
    let [ours, theirs] = asked.nanoseconds(kind, rules, &plain, place)?;
    Ok(format!(
        "| {kind}: | {} | {opened_ms:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {ours} | {theirs} |\n",
        grouped(rules as f64),
        nanoseconds(&table, &ordinary),
        nanoseconds(&table, &ten),
        nanoseconds(&table, &matching),
        nanoseconds(&table, &[worst]) / 1e6,
    ))
}

fn addresses(v6: bool, rules: usize, place: &Path, asked: &Asked) -> Result<String> {
    let (text, mut keys) = networks(v6, rules);
    let (table, opened_ms) = open("cidr", &text, place)?;
    keys.truncate(4096);
    let [ours, theirs] = asked.nanoseconds("cidr", rules, &keys, place)?;
    Ok(format!(
        "| cidr:, IPv{} | {} | {opened_ms:.0} | {:.0} | {ours} | {theirs} |\n",
        if v6 { 6 } else { 4 },
        grouped(rules as f64),
        nanoseconds(&table, &keys),
    ))
}

/// Writes and opens a table; also says how long opening took.
fn open(kind: &str, text: &str, place: &Path) -> Result<(Table, f64)> {
    let path = place.join(kind);
    fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
    let begun = Instant::now();
    let table = Table::open(&format!("{kind}:{}", path.display()), &Disk);
    let opened_ms = begun.elapsed().as_secs_f64() * 1e3;
    match (table.trouble(), table.notes().first()) {
        (Some(trouble), _) => Err(Failure::new(trouble.to_string())),
        (None, Some(note)) => Err(Failure::new(note.to_string())),
        (None, None) => Ok((table, opened_ms)),
    }
}

fn nanoseconds(table: &Table, keys: &[String]) -> f64 {
    // As a shard does.
    let _at_hand = AtHand::new();
    let round = || {
        let begun = Instant::now();
        let mut lookups = 0;
        while begun.elapsed().as_secs_f64() < ROUND_SECONDS {
            for key in keys {
                if let Response::Ready(answer) = table.lookup(black_box(key)) {
                    let _ = black_box(answer);
                }
            }
            lookups += keys.len();
        }
        begun.elapsed().as_nanos() as f64 / lookups as f64
    };
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// The two commands.
struct Asked {
    ringpost: Postmap,
    postfix: Option<Postmap>,
}

impl Asked {
    /// What a key costs through each of them, as text.
    fn nanoseconds(
        &self,
        kind: &str,
        rules: usize,
        keys: &[String],
        place: &Path,
    ) -> Result<[String; 2]> {
        let table = format!("{kind}:{}", place.join(kind).display());
        let of = |postmap: &Postmap, count: usize| -> Result<String> {
            let [few, many] = ["few", "many"].map(|name| place.join(name));
            write_keys(&few, keys.iter().take(1).cloned())?;
            write_keys(&many, keys.iter().cycle().take(count).cloned())?;
            let best = |keys: &Path| {
                (0..COMMAND_ROUNDS).try_fold(f64::INFINITY, |best, _| {
                    postmap.ask(&table, keys).map(|(seconds, _)| best.min(seconds))
                })
            };
            let ns = (best(&many)? - best(&few)?) / count as f64 * 1e9;
            // Reading the rules can take longer than all lines, and not twice the same.
            Ok(if ns > 0.0 { grouped(ns) } else { "-".to_owned() })
        };
        let theirs = match &self.postfix {
            Some(postfix) => {
                let trials = if kind == "cidr" { PEER_NETWORKS_MAX } else { PEER_PATTERNS_MAX };
                of(postfix, (trials / rules.max(1)).clamp(20, 200_000))?
            }
            None => String::new(),
        };
        Ok([of(&self.ringpost, ASKED)?, theirs])
    }
}
