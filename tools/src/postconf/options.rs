//! The options of postconf, and which go together (postfix `src/postconf/postconf.c`).

use std::ffi::OsString;

/// What is wanted: one bit for each option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mode(u32);

macro_rules! modes {
    ($($name:ident = $bit:literal $option:literal,)+) => {
        impl Mode {
            $( pub(crate) const $name: Self = Self(1 << $bit); )+
            /// In the order in which messages list them.
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, $option)),+];
        }
    };
}

modes! {
    SASL_SERVER = 0 "-a",
    SASL_CLIENT = 1 "-A",
    BOUNCE_EXPANDED = 2 "-b",
    CLASS = 3 "-C",
    DEFAULTS = 4 "-d",
    EDIT = 5 "-e",
    FOLD = 6 "-f",
    FIELDS = 7 "-F",
    NO_NAME = 8 "-h",
    NO_VALUE = 9 "-H",
    JSON = 10 "-j",
    LOCKS = 11 "-l",
    MAPS = 12 "-m",
    ENTRIES = 13 "-M",
    SET = 14 "-n",
    OVERRIDE = 15 "-o",
    MAIN = 16 "-p",
    PARAMETERS = 17 "-P",
    BOUNCE_RAW = 18 "-t",
    TLS = 19 "-T",
    EXPAND = 20 "-x",
    EXCLUDE = 21 "-X",
    COMMENT_OUT = 22 "-#",
    ALL_PARAMETERS = 23 "-PP",
}

impl std::ops::BitOr for Mode {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl Mode {
    /// Whether any of these is wanted.
    pub(crate) const fn has(self, any: Self) -> bool {
        self.0 & any.0 != 0
    }

    fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    fn names(self) -> Vec<&'static str> {
        let known = Self::NAMES.iter().filter(|(mode, _)| self.has(*mode));
        known.map(|(_, name)| *name).collect()
    }
}

/// Any edit.
pub(crate) const EDITS: Mode = Mode(Mode::EDIT.0 | Mode::EXCLUDE.0 | Mode::COMMENT_OUT.0);
/// Anything about master.cf.
pub(crate) const MASTER: Mode = Mode(Mode::ENTRIES.0 | Mode::FIELDS.0 | Mode::PARAMETERS.0);

/// Of each of these, one at most.
fn exclusive() -> [Mode; 7] {
    type M = Mode;
    [
        M::SASL_SERVER
            | M::SASL_CLIENT
            | M::BOUNCE_EXPANDED
            | M::LOCKS
            | M::MAPS
            | M::BOUNCE_RAW
            | M::MAIN
            | MASTER
            | M::TLS,
        M::ALL_PARAMETERS | EDITS,
        M::DEFAULTS | M::SET | EDITS,
        M::FOLD | EDITS,
        M::EXPAND | EDITS,
        M::OVERRIDE | M::DEFAULTS | EDITS,
        M::NO_NAME | M::NO_VALUE | EDITS,
    ]
}

/// With the first, none but the second.
fn compatible() -> [(Mode, Mode); 14] {
    type M = Mode;
    let none = Mode::default();
    let shown = M::FOLD | M::NO_NAME | M::OVERRIDE | M::EXPAND | M::NO_VALUE | M::JSON;
    [
        (M::SASL_SERVER, none),
        (M::SASL_CLIENT, none),
        (M::BOUNCE_EXPANDED, none),
        (M::LOCKS, none),
        (M::MAPS, none),
        (M::TLS, none),
        (M::BOUNCE_RAW, none),
        (M::MAIN, shown | EDITS | M::CLASS | M::DEFAULTS | M::SET),
        (M::ENTRIES, EDITS | M::FOLD | M::OVERRIDE | M::EXPAND | M::JSON),
        (M::FIELDS, shown | M::EDIT),
        (M::PARAMETERS, shown | M::EDIT | M::EXCLUDE | M::ALL_PARAMETERS),
        (M::ALL_PARAMETERS, shown | M::PARAMETERS),
        (
            M::JSON,
            M::MAIN | MASTER | M::ALL_PARAMETERS | M::OVERRIDE | M::EXPAND | M::SET | M::DEFAULTS,
        ),
        (M::CLASS, M::MAIN | M::DEFAULTS | M::SET),
    ]
}

/// Which parameters are listed: `-C`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Classes {
    pub(crate) builtin: bool,
    pub(crate) service: bool,
    pub(crate) user: bool,
}

const ALL: Classes = Classes { builtin: true, service: true, user: true };

/// A command line, understood.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) config: Option<String>,
    pub(crate) classes: Classes,
    pub(crate) overrides: Vec<String>,
    pub(crate) tls: String,
    /// `-q`: no warnings about names that are unused or old.
    pub(crate) quiet: bool,
    pub(crate) arguments: Vec<String>,
}

