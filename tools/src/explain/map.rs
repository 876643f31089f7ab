//! `ringpost map explain`: each key that a search tries, in order, and what answered.
//!
//! It is the search that the mail system makes, by the same code, with somebody looking on.

use std::io::{self, Write};
use std::process::ExitCode;

use table::order::{ALIASES, NULL_SENDER, ORDERS};
use table::{Answer, Form, Keys, MapList, MatchList, Matched, Step, Table, Tables, block_on};

use crate::cli::Explain;
use crate::settings::Settings;

/// sysexits.h: nobody knows, try again.
const EX_TEMPFAIL: u8 = 75;

/// Prints the search. Exit code 0 where it finds something, 1 where not, 75 where a table is away.
pub(crate) fn run(options: &Explain) -> ExitCode {
    let tables = crate::tables::all();
    match explain(options, &tables, &mut io::stdout().lock()) {
        Ok(Answer::Found(_)) => ExitCode::SUCCESS,
        Ok(Answer::NotFound) => ExitCode::FAILURE,
        Ok(Answer::Unavailable(_)) => ExitCode::from(EX_TEMPFAIL),
        Err(why) => {
            eprintln!("ringpost: fatal: {why}");
            ExitCode::FAILURE
        }
    }
}

fn explain(options: &Explain, tables: &Tables<'_>, out: &mut dyn Write) -> Result<Answer, String> {
    let values = Settings::of_host(&options.configuration)?.values()?;
    let default = values.text("default_database_type")?;
    let specs: Vec<String> = options.tables.iter().map(|spec| with_type(spec, &default)).collect();
    let maps = MapList::open(&cf::join(specs.iter().map(String::as_str)), tables);
    for table in maps.tables() {
        opened(table, out).map_err(unwritten)?;
    }
    let delimiters = values.text("recipient_delimiter")?;
    let order = options.order.as_deref().unwrap_or_default();
    let forms = forms(order)?;
    let key = match options.key.as_str() {
        "" if order.starts_with("access") => NULL_SENDER,
        key => key,
    };
    let keys = if forms == ALIASES {
        // An address gets to the aliases as its local part.
        let local = key.rsplit_once('@').map_or(key, |(local, _)| local);
        Keys::of_local(forms, local, &delimiters)
    } else if order.starts_with("access-host") || order == "access-network" {
        Keys::of_host(forms, key)
    } else {
        let own = match key.rsplit_once('@') {
            Some((_, domain)) => is_own(domain, &values, tables)?,
            None => false,
        };
        Keys::new(forms, key, &delimiters).for_own_domain(own)
    };
    let mut last_key = None;
    let mut written = Ok(());
    let answer = block_on(maps.explain(keys, |step| {
        if written.is_ok() {
            written = print(&step, &mut last_key, out);
        }
    }));
    let written = written.and_then(|()| match &answer {
        Answer::Found(value) => writeln!(out, "answer: {value}"),
        Answer::NotFound => writeln!(out, "answer: not found"),
        Answer::Unavailable(trouble) => {
            writeln!(out, "answer: unavailable, which is temporary: {trouble}")
        }
    });
    written.map_err(unwritten)?;
    Ok(answer)
}

fn unwritten(error: io::Error) -> String {
    format!("write stdout: {error}")
}

/// What there is to say of a table before anything is asked.
fn opened(table: &Table, out: &mut dyn Write) -> io::Result<()> {
    for note in table.notes() {
        writeln!(out, "note: {note}")?;
    }
    match table.trouble() {
        Some(trouble) => writeln!(out, "note: {trouble}"),
        None => Ok(()),
    }
}

fn print(step: &Step<'_>, last_key: &mut Option<String>, out: &mut dyn Write) -> io::Result<()> {
    if last_key.as_deref() != Some(step.key) {
        writeln!(out, "key {}", step.key)?;
        *last_key = Some(step.key.to_owned());
    }
    let table = step.table.name();
    match step.answer {
        None => writeln!(out, "  {table}: not asked, takes whole addresses only"),
        Some(Answer::Found(value)) => writeln!(out, "  {table}: found \"{}\"", &**value),
        Some(Answer::NotFound) => writeln!(out, "  {table}: not found"),
        Some(Answer::Unavailable(trouble)) => {
            writeln!(out, "  {table}: unavailable: {}", trouble.cause)
        }
    }
}

fn with_type(spec: &str, default: &str) -> String {
    if spec.contains(':') { spec.to_owned() } else { format!("{default}:{spec}") }
}

/// The forms of an order; without one, only the key itself.
fn forms(order: &str) -> Result<&'static [Form], String> {
    if order.is_empty() {
        return Ok(&[Form::Whole]);
    }
    match ORDERS.iter().find(|(name, _)| *name == order) {
        Some((_, forms)) => Ok(forms),
        None => {
            let known: Vec<&str> = ORDERS.iter().map(|(name, _)| *name).collect();
            Err(format!("--as {order}: expected one of {}", known.join(", ")))
        }
    }
}

/// Whether keys without a domain are tried for this one: it is `$myorigin` or in `$mydestination`.
fn is_own(domain: &str, values: &config::Settings, tables: &Tables<'_>) -> Result<bool, String> {
    if domain.eq_ignore_ascii_case(&values.text("myorigin")?) {
        return Ok(true);
    }
    let list = MatchList::open("mydestination", &values.text("mydestination")?, tables);
    Ok(block_on(list.has(domain)) == Matched::Yes)
}
