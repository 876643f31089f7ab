//! Where findings go: to the terminal, and with `--record` into a section of perf/RESULTS.md.
//!
//! A section is replaced as a whole between two marker comments; what people wrote around it stays.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use crate::accounting::machine;
use crate::failure::{Doing, Result};

/// What a measurement has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Output {
    /// A table, with what it needs to be understood.
    Markdown(String),
    Json(String),
    /// It was printed on the way.
    Said,
}

/// Replaces the sections `machine` and `name` of the file.
pub(crate) fn record(path: &Path, name: &str, markdown: &str) -> Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# Results\n".to_owned(),
        Err(error) => return Err(error).doing(|| format!("reading {}", path.display())),
    };
    let day = Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let words: Vec<String> = std::env::args().skip(1).collect();
    let told = format!("{day}, `perf {}`\n\n{markdown}", words.join(" "));
    let text = replaced(&old, "machine", &machine::description());
    write_file(path, &replaced(&text, name, &told))
}

/// The text with the section's content replaced, or the section added at the end.
fn replaced(text: &str, section: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- begin {section} -->"), format!("<!-- end {section} -->"));
    let content = content.trim_end();
    let found = text.find(&begin).and_then(|from| {
        let inside = from + begin.len();
        text[inside..].find(&end).map(|length| (inside, inside + length))
    });
    match found {
        Some((from, to)) => format!("{}\n{content}\n{}", &text[..from], &text[to..]),
        None => {
            format!("{}\n\n## {section}\n\n{begin}\n{content}\n{end}\n", text.trim_end())
        }
    }
}

/// Writes a file whose directory may not exist yet.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).doing(|| format!("making {}", directory.display()))?;
    }
    fs::write(path, text).doing(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_replaced_and_what_stands_around_it_stays() {
        let text =
            "# Results\n\nwords\n\n<!-- begin log -->\nold\n<!-- end log -->\n\nmore words\n";
        let text = replaced(text, "log", "new\n");
        assert_eq!(
            text,
            "# Results\n\nwords\n\n<!-- begin log -->\nnew\n<!-- end log -->\n\nmore words\n"
        );
        assert_eq!(replaced(&text, "log", "new"), text);
    }

    #[test]
    fn a_new_section_comes_last() {
        let text = replaced("# Results\n", "idle", "table");
        assert!(text.ends_with("## idle\n\n<!-- begin idle -->\ntable\n<!-- end idle -->\n"));
    }

    #[test]
    fn a_record_names_the_machine() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("RESULTS.md");
        record(&path, "log", "| a |").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("<!-- begin machine -->") && text.contains("| a |"));
        assert!(text.contains("Linux"));
    }
}