/// What there is to do instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Instead {
    /// `--help`, `--version`
    Print(String),
    /// Lines for standard error, the last of them fatal.
    Fail(Vec<String>),
}

fn fatal(text: impl Into<String>) -> Instead {
    Instead::Fail(vec![format!("fatal: {}", text.into())])
}

const USAGE: &str = "usage: postconf [-a (server SASL types)] [-A (client SASL types)] \
    [-b (bounce templates)] [-c config_dir] [-c param_class] [-d (parameter defaults)] \
    [-e (edit configuration)] [-f (fold lines)] [-F (master.cf fields)] [-h (no names)] \
    [-H (no values)] [-j (streaming JSON) ] [-l (lock types)] [-m (map types)] [-M (master.cf)] \
    [-n (non-default parameters)] [-o name=value (override parameter value)] [-p (main.cf, default)] \
    [-P (master.cf parameters)] [-t (bounce templates)] \
    [-T compile-version|run-version|public-key-algorithms] [-v (verbose)] \
    [-x (expand parameter values)] [-X (exclude)] [-# (comment-out)] [name...]";

const HELP: &str = "\
Shows the configuration, and edits it.

Usage: postconf [options] [NAME...]                 parameters of main.cf
       postconf -e NAME=VALUE...                    set them
       postconf -X NAME... | -# NAME...             remove them, or comment them out
       postconf -M|-F|-P [options] [SERVICE/TYPE[/WHAT]...]   master.cf: entries, fields, -o parameters

  -c DIR        read the configuration in DIR (or MAIL_CONFIG)
  -d            defaults instead of what is set
  -n            only what is set
  -x            with every $name replaced by what it stands for
  -C CLASS      only builtin, service or user parameters, or all
  -f            fold long lines
  -h, -H        without names, without values
  -j            one JSON object a line
  -o NAME=VALUE  as if main.cf said so
  -e, -X, -#    edit main.cf, with -M, -F and -P master.cf
  -b [FILE], -t [FILE]  bounce templates, expanded and as they are
  -m, -l, -a, -A, -T WHAT  types of tables, locks, SASL and what is known of TLS
  -q            without warnings
  -v            accepted
  --help, --version

The manual page, postconf(1), has more.";

