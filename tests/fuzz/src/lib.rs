//! What must hold for any bytes from outside.
//!
//! A target is a function that takes bytes and panics where a promise is broken. To add one: a module with
//! `pub(crate) fn run(input: &[u8])`, and its line in the list below; seeds, if there are any, go to
//! `seeds/NAME/`. It is then tried in two ways:
//!
//! * `cargo test -p fuzz`, part of every test run: the seeds and some thousand mutations of them, the same
//!   ones each time. `FUZZ_ROUNDS=1000000` tries more of them, `FUZZ_SEED=7` others.
//! * `TARGET=NAME cargo +nightly fuzz run any fuzz/corpus/NAME fuzz/seeds/NAME`, in `tests/`, for as long as
//!   one likes: libFuzzer, which sees what code an input reaches (`cargo install --locked cargo-fuzz`).

#[cfg(test)]
mod bounded;
#[cfg(test)]
mod mutation;

mod addresses;
mod aliases;
mod config;
mod content;
mod headers;
mod maildrop;
mod main_cf;
mod master_cf;
mod mime;
mod parameters;
mod patterns;
mod queue_record;
mod session;
mod table_answers;
mod table_cf;
mod table_file;
mod table_source;

targets! {
    addresses: 20_000,
    aliases: 4_000,
    config: 4_000,
    content: 40_000,
    headers: 50_000,
    main_cf: 50_000,
    maildrop: 100_000,
    master_cf: 20_000,
    mime: 10_000,
    parameters: 100_000,
    patterns: 2_000,
    queue_record: 100_000,
    session: 40_000,
    table_answers: 100_000,
    table_cf: 5_000,
    table_file: 20_000,
    table_source: 30_000,
}

/// What takes bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its module's.
    pub name: &'static str,
    /// Panics where a promise is broken.
    pub run: fn(&[u8]),
    /// How many mutations an ordinary test run tries: a second or so, unoptimised.
    pub rounds: u64,
}

/// The list of the targets, and a test of each.
macro_rules! targets {
    ($($name:ident: $rounds:literal),+ $(,)?) => {
        /// All of them.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), run: $name::run, rounds: $rounds }),+];

        #[cfg(test)]
        mod tests {
            $(
                #[test]
                fn $name() {
                    crate::bounded::try_out(stringify!($name));
                }
            )+
        }
    };
}
use targets;
