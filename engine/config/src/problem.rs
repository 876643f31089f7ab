//! What is wrong in a configuration, for the admin.

use std::fmt;

use cf::Position;

/// What a problem means for mail, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// No snapshot is built.
    Error,
    /// Mail flows, but not as it is configured: a parameter that is not supported is set.
    Differs,
    /// Worth a look, and mail goes on: an unknown name, an overridden definition, a table that is
    /// away.
    Warning,
    /// A parameter is set that means nothing here; mail flows the same.
    Note,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether the configuration can be used all the same.
    pub severity: Severity,
    /// File and line.
    pub position: Position,
    /// The parameter; empty for a line that defines none.
    pub parameter: Box<str>,
    /// The value in question, as far as there is one.
    pub found: Option<Box<str>>,
    /// What is wrong with it, or what is allowed.
    pub cause: String,
}

impl Problem {
    pub(crate) fn error(
        position: Position,
        parameter: &str,
        found: Option<&str>,
        cause: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Error,
            position,
            parameter: parameter.into(),
            found: found.map(Into::into),
            cause: cause.into(),
        }
    }

    pub(crate) fn warning(position: Position, parameter: &str, cause: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(position, parameter, None, cause) }
    }

    /// The same, of less or more weight.
    pub(crate) fn with_severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }
}

impl Severity {
    /// Whether it stops the snapshot.
    pub fn is_error(self) -> bool {
        self == Self::Error
    }

    /// The word before a problem in a report.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Differs => "differs",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if !self.parameter.is_empty() {
            write!(f, "{}: ", self.parameter)?;
        }
        if let Some(found) = &self.found {
            write!(f, "found \"{found}\", ")?;
        }
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Problem {}
