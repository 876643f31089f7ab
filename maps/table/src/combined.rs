//! Tables made of others: `pipemap:`, `unionmap:`, `proxy:`; and `randmap:`, which is made of values.
//!
//! `pipemap:{a, b}` looks up in `b` what `a` answered; `unionmap:{a, b}` joins the answers of both with
//! commas (postfix `src/util/dict_pipe.c`, `dict_union.c`). A table in them that is away makes the whole
//! unavailable. As long as the tables answer at once so do these; from the first that answers later on,
//! the rest is a promise.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Answer, Lookup, Opened, Opening, Response, Table, Value};

/// Opens `pipemap:{type:name, ...}`.
pub(crate) fn open_pipe(opening: &Opening<'_>) -> Opened {
    Ok(Box::new(Pipe(tables("pipemap", opening)?)))
}

/// Opens `unionmap:{type:name, ...}`.
pub(crate) fn open_union(opening: &Opening<'_>) -> Opened {
    Ok(Box::new(Union(tables("unionmap", opening)?)))
}

/// Opens `proxy:type:name`, which is `type:name`: Postfix sends its questions through a service that
/// shares connections and reaches files from a chroot, and here all sessions share their tables anyway.
pub(crate) fn open_proxy(opening: &Opening<'_>) -> Opened {
    Ok(Box::new(Proxy(opening.table(opening.name()))))
}

/// Opens `randmap:{value, ...}`.
pub(crate) fn open_random(opening: &Opening<'_>) -> Opened {
    let values: Box<[Value]> = items("randmap", "value", opening.name())?
        .map(|item| cf::unbraced(item).unwrap_or(item).into())
        .collect();
    Ok(Box::new(Random { values, seed: RandomState::new(), asked: AtomicU64::new(0) }))
}

/// The items in the braces; there must be one.
fn items<'a>(kind: &str, item: &str, name: &'a str) -> Result<cf::Items<'a>, String> {
    let expected = || format!("expected {kind}:{{{item}, {item}}}");
    let items = cf::items(cf::unbraced(name).ok_or_else(expected)?);
    match items.clone().next() {
        Some(_) => Ok(items),
        None => Err(expected()),
    }
}

/// Those that cannot be opened say so when they are asked, until they can.
fn tables(kind: &str, opening: &Opening<'_>) -> Result<Box<[Table]>, String> {
    Ok(items(kind, "type:name", opening.name())?.map(|spec| opening.table(spec)).collect())
}

fn turn(tables: &[Table]) -> u64 {
    tables.iter().map(Table::turn).fold(0, u64::wrapping_add)
}

#[derive(Debug)]
struct Pipe(Box<[Table]>);

impl Pipe {
    fn ask(&self, first: impl FnOnce(&Table) -> Response) -> Response {
        let mut first = Some(first);
        let mut found = Value::from("");
        for (at, table) in self.0.iter().enumerate() {
            let response = match first.take() {
                Some(first) => first(table),
                None => table.lookup(&found),
            };
            match response {
                Response::Ready(Answer::Found(value)) => found = value,
                Response::Ready(answer) => return answer.into(),
                Response::Later(later) => {
                    let rest: Box<[Table]> = self.0[at + 1..].into();
                    return Response::Later(Box::pin(async move {
                        let mut answer = later.await;
                        for table in rest {
                            let Answer::Found(value) = &answer else { break };
                            answer = table.lookup(value).answer().await;
                        }
                        answer
                    }));
                }
            }
        }
        Answer::Found(found).into()
    }
}

impl Lookup for Pipe {
    fn lookup(&self, key: &str) -> Response {
        self.ask(|table| table.lookup(key))
    }

    fn lookup_line(&self, line: &[u8]) -> Response {
        self.ask(|table| table.lookup_line(line))
    }

    fn whole_keys_only(&self) -> bool {
        self.0[0].whole_keys_only()
    }

    fn turn(&self) -> u64 {
        turn(&self.0)
    }
}

#[derive(Debug)]
struct Union(Box<[Table]>);

impl Union {
    fn ask(&self, ask: impl Fn(&Table) -> Response) -> Response {
        let mut joined = Joined::default();
        for (at, table) in self.0.iter().enumerate() {
            match ask(table) {
                Response::Ready(answer) => {
                    if let Err(away) = joined.add(answer) {
                        return away.into();
                    }
                }
                // The tables behind this one are asked now, so that all that takes a while is under
                // way together.
                Response::Later(later) => {
                    let rest: Vec<Response> = self.0[at + 1..].iter().map(&ask).collect();
                    return Response::Later(Box::pin(async move {
                        if let Err(away) = joined.add(later.await) {
                            return away;
                        }
                        for response in rest {
                            if let Err(away) = joined.add(response.answer().await) {
                                return away;
                            }
                        }
                        joined.answer()
                    }));
                }
            }
        }
        joined.answer().into()
    }
}

