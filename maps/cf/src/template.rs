//! The parsed form of a value with `$`-expressions, and its printed form.
//!
//! | written                        | is                                                       |
//! |--------------------------------|----------------------------------------------------------|
//! | `$name` `${name}` `$(name)`    | the value of `name`, expanded in turn                    |
//! | `$$`                           | one `$`                                                  |
//! | `${name?text}` `${name?{text}}`| `text` where `name` is not empty                         |
//! | `${name:text}` `${name:{text}}`| `text` where `name` is empty or unknown                  |
//! | `${name?{a}:{b}}`              | either                                                   |
//! | `${{a} == {b} ? {x} : {y}}`    | `x` where the comparison holds, else `y`                 |
//! | `${function{text}}`            | what the function makes of the expanded text             |
//!
//! Comparisons are `== != < <= > >=`, of numbers where both sides are all digits; with the suffix
//! `level` (`<level`) of release levels such as `3.6`. Text may nest all of these. Unlike
//! postfix `src/util/mac_expand.c`, which reads an operand when it is needed, the whole value is read
//! at once, so a mistake in a branch that is rarely taken shows at start.

use std::fmt;

/// How deep `${...}` may nest within one value, and how long a chain of names may get.
pub const NESTING_DEPTH_MAX: usize = 100;

/// A value, ready to be expanded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    pub(crate) parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(Box<str>),
    Value(Box<str>),
    Choice { test: Test, then: Option<Template>, otherwise: Option<Template> },
    Call { function: Box<str>, argument: Template },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Test {
    NotEmpty(Box<str>),
    Compare { left: Template, operator: Operator, by_level: bool, right: Template },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// Longer spellings first: `<=` must not be read as `<`.
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, operator)| *operator == self).map_or("", |(text, _)| text)
    }
}

/// What is wrong with a `$`-expression; the text is the part where it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// `${` or `$(` without its end, or braces inside that do not pair.
    Unclosed(Box<str>),
    /// `$` without a name; `$$` is a plain `$`.
    NoName(Box<str>),
    /// A character that no name has.
    BadName(Box<str>),
    /// No comparison where one must be.
    NoOperator(Box<str>),
    /// No `{text}` where one must be.
    NoOperand(Box<str>),
    /// Text after the end of an expression.
    Unexpected(Box<str>),
    /// Nested deeper than [`NESTING_DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unclosed(at) => write!(f, "no closing bracket for \"{at}\""),
            Self::NoName(at) => {
                write!(f, "no name after \"$\" at \"{at}\" (a plain $ is written $$)")
            }
            Self::BadName(at) => {
                write!(f, "only letters, digits and _ make a name; found \"{at}\"")
            }
            Self::NoOperator(at) => write!(f, "expected == != < <= > or >= at \"{at}\""),
            Self::NoOperand(at) => write!(f, "expected {{text}} at \"{at}\""),
            Self::Unexpected(at) => write!(f, "unexpected \"{at}\" in a ${{...}} expression"),
            Self::TooDeep => write!(f, "${{...}} nested deeper than {NESTING_DEPTH_MAX}"),
        }
    }
}

impl std::error::Error for TemplateError {}

impl Template {
    /// Reads a value.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        template(text, 0)
    }

    /// True where nothing is to be expanded.
    pub fn is_literal(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Literal(_)))
    }

    /// Calls `visit` with every name that the value mentions, in any branch.
    pub fn names<'a>(&'a self, visit: &mut impl FnMut(&'a str)) {
        for part in &self.parts {
            match part {
                Part::Literal(_) => {}
                Part::Value(name) => visit(name),
                Part::Call { argument, .. } => argument.names(visit),
                Part::Choice { test, then, otherwise } => {
                    match test {
                        Test::NotEmpty(name) => visit(name),
                        Test::Compare { left, right, .. } => {
                            left.names(visit);
                            right.names(visit);
                        }
                    }
                    then.iter().chain(otherwise).for_each(|text| text.names(visit));
                }
            }
        }
    }
}

