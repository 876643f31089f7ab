//! Exit codes of programs that submit mail (sysexits.h).

/// A command line that cannot be followed.
pub(crate) const EX_USAGE: u8 = 64;
/// Input that is not what it should be.
pub(crate) const EX_DATAERR: u8 = 65;
/// A service, or a part of one, that there is not.
pub(crate) const EX_UNAVAILABLE: u8 = 69;
/// Try again later.
pub(crate) const EX_TEMPFAIL: u8 = 75;

/// Why a program ends without having done what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// For standard error; nothing where there is nobody to be told.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// Says it, in the name of a program.
    pub(crate) fn report(&self, program: &str) -> std::process::ExitCode {
        // What a caller chose may be in it.
        let plain = |c: char| if c.is_control() { '?' } else { c };
        for line in self.text.lines() {
            let line: String = line.chars().map(plain).collect();
            eprintln!("{program}: fatal: {line}");
        }
        self.code.into()
    }
}