impl Lookup for Union {
    fn lookup(&self, key: &str) -> Response {
        self.ask(|table| table.lookup(key))
    }

    fn lookup_line(&self, line: &[u8]) -> Response {
        self.ask(|table| table.lookup_line(line))
    }

    fn whole_keys_only(&self) -> bool {
        self.0[0].whole_keys_only()
    }

    fn turn(&self) -> u64 {
        turn(&self.0)
    }
}

/// Answers on their way to be one.
#[derive(Default)]
struct Joined(Option<Value>);

impl Joined {
    /// Adds one answer; what is away ends it.
    fn add(&mut self, answer: Answer) -> Result<(), Answer> {
        match answer {
            Answer::Found(value) => {
                self.0 = Some(match self.0.take() {
                    Some(first) if !first.is_empty() => format!("{},{}", &*first, &*value).into(),
                    _ => value,
                });
                Ok(())
            }
            Answer::NotFound => Ok(()),
            away @ Answer::Unavailable(_) => Err(away),
        }
    }

    /// Values that are all empty are no answer.
    fn answer(self) -> Answer {
        match self.0 {
            Some(value) if !value.is_empty() => Answer::Found(value),
            _ => Answer::NotFound,
        }
    }
}

#[derive(Debug)]
struct Proxy(Table);

impl Lookup for Proxy {
    fn lookup(&self, key: &str) -> Response {
        self.0.lookup(key)
    }

    fn lookup_line(&self, line: &[u8]) -> Response {
        self.0.lookup_line(line)
    }

    fn whole_keys_only(&self) -> bool {
        self.0.whole_keys_only()
    }

    fn turn(&self) -> u64 {
        self.0.turn()
    }

    fn entries(&self) -> Option<Vec<(Box<str>, Value)>> {
        self.0.entries()
    }
}

/// One of the values, by chance, whatever the key (postfix `src/util/dict_random.c`).
#[derive(Debug)]
struct Random {
    values: Box<[Value]>,
    seed: RandomState,
    asked: AtomicU64,
}

impl Lookup for Random {
    fn lookup(&self, _: &str) -> Response {
        let drawn = self.seed.hash_one(self.asked.fetch_add(1, Ordering::Relaxed));
        let at = drawn % self.values.len() as u64;
        Answer::Found(self.values[at as usize].clone()).into()
    }

