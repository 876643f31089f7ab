//! main.cf syntax: logical lines, definitions, `$`-expansion, lists and plain values.
//!
//! Pure: text in, values or a named cause out. It opens no file and knows no parameter; what a name
//! stands for is asked of a [`Scope`], and what a value must look like is the caller's to know. The
//! same logical lines and lists make up master.cf and the text tables, so those read them from here.

mod definition;
mod edit;
mod entry;
mod expand;
mod line;
mod list;
mod stream;
mod template;
mod value;

pub use definition::{
    Definition, Definitions, SyntaxError, SyntaxProblem, parse, split_definition,
};
pub use edit::{Edit, EditError, EditNote, Edited, edit};
pub use entry::{EntryError, split_entry};
pub use expand::{EXPANSION_BYTES_MAX, EXPANSION_STEPS_MAX, ExpandError, NoFunctions, Scope};
pub use line::{LINE_BYTES_MAX, LineError, Lines, LogicalLine, is_nothing, is_space};
pub use list::{Items, items, join, unbraced};
pub use stream::{BadLine, Line, LineReader};
pub use template::{NESTING_DEPTH_MAX, Template, TemplateError};
pub use value::{Range, Unit, boolean, number, seconds};

use std::fmt;
use std::sync::Arc;

/// Where a value was written: the file as the admin named it, and the line it starts on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// A path, or a word such as `command line` for what is in no file.
    pub file: Arc<str>,
    /// From 1; 0 where lines mean nothing.
    pub line: u32,
}

impl Position {
    /// A place in a file.
    pub fn new(file: impl Into<Arc<str>>, line: u32) -> Self {
        Self { file: file.into(), line }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}