impl Options {
    /// Reads letters as getopt does: options may be joined, and end at the first argument or at `--`.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Instead> {
        let mut arguments = arguments
            .into_iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .peekable();
        let mut options = Self {
            mode: Mode::default(),
            config: None,
            classes: ALL,
            overrides: Vec::new(),
            tls: String::new(),
            quiet: false,
            arguments: Vec::new(),
        };
        while let Some(word) =
            arguments.next_if(|argument| argument.starts_with('-') && argument != "-")
        {
            match word.as_str() {
                "--" => break,
                "--help" => return Err(Instead::Print(HELP.to_owned())),
                "--version" => {
                    let version = env!("CARGO_PKG_VERSION");
                    return Err(Instead::Print(format!("postconf (ringpost) {version}")));
                }
                _ => {}
            }
            for (at, letter) in word[1..].char_indices() {
                if !"cCoT".contains(letter) {
                    options.letter(letter)?;
                    continue;
                }
                let rest = &word[1 + at + 1..];
                let value = if rest.is_empty() { arguments.next() } else { Some(rest.to_owned()) };
                let value = value.ok_or_else(|| {
                    let missing = format!("option requires an argument -- '{letter}'");
                    Instead::Fail(vec![missing, format!("fatal: {USAGE}")])
                })?;
                options.value(letter, value)?;
                break;
            }
        }
        options.arguments = arguments.collect();
        options.finish()
    }

    fn letter(&mut self, letter: char) -> Result<(), Instead> {
        let bounces = Mode::BOUNCE_EXPANDED | Mode::BOUNCE_RAW;
        self.mode.add(match letter {
            'a' => Mode::SASL_SERVER,
            'A' => Mode::SASL_CLIENT,
            'b' | 't' if self.mode.has(bounces) => return Err(fatal("specify one of -b and -t")),
            'b' => Mode::BOUNCE_EXPANDED,
            't' => Mode::BOUNCE_RAW,
            'd' => Mode::DEFAULTS,
            'e' => Mode::EDIT,
            'f' => Mode::FOLD,
            'F' => Mode::FIELDS,
            '#' => Mode::COMMENT_OUT,
            'h' => Mode::NO_NAME,
            'H' => Mode::NO_VALUE,
            'j' => Mode::JSON,
            'l' => Mode::LOCKS,
            'm' => Mode::MAPS,
            'M' => Mode::ENTRIES,
            'n' => Mode::SET,
            'p' => Mode::MAIN,
            'P' if self.mode.has(Mode::PARAMETERS) => Mode::ALL_PARAMETERS,
            'P' => Mode::PARAMETERS,
            'x' => Mode::EXPAND,
            'X' => Mode::EXCLUDE,
            'q' => {
                self.quiet = true;
                return Ok(());
            }
            'v' => return Ok(()),
            other => {
                let invalid = format!("invalid option -- '{other}'");
                return Err(Instead::Fail(vec![invalid, format!("fatal: {USAGE}")]));
            }
        });
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), Instead> {
        match letter {
            'c' => self.config = Some(value),
            'C' => {
                let mut classes = Classes { builtin: false, service: false, user: false };
                for name in value.split([',', ' ', '\t']).filter(|name| !name.is_empty()) {
                    match name.to_ascii_lowercase().as_str() {
                        "builtin" => classes.builtin = true,
                        "service" => classes.service = true,
                        "user" => classes.user = true,
                        "all" => classes = ALL,
                        _ => {
                            return Err(fatal(format!(
                                "unknown -C option value \"{name}\" in \"{value}\""
                            )));
                        }
                    }
                }
                self.classes = classes;
            }
            'o' => {
                self.mode.add(Mode::OVERRIDE);
                self.overrides.push(value);
            }
            _ if self.mode.has(Mode::TLS) => {
                return Err(fatal("At most one -T <mode> option may be specified"));
            }
            _ => {
                self.mode.add(Mode::TLS);
                self.tls = value;
            }
        }
        Ok(())
    }

    /// Makes all explicit that options imply, and sees whether they go together.
    fn finish(mut self) -> Result<Self, Instead> {
        let exclusive = exclusive();
        if !self.mode.has(exclusive[0]) {
            self.mode.add(Mode::MAIN);
        }
        let first_is_definition = self.arguments.first().is_some_and(|first| first.contains('='));
        if self.mode.has(Mode::MAIN | MASTER) && first_is_definition {
            self.mode.add(Mode::EDIT);
        }
        for set in exclusive {
            let found = Mode(self.mode.0 & set.0);
            if found.0.count_ones() > 1 {
                return Err(fatal(format!("specify one of {}", found.names().join(", "))));
            }
        }
        for (option, others) in compatible() {
            let excess = self.mode.without(option | others);
            if self.mode.has(option) && excess != Mode::default() {
                let [option, excess] = [option, excess].map(|mode| mode.names().join(", "));
                let text = format!("with option {option}, do not specify {excess}");
                return Err(fatal(text));
            }
        }
        if self.mode.has(Mode::EDIT) && self.arguments.is_empty() {
            return Err(fatal("-e requires name=value argument"));
        }
        if self.mode.has(EDITS) && self.arguments.is_empty() {
            return Err(fatal("missing service argument"));
        }
        if self.mode.has(Mode::BOUNCE_EXPANDED | Mode::BOUNCE_RAW) && self.arguments.len() > 1 {
            return Err(fatal("options -b and -t require at most one template file"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        let words = line.split(' ').filter(|word| !word.is_empty()).map(OsString::from);
        Options::parse(words).map_err(|instead| match instead {
            Instead::Print(text) => text,
            Instead::Fail(lines) => lines.join("\n"),
        })
    }

    #[test]
    fn options_are_joined_and_take_their_values_as_getopt_does() {
        let options = parse("-nhfc/etc/x -o a=b -ob=c -C user,service name -d").unwrap();
        assert_eq!(options.mode.names(), ["-f", "-h", "-n", "-o", "-p"]);
        assert_eq!(options.config.as_deref(), Some("/etc/x"));
        assert_eq!(options.overrides, ["a=b", "b=c"]);
        assert_eq!(options.classes, Classes { builtin: false, service: true, user: true });
        assert_eq!(options.arguments, ["name", "-d"]);
        assert_eq!(parse("-PP").unwrap().mode.names(), ["-P", "-PP"]);
        assert_eq!(parse("a=b").unwrap().mode.names(), ["-e", "-p"]);
        assert_eq!(parse("-M# a/b").unwrap().mode.names(), ["-M", "-#"]);
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_postfixs_words() {
        for (line, said) in [
            ("-n -e a=b", "fatal: specify one of -e, -n"),
            ("-M -n", "fatal: with option -M, do not specify -n"),
            ("-m -l", "fatal: specify one of -l, -m"),
            ("-bt", "fatal: specify one of -b and -t"),
            ("-F# x/y/z", "fatal: with option -F, do not specify -#"),
            ("-e", "fatal: -e requires name=value argument"),
            ("-X", "fatal: missing service argument"),
            ("-b x y", "fatal: options -b and -t require at most one template file"),
            ("-Cx", "fatal: unknown -C option value \"x\" in \"x\""),
        ] {
            assert_eq!(parse(line).unwrap_err(), said, "{line}");
        }
        assert!(
            parse("-y").unwrap_err().starts_with("invalid option -- 'y'\nfatal: usage: postconf")
        );
        assert!(parse("-c").unwrap_err().starts_with("option requires an argument -- 'c'\n"));
    }
}
