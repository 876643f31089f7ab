//! Expansion: what a value with `$`-expressions comes to.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use crate::template::{NESTING_DEPTH_MAX, Operator, Part, Template, TemplateError, Test};

/// Bytes that one value may expand to.
pub const EXPANSION_BYTES_MAX: usize = 4 << 20;

/// Names that one expansion may look up. `a = $b$b`, `b = $c$c` and so on doubles at each line.
pub const EXPANSION_STEPS_MAX: usize = 10_000;

/// What names stand for while a value is expanded.
pub trait Scope {
    /// The unexpanded value of a name; `None` where there is no such name, which counts as empty.
    fn value(&self, name: &str) -> Option<Cow<'_, str>>;

    /// Applies `${function{argument}}`; `None` where there is no such function, the error is what is
    /// wrong with the argument.
    fn call(&self, function: &str, argument: &str) -> Option<Result<String, String>>;
}

/// A scope of plain pairs without functions, for tests and tools.
#[derive(Clone, Copy, Debug)]
pub struct NoFunctions<'a>(pub &'a [(&'a str, &'a str)]);

impl Scope for NoFunctions<'_> {
    fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn call(&self, _: &str, _: &str) -> Option<Result<String, String>> {
        None
    }
}

/// Why a value has no expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExpandError {
    /// A name that needs itself; the chain ends with the name it starts with.
    Loop(Vec<Box<str>>),
    /// The value of this name cannot be read.
    Template {
        /// Whose value.
        name: Box<str>,
        /// What is wrong with it.
        error: TemplateError,
    },
    /// No such function.
    NoFunction(Box<str>),
    /// The function refused its argument.
    Function {
        /// Which.
        function: Box<str>,
        /// Why.
        cause: String,
    },
    /// No release level, but compared as one.
    BadLevel(Box<str>),
    /// More than [`EXPANSION_BYTES_MAX`], or more than [`EXPANSION_STEPS_MAX`] names.
    TooLarge,
    /// Names and expressions within each other, more than [`NESTING_DEPTH_MAX`].
    TooDeep,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop(chain) => write!(f, "needs itself: {}", chain.join(" -> ")),
            Self::Template { name, error } => write!(f, "in the value of {name}: {error}"),
            Self::NoFunction(name) => write!(f, "there is no function \"{name}\""),
            Self::Function { function, cause } => write!(f, "${{{function}{{...}}}}: {cause}"),
            Self::BadLevel(text) => {
                write!(f, "\"{text}\" is no release such as 3.6, and cannot be compared with one")
            }
            Self::TooLarge => write!(
                f,
                "expands to more than {EXPANSION_BYTES_MAX} bytes or {EXPANSION_STEPS_MAX} names"
            ),
            Self::TooDeep => {
                write!(
                    f,
                    "names and expressions stand within each other more than {NESTING_DEPTH_MAX} deep"
                )
            }
        }
    }
}

impl std::error::Error for ExpandError {}

impl Template {
    /// What the value of `name` comes to. `name` is where a loop would come back to.
    pub fn expand(&self, name: &str, scope: &dyn Scope) -> Result<String, ExpandError> {
        let mut run =
            Run { scope, chain: vec![name.into()], out: String::new(), steps: 0, depth: 0 };
        run.template(self)?;
        Ok(run.out)
    }
}

struct Run<'a> {
    scope: &'a dyn Scope,
    chain: Vec<Box<str>>,
    out: String,
    steps: usize,
    /// Templates that are being expanded, each within the one before.
    depth: usize,
}