fn template(text: &str, depth: usize) -> Result<Template, TemplateError> {
    if depth > NESTING_DEPTH_MAX {
        return Err(TemplateError::TooDeep);
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        literal.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(after) = after.strip_prefix('$') {
            literal.push('$');
            rest = after;
            continue;
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(std::mem::take(&mut literal).into()));
        }
        rest = match after.bytes().next() {
            Some(open @ (b'{' | b'(')) => {
                let close = if open == b'{' { b'}' } else { b')' };
                let Some(end) = closing(after, open, close) else {
                    return Err(TemplateError::Unclosed(excerpt(&rest[dollar..])));
                };
                parts.push(expression(&after[1..end], depth)?);
                &after[end + 1..]
            }
            _ => {
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                if end == 0 {
                    return Err(TemplateError::NoName(excerpt(&rest[dollar..])));
                }
                parts.push(Part::Value(after[..end].into()));
                &after[end..]
            }
        };
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(Template { parts })
}

/// What stands between the brackets of `${...}`.
fn expression(body: &str, depth: usize) -> Result<Part, TemplateError> {
    let text = body.trim_start_matches(is_space);
    if text.starts_with('{') {
        return comparison(text, depth);
    }
    let end = text.find(|c| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(match text.is_empty() {
            true => TemplateError::NoName("${}".into()),
            false => TemplateError::BadName(excerpt(text)),
        });
    }
    let rest = rest.trim_start_matches(is_space);
    match rest.bytes().next() {
        None => Ok(Part::Value(name.into())),
        Some(b'?' | b':') => {
            let (then, otherwise) = branches(rest, depth)?;
            Ok(Part::Choice { test: Test::NotEmpty(name.into()), then, otherwise })
        }
        Some(b'{') => {
            let (argument, rest) = operand(rest)?;
            if !rest.is_empty() {
                return Err(TemplateError::Unexpected(excerpt(rest)));
            }
            let argument = template(argument.trim_matches(is_space), depth + 1)?;
            Ok(Part::Call { function: name.into(), argument })
        }
        Some(_) => Err(TemplateError::BadName(excerpt(text))),
    }
}

/// `{left} operator {right}`, then the branches. Without any, it stands for `true` or nothing.
fn comparison(text: &str, depth: usize) -> Result<Part, TemplateError> {
    let (left, rest) = operand(text)?;
    let Some((operator, rest)) = Operator::ALL
        .iter()
        .find_map(|(spelling, operator)| Some((*operator, rest.strip_prefix(spelling)?)))
    else {
        return Err(TemplateError::NoOperator(excerpt(rest)));
    };
    let (by_level, rest) = match rest.strip_prefix("level") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let (right, rest) = operand(rest.trim_start_matches(is_space))?;
    let test = Test::Compare {
        left: template(left, depth + 1)?,
        operator,
        by_level,
        right: template(right, depth + 1)?,
    };
    if rest.is_empty() {
        let holds = Template { parts: vec![Part::Literal("true".into())] };
        return Ok(Part::Choice { test, then: Some(holds), otherwise: None });
    }
    let (then, otherwise) = branches(rest, depth)?;
    Ok(Part::Choice { test, then, otherwise })
}

/// `?text`, `:text`, `?{text}:text`. Text without braces reaches to the end, whatever it holds.
fn branches(
    text: &str,
    depth: usize,
) -> Result<(Option<Template>, Option<Template>), TemplateError> {
    let (then, rest) = match text.strip_prefix('?') {
        None => (None, text),
        Some(rest) if !starts_braced(rest) => {
            return Ok((Some(template(rest, depth + 1)?), None));
        }
        Some(rest) => {
            let (then, rest) = operand(rest.trim_start_matches(is_space))?;
            (Some(template(then, depth + 1)?), rest)
        }
    };
    let otherwise = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return Err(TemplateError::Unexpected(excerpt(rest))),
        Some(rest) if !starts_braced(rest) => Some(template(rest, depth + 1)?),
        Some(rest) => {
            let (otherwise, rest) = operand(rest.trim_start_matches(is_space))?;
            if !rest.is_empty() {
                return Err(TemplateError::Unexpected(excerpt(rest)));
            }
            Some(template(otherwise, depth + 1)?)
        }
    };
    Ok((then, otherwise))
}

/// The text in the braces at the start, and what follows them and white space.
fn operand(text: &str) -> Result<(&str, &str), TemplateError> {
    if !text.starts_with('{') {
        return Err(TemplateError::NoOperand(excerpt(text)));
    }
    let end = closing(text, b'{', b'}').ok_or_else(|| TemplateError::Unclosed(excerpt(text)))?;
    Ok((&text[1..end], text[end + 1..].trim_start_matches(is_space)))
}

