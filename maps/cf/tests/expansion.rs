//! Every form of expansion, from the table in `expansion.txt`.

use std::borrow::Cow;

use cf::{Scope, Template};

const TABLE: &str = include_str!("expansion.txt");

/// The names that the table begins with, and a function.
struct Names(cf::Definitions);

impl Scope for Names {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.last(name).map(|definition| Cow::Borrowed(&*definition.value))
    }

    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>> {
        (function == "reverse").then(|| match argument {
            "refused" => Err("there is no other way round".to_owned()),
            _ => Ok(argument.chars().rev().collect()),
        })
    }
}

fn expanded(text: &str, scope: &Names) -> Result<String, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    template.expand("this", scope).map_err(|error| error.to_string())
}

#[test]
fn every_form_expands_as_the_table_says() {
    let (names, expressions) = TABLE.split_once("\n# Names:").expect("two parts");
    let names = Names(cf::parse("expansion.txt", names.as_bytes()));
    assert_eq!(names.0.problems, []);
    let mut count = 0;
    for line in
        expressions.lines().skip(1).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (at, expected) = ["=>", "!!"]
            .iter()
            .filter_map(|mark| Some((line.rfind(&format!(" {mark}"))?, *mark)))
            .max()
            .unwrap_or_else(|| panic!("no => and no !! in {line}"));
        let text = line[..at].trim_end();
        let answer = line[at + 3..].trim_start_matches('~').trim_start();
        let wanted = match expected {
            "=>" => Ok(answer.trim_matches('"').to_owned()),
            _ => Err(answer.to_owned()),
        };
        assert_eq!(expanded(text, &names), wanted, "{text}");
        count += 1;
    }
    assert!(count > 100, "{count} expressions");
}