impl Run<'_> {
    /// Postfix counts names and expressions together, too (`src/util/mac_expand.c`). What is deeper
    /// could use up the stack.
    fn template(&mut self, template: &Template) -> Result<(), ExpandError> {
        if self.depth > NESTING_DEPTH_MAX {
            return Err(ExpandError::TooDeep);
        }
        self.depth += 1;
        template.parts.iter().try_for_each(|part| self.part(part))?;
        self.depth -= 1;
        Ok(())
    }

    fn part(&mut self, part: &Part) -> Result<(), ExpandError> {
        match part {
            Part::Literal(text) => self.push(text),
            Part::Value(name) => self.value(name),
            Part::Call { function, argument } => {
                let argument = self.apart(|run| run.template(argument))?;
                match self.scope.call(function, &argument) {
                    Some(Ok(text)) => self.push(&text),
                    Some(Err(cause)) => {
                        Err(ExpandError::Function { function: function.clone(), cause })
                    }
                    None => Err(ExpandError::NoFunction(function.clone())),
                }
            }
            Part::Choice { test, then, otherwise } => {
                let branch = if self.holds(test)? { then } else { otherwise };
                branch.as_ref().map_or(Ok(()), |text| self.template(text))
            }
        }
    }

    fn holds(&mut self, test: &Test) -> Result<bool, ExpandError> {
        match test {
            // Postfix looks at the value as it is written: a name whose value expands to nothing is
            // not empty (src/util/mac_expand.c).
            Test::NotEmpty(name) => {
                self.step()?;
                Ok(self.scope.value(name).is_some_and(|value| !value.is_empty()))
            }
            Test::Compare { left, operator, by_level, right } => {
                let left = self.apart(|run| run.template(left))?;
                let right = self.apart(|run| run.template(right))?;
                let order = if *by_level {
                    level(&left)?.cmp(&level(&right)?)
                } else {
                    plainly(&left, &right)
                };
                Ok(match operator {
                    Operator::Equal => order == Ordering::Equal,
                    Operator::NotEqual => order != Ordering::Equal,
                    Operator::Less => order == Ordering::Less,
                    Operator::LessOrEqual => order != Ordering::Greater,
                    Operator::Greater => order == Ordering::Greater,
                    Operator::GreaterOrEqual => order != Ordering::Less,
                })
            }
        }
    }

    fn value(&mut self, name: &str) -> Result<(), ExpandError> {
        self.step()?;
        let scope = self.scope;
        let Some(value) = scope.value(name) else { return Ok(()) };
        if !value.contains('$') {
            return self.push(&value);
        }
        self.chain.push(name.into());
        if let Some(start) =
            self.chain[..self.chain.len() - 1].iter().position(|link| **link == *name)
        {
            return Err(ExpandError::Loop(self.chain.split_off(start)));
        }
        let template = Template::parse(&value)
            .map_err(|error| ExpandError::Template { name: name.into(), error })?;
        self.template(&template)?;
        self.chain.pop();
        Ok(())
    }

    /// Runs `fill` with an output of its own and returns it.
    fn apart(
        &mut self,
        fill: impl FnOnce(&mut Self) -> Result<(), ExpandError>,
    ) -> Result<String, ExpandError> {
        let outer = std::mem::take(&mut self.out);
        fill(self)?;
        Ok(std::mem::replace(&mut self.out, outer))
    }

    fn push(&mut self, text: &str) -> Result<(), ExpandError> {
        if self.out.len() + text.len() > EXPANSION_BYTES_MAX {
            return Err(ExpandError::TooLarge);
        }
        self.out.push_str(text);
        Ok(())
    }

    fn step(&mut self) -> Result<(), ExpandError> {
        self.steps += 1;
        if self.steps > EXPANSION_STEPS_MAX { Err(ExpandError::TooLarge) } else { Ok(()) }
    }
}