    fn whole_keys_only(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{Memory, Nature, Open, Tables, Type, block_on};

    /// Answers `key later` to keys that begin with `l`, and is away for those that begin with `x`.
    #[derive(Debug)]
    struct Slow;

    impl Lookup for Slow {
        fn lookup(&self, key: &str) -> Response {
            let answer = match key.as_bytes().first() {
                Some(b'l') => Answer::Found(format!("{key} later").into()),
                Some(b'x') => crate::Trouble::answer("slow:", "away"),
                _ => Answer::NotFound,
            };
            Response::Later(Box::pin(async { answer }))
        }
    }

    fn ask(spec: &str, key: &str) -> Result<Option<String>, String> {
        let slow = Open::Shared(Arc::new(|_: &Opening<'_>| Ok(Box::new(Slow) as _)));
        let slow = Type { name: "slow", nature: Nature::Remote, format: None, open: slow };
        let files = Memory::default();
        let table = Tables::new(&files).with_types([slow]).open(spec);
        match block_on(table.lookup(key).answer()).found() {
            Ok(value) => Ok(value.map(|value| value.to_string())),
            Err(trouble) => Err(trouble.to_string()),
        }
    }

    fn found(value: &str) -> Result<Option<String>, String> {
        Ok(Some(value.to_owned()))
    }

    #[test]
    fn a_pipe_looks_up_what_the_table_before_answered() {
        let pipe = "pipemap:{inline:{a=b, c=d}, inline:{b=x, d=}}";
        assert_eq!(ask(pipe, "a"), found("x"));
        assert_eq!(ask(pipe, "c"), found(""));
        assert_eq!(ask(pipe, "b"), Ok(None));
        assert_eq!(ask("pipemap:{inline:{a=b}, inline:{x=y}}", "a"), Ok(None));
        assert_eq!(ask("pipemap:{inline:{a=b}}", "a"), found("b"));
    }

    #[test]
    fn a_pipe_waits_where_one_of_its_tables_takes_a_while() {
        let pipe = "pipemap:{inline:{a=l, b=m, c=x}, slow:, inline:{{l later=x}}}";
        assert_eq!(ask(pipe, "a"), found("x"));
        assert_eq!(ask(pipe, "b"), Ok(None));
        assert_eq!(ask(pipe, "c"), Err("table slow:: away".to_owned()));
        assert_eq!(ask("pipemap:{slow:, slow:}", "l"), found("l later later"));
    }

    #[test]
    fn a_union_joins_what_was_found_with_commas() {
        let union = "unionmap:{inline:{a=1, b=}, inline:{a=2, c=3}, inline:{a=4, b=5}}";
        assert_eq!(ask(union, "a"), found("1,2,4"));
        assert_eq!(ask(union, "b"), found("5"));
        assert_eq!(ask(union, "c"), found("3"));
        assert_eq!(ask(union, "d"), Ok(None));
        assert_eq!(ask("unionmap:{inline:{a=}}", "a"), Ok(None));
    }

    #[test]
    fn a_union_waits_where_one_of_its_tables_takes_a_while() {
        let union = "unionmap:{inline:{l=1}, slow:, inline:{l=2}, slow:}";
        assert_eq!(ask(union, "l"), found("1,l later,2,l later"));
        assert_eq!(ask(union, "a"), Ok(None));
        assert_eq!(ask(union, "x"), Err("table slow:: away".to_owned()));
    }

    #[test]
    fn a_table_that_is_away_makes_the_whole_unavailable() {
        for kind in ["pipemap", "unionmap"] {
            let spec = format!("{kind}:{{inline:{{a=b}}, fail:db}}");
            assert!(ask(&spec, "a").is_err(), "{spec}");
        }
        assert_eq!(ask("pipemap:{inline:{a=b}, fail:db}", "c"), Ok(None));
        assert!(ask("unionmap:{fail:db, static:x}", "a").is_err());
        let broken = ask("unionmap:{static:x, texthash:/none}", "a").unwrap_err();
        assert!(broken.contains("texthash:/none: open /none"), "{broken}");
    }

    #[test]
    fn what_is_no_list_of_tables_is_refused_with_an_example() {
        for name in ["", "{}", "{ , }", "static:x", "{static:x", "{static:x}}", "{static:x} y"] {
            for kind in ["pipemap", "unionmap", "randmap"] {
                let refused = ask(&format!("{kind}:{name}"), "a").unwrap_err();
                assert!(refused.contains(&format!("expected {kind}:{{")), "{refused}");
            }
        }
        assert!(ask("pipemap:{static}", "a").unwrap_err().contains("expected type:name"));
    }

    #[test]
    fn every_value_of_a_random_table_comes_up() {
        let table = Table::open("randmap:{1, 2 {3 4}}", &Memory::default());
        let mut seen = std::collections::BTreeMap::new();
        for _ in 0..3000 {
            let Ok(Some(value)) = block_on(table.lookup("a").answer()).found() else {
                panic!("a random table always answers");
            };
            *seen.entry(value.to_string()).or_insert(0) += 1;
        }
        assert_eq!(seen.keys().collect::<Vec<_>>(), ["1", "2", "3 4"]);
        assert!(seen.values().all(|&times| times > 700), "{seen:?}");
    }

    #[test]
    fn a_proxied_table_is_the_table() {
        assert_eq!(ask("proxy:inline:{a=b}", "a"), found("b"));
        assert_eq!(ask("proxy:slow:", "l"), found("l later"));
        assert_eq!(ask("proxy:proxy:static:x", "a"), found("x"));
        let broken = ask("proxy:texthash:/none", "a").unwrap_err();
        assert_eq!(broken, "table texthash:/none: open /none: entity not found");
    }

    #[test]
    fn parts_of_keys_are_asked_for_as_the_first_table_says() {
        let whole = |spec: &str| Table::open(spec, &Memory::default()).whole_keys_only();
        assert!(whole("pipemap:{cidr:{{192.0.2.0/24 x}}, inline:{x=y}}"));
        assert!(!whole("pipemap:{inline:{x=y}, cidr:{{192.0.2.0/24 x}}}"));
        assert!(whole("unionmap:{randmap:{x}, inline:{x=y}}"));
        assert!(whole("proxy:cidr:{{192.0.2.0/24 x}}"));
        assert!(!whole("proxy:inline:{x=y}"));
    }
}
