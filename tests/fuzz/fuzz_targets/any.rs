//! libFuzzer's way in: `TARGET=NAME cargo +nightly fuzz run any`. An ordinary build has nothing to do here.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod libfuzzer {
    use std::sync::LazyLock;

    static TARGET: LazyLock<fuzz::Target> = LazyLock::new(|| {
        let wanted = std::env::var("TARGET").unwrap_or_default();
        let known = || fuzz::TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(" ");
        let found = fuzz::TARGETS.iter().find(|target| target.name == wanted);
        *found.unwrap_or_else(|| panic!("TARGET is to be one of {}", known()))
    });

    libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
}

#[cfg(not(fuzzing))]
fn main() {}
