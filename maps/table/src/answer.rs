//! What a lookup comes back with.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use cf::Position;

/// The three things a table can say. None of them is an error of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// The key is there, and this is its value.
    Found(Value),
    /// The table was asked and does not have the key.
    NotFound,
    /// Nobody knows: the table could not be asked. Temporary, whatever the key.
    Unavailable(Arc<Trouble>),
}

impl Answer {
    /// The value, where there is one.
    pub fn found(self) -> Option<Value> {
        match self {
            Self::Found(value) => Some(value),
            Self::NotFound | Self::Unavailable(_) => None,
        }
    }
}

/// A looked-up value: text that costs nothing to pass on.
///
/// Opaque so that a table may keep its values where it likes (shared text now, a mapped file later).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Value(Arc<str>);

impl Deref for Value {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why a table cannot answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The table as the parameter names it, `texthash:/etc/ringpost/users`.
    pub table: Box<str>,
    /// What went wrong, with file and line where there are some.
    pub cause: Box<str>,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}", self.table, self.cause)
    }
}

impl std::error::Error for Trouble {}

/// Something in a table's source that the admin should look at; the table works without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is written.
    pub position: Position,
    /// What is wrong, and what is done about it.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.text)
    }
}
