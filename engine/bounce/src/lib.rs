//! Notices to senders. So far what they say: the templates of `bounce_template_file`.
//!
//! Pure: the text of the file and the values of parameters in, templates and named mistakes out.

mod expand;
mod file;
mod template;
#[cfg(test)]
mod tests;

pub use expand::{ExpandError, Expanded, Values};
pub use file::{FileError, Loaded, Note, TEMPLATE_BYTES_MAX};
pub use template::{Kind, Template, Templates};