/// As numbers where both are all digits, else byte by byte.
fn plainly(left: &str, right: &str) -> Ordering {
    let number = |text: &str| {
        (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
            .then(|| text.trim_start_matches('0').to_owned())
    };
    match (number(left), number(right)) {
        // Without leading zeros the longer number is the greater; no width is too wide.
        (Some(left), Some(right)) => left.len().cmp(&right.len()).then(left.cmp(&right)),
        _ => left.cmp(right),
    }
}

/// A release level: `major.minor.patch`, missing ones count 0 (postfix `src/global/compat_level.c`).
fn level(text: &str) -> Result<[u64; 3], ExpandError> {
    let bad = || ExpandError::BadLevel(text.into());
    let mut level = [0; 3];
    for (place, part) in text.trim_ascii().split('.').enumerate() {
        let all_digits = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let number = part.parse().ok().filter(|_| all_digits).ok_or_else(bad)?;
        *level.get_mut(place).ok_or_else(bad)? = number;
    }
    Ok(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[(&str, &str)] = &[
        ("myhostname", "mx.example.com"),
        ("mydomain", "example.com"),
        ("indirect", "<$myhostname>"),
        ("empty", ""),
        ("empty_in_the_end", "$empty"),
        ("level", "3.6"),
        ("a", "x$b"),
        ("b", "${c}"),
        ("c", "$a"),
        ("bad", "${"),
        ("cost", "$$5"),
    ];

    fn expanded(text: &str) -> Result<String, String> {
        let template = Template::parse(text).map_err(|error| error.to_string())?;
        template.expand("this", &NoFunctions(NAMES)).map_err(|error| error.to_string())
    }

    #[test]
    fn a_loop_is_told_with_its_chain() {
        assert_eq!(expanded("$a").unwrap_err(), "needs itself: a -> b -> c -> a");
        assert_eq!(
            Template::parse("$this").unwrap().expand("this", &NoFunctions(&[("this", "$this")])),
            Err(ExpandError::Loop(vec!["this".into(), "this".into()]))
        );
    }

    #[test]
    fn a_name_may_come_twice_without_being_a_loop() {
        assert_eq!(expanded("$indirect$indirect").unwrap().len(), 32);
    }

    #[test]
    fn the_value_with_the_mistake_is_named() {
        assert_eq!(
            expanded("x $bad").unwrap_err(),
            "in the value of bad: no closing bracket for \"${\""
        );
        assert_eq!(expanded("${f{x}}").unwrap_err(), "there is no function \"f\"");
    }

    #[test]
    fn values_that_double_at_each_step_end_at_the_limit() {
        let names: Vec<(String, String)> =
            (0..60).map(|n| (format!("n{n}"), format!("$n{}$n{}", n + 1, n + 1))).collect();
        let mut names: Vec<(&str, &str)> = names.iter().map(|(a, b)| (&**a, &**b)).collect();
        let bomb = Template::parse("$n0").unwrap();
        assert_eq!(bomb.expand("bomb", &NoFunctions(&names)), Err(ExpandError::TooLarge));
        let long = "x".repeat(EXPANSION_BYTES_MAX / 2 + 1);
        names.push(("long", &long));
        let twice = Template::parse("$long$long").unwrap();
        assert_eq!(twice.expand("twice", &NoFunctions(&names)), Err(ExpandError::TooLarge));
    }

    #[test]
    fn a_chain_of_names_has_a_limit() {
        let names: Vec<(String, String)> =
            (0..200).map(|n| (format!("n{n}"), format!("$n{}", n + 1))).collect();
        let names: Vec<(&str, &str)> = names.iter().map(|(a, b)| (&**a, &**b)).collect();
        let value = Template::parse("$n0").unwrap();
        assert_eq!(value.expand("deep", &NoFunctions(&names)), Err(ExpandError::TooDeep));
    }

    #[test]
    fn names_and_expressions_within_each_other_have_one_limit() {
        // Each link alone is well within it.
        let link = |n: usize| format!("{}$n{}{}", "${x?{".repeat(90), n + 1, "}}".repeat(90));
        let names: Vec<(String, String)> = (0..90).map(|n| (format!("n{n}"), link(n))).collect();
        let mut names: Vec<(&str, &str)> = names.iter().map(|(a, b)| (&**a, &**b)).collect();
        names.push(("x", "1"));
        let value = Template::parse("$n0").unwrap();
        assert_eq!(value.expand("deep", &NoFunctions(&names)), Err(ExpandError::TooDeep));
    }
}