/// Where the bracket that `text` starts with is closed.
fn closing(text: &str, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    for (at, b) in text.bytes().enumerate() {
        if b == open {
            depth += 1;
        } else if b == close {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

fn starts_braced(text: &str) -> bool {
    text.trim_start_matches(is_space).starts_with('{')
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What Postfix passes over here, which is less than C's `isspace` (`src/util/stringops.h`).
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Enough of the text to find it by.
fn excerpt(text: &str) -> Box<str> {
    const EXCERPT_CHARS_MAX: usize = 40;
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]).into(),
        None => text.into(),
    }
}

/// Prints what [`Template::parse`] reads back as the same value.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| part.fmt(f))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(text) => f.write_str(&text.replace('$', "$$")),
            Self::Value(name) => write!(f, "${{{name}}}"),
            Self::Call { function, argument } => write!(f, "${{{function}{{{argument}}}}}"),
            Self::Choice { test, then, otherwise } => {
                let mut body = match test {
                    Test::NotEmpty(name) => name.to_string(),
                    Test::Compare { left, operator, by_level, right } => {
                        let suffix = if *by_level { "level " } else { " " };
                        format!("{{{left}}} {}{suffix}{{{right}}}", operator.as_str())
                    }
                };
                let mut unpaired = false;
                for (mark, text) in [('?', then), (':', otherwise)] {
                    let Some(text) = text else { continue };
                    let text = text.to_string();
                    body.push(mark);
                    // A brace without its pair can only have come from the last operand of $(...),
                    // and can only be printed there.
                    if closing(&format!("{{{text}}}"), b'{', b'}') == Some(text.len() + 1) {
                        body.push_str(&format!("{{{text}}}"));
                    } else {
                        unpaired = true;
                        body.push_str(&text);
                    }
                }
                if unpaired { write!(f, "$({body})") } else { write!(f, "${{{body}}}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_named_with_the_place() {
        let errors = [
            ("${a", "no closing bracket for \"${a\""),
            ("a $ b", "no name after \"$\" at \"$ b\" (a plain $ is written $$)"),
            ("${}", "no name after \"$\" at \"${}\" (a plain $ is written $$)"),
            ("${a-b}", "only letters, digits and _ make a name; found \"a-b\""),
            ("${{a} = {b}}", "expected == != < <= > or >= at \"= {b}\""),
            ("${{a} == b}", "expected {text} at \"b\""),
            ("${{a} == {b} x}", "unexpected \"x\" in a ${...} expression"),
            ("${a?{b} x}", "unexpected \"x\" in a ${...} expression"),
            ("${a?{b}:{c} x}", "unexpected \"x\" in a ${...} expression"),
            ("${f{a} x}", "unexpected \"x\" in a ${...} expression"),
        ];
        for (text, why) in errors {
            assert_eq!(Template::parse(text).unwrap_err().to_string(), why, "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| "${a?{".repeat(depth) + &"}}".repeat(depth);
        assert!(Template::parse(&nested(NESTING_DEPTH_MAX)).is_ok());
        assert_eq!(Template::parse(&nested(NESTING_DEPTH_MAX + 1)), Err(TemplateError::TooDeep));
        assert_eq!(Template::parse(&nested(10_000)), Err(TemplateError::TooDeep));
    }

    #[test]
    fn every_name_is_visited_in_every_branch() {
        let value = Template::parse("$a ${b?{$c}:{${{$d} == {${e:f}} ? {$g} : x}}} $$h").unwrap();
        let mut names = Vec::new();
        value.names(&mut |name| names.push(name));
        assert_eq!(names, ["a", "b", "c", "d", "e", "g"]);
    }

    proptest! {
        #[test]
        fn what_was_parsed_prints_as_itself(
            text in "(\\$|\\{|\\}|\\(|\\)|\\?|:|a|b_1| |==|<level|<=|\\$\\{|\\$\\(|\\$\\{a\\?\\{|\\}\\}|\\$\\{\\{){0,24}",
        ) {
            if let Ok(first) = Template::parse(&text) {
                let printed = first.to_string();
                prop_assert_eq!(Template::parse(&printed), Ok(first), "{}", printed);
            }
        }
    }
}
