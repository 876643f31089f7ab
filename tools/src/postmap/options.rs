//! The options of postmap and postalias: Postfix's, with its rules of what goes together.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Args, Parser};

/// Which of the two commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Postmap,
    Postalias,
}

impl Program {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Postmap => "postmap",
            Self::Postalias => "postalias",
        }
    }

    /// What is printed between a key and its value.
    pub(crate) fn separator(self) -> &'static str {
        match self {
            Self::Postmap => "\t",
            Self::Postalias => ":\t",
        }
    }

    /// Postfix's, which has forgotten its -j.
    fn usage(self) -> &'static str {
        match self {
            Self::Postmap => {
                "usage: postmap [-bfFhimnNoprsuUvw] [-c config_dir] [-d key] [-q key] \
                 [map_type:]file..."
            }
            Self::Postalias => {
                "usage: postalias [-Nfinoprsuvw] [-c config_dir] [-d key] [-q key] \
                 [map_type:]file..."
            }
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Make the tables from their sources.
    Build,
    /// `-i`: add entries from standard input.
    Update,
    /// `-d key`
    Delete(Keys),
    /// `-q key`
    Query(Keys),
    /// `-s`
    List,
}

/// One key, or all that standard input has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    One(String),
    Input,
}

impl From<String> for Keys {
    fn from(key: String) -> Self {
        if key == "-" { Self::Input } else { Self::One(key) }
    }
}

/// What is done about an entry for a key that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// The one before counts, and a warning is printed.
    Warn,
    /// `-w`: the one before counts.
    Ignore,
    /// `-r`: the new one counts.
    Replace,
}

/// `-b`, `-h` and `-m`: standard input is a message, and its lines are the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageKeys {
    pub(crate) header: bool,
    pub(crate) body: bool,
    pub(crate) mime: bool,
}

/// A command line that makes sense.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) task: Task,
    pub(crate) known: Known,
    /// Keys are folded to lower case.
    pub(crate) fold: bool,
    /// `-F`: values are files.
    pub(crate) files: bool,
    /// Root takes on the rights of a source's owner.
    pub(crate) as_owner: bool,
    /// New files get the permissions of their sources.
    pub(crate) save_permissions: bool,
    pub(crate) message: Option<MessageKeys>,
    pub(crate) json: bool,
    pub(crate) verbose: bool,
    /// `-c`
    pub(crate) config: Option<PathBuf>,
    /// `type:name` or `name`.
    pub(crate) tables: Vec<String>,
    /// What has no meaning here and is worth a word.
    pub(crate) warnings: Vec<&'static str>,
}

/// Why there are no options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// `--help` was asked for; this is it.
    Help(String),
    /// The command line is wrong: a line before, if there is one, and the fatal one.
    Usage(Option<String>, String),
}

/// What both commands have.
#[derive(Debug, Args)]
struct Common {
    /// Read DIR/main.cf for the default table type
    #[arg(short = 'c', value_name = "DIR", env = "MAIL_CONFIG")]
    config: Option<PathBuf>,
    /// Remove KEY from each table, or with "-" the keys that standard input has. Exit code 0 if one was
    /// there
    #[arg(short = 'd', value_name = "KEY", allow_hyphen_values = true, action = ArgAction::Append)]
    delete: Vec<String>,
    /// Look KEY up as it is and print the first value found, or with "-" each key of standard input and its
    /// value. Exit code 0 if one was found
    #[arg(short = 'q', value_name = "KEY", allow_hyphen_values = true, action = ArgAction::Append)]
    query: Vec<String>,
    /// Print all entries of the first table, in its own order
    #[arg(short = 's', action = ArgAction::Count)]
    list: u8,
    /// Add entries from standard input to the tables, and make those that are not there
    #[arg(short = 'i', action = ArgAction::Count)]
    update: u8,
    /// Replace the entries of keys that are there, without a warning
    #[arg(short = 'r', overrides_with = "ignore")]
    replace: bool,
    /// Leave the entries of keys that are there, without a warning
    #[arg(short = 'w', overrides_with = "replace")]
    ignore: bool,
    /// Do not fold keys to lower case
    #[arg(short = 'f')]
    unfolded: bool,
    /// Print JSON, one object a line (with -q and -s)
    #[arg(short = 'j')]
    json: bool,
    /// As root, do not take on the rights of a source's owner
    #[arg(short = 'o')]
    as_root: bool,
    /// Make files with mode 0644, whatever the mode of their sources
    #[arg(short = 'p')]
    permissions: bool,
    /// Accepted: lines that are not UTF-8 are left out in any case
    #[arg(short = 'u')]
    no_utf8: bool,
    /// Accepted: tables have no trailing null bytes
    #[arg(short = 'n')]
    no_null: bool,
    /// Accepted: tables have no trailing null bytes
    #[arg(short = 'N')]
    null: bool,
    /// Say which tables are opened
    #[arg(short = 'v', action = ArgAction::Count)]
    verbose: u8,
    /// Print this
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
    /// A table's source, with the type of the table in front unless it is default_database_type
    #[arg(value_name = "[TYPE:]FILE", trailing_var_arg = true)]
    tables: Vec<String>,
}

/// Makes lookup tables from texts of the form "key value", and looks things up in tables of any type.
#[derive(Debug, Parser)]
#[command(name = "postmap", disable_help_flag = true, args_override_self = true)]
struct Postmap {
    #[command(flatten)]
    common: Common,
    /// With "-q -": standard input is a message; look up each line of its body
    #[arg(short = 'b')]
    body: bool,
    /// With "-q -": standard input is a message; look up each header
    #[arg(short = 'h')]
    header: bool,
    /// With -b and -h: look into attachments
    #[arg(short = 'm')]
    mime: bool,
    /// Values are names of files; store their content, in base64. When printing, decode it
    #[arg(short = 'F')]
    files: bool,
    /// Accepted: see -u
    #[arg(short = 'U')]
    force_utf8: bool,
}

/// Makes alias tables from texts of the form "name: value", and looks names up in them.
#[derive(Debug, Parser)]
#[command(name = "postalias", disable_help_flag = true, args_override_self = true)]
struct Postalias {
    #[command(flatten)]
    common: Common,
}

impl Options {
    /// Nothing but making these tables.
    pub(crate) fn to_build(config: Option<PathBuf>, tables: Vec<String>) -> Self {
        Self {
            task: Task::Build,
            known: Known::Warn,
            fold: true,
            files: false,
            as_owner: true,
            save_permissions: true,
            message: None,
            json: false,
            verbose: false,
            config,
            tables,
            warnings: Vec::new(),
        }
    }

    /// Reads a command line without the program's name.
    pub(crate) fn parse(
        program: Program,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, Refusal> {
        let arguments = std::iter::once(OsString::from(program.name())).chain(arguments);
        let refuse = |error| refusal(program, &error);
        let (common, files, message) = match program {
            Program::Postmap => {
                let it = Postmap::try_parse_from(arguments).map_err(refuse)?;
                let message = MessageKeys { header: it.header, body: it.body, mime: it.mime };
                (it.common, it.files, message)
            }
            Program::Postalias => {
                let it = Postalias::try_parse_from(arguments).map_err(refuse)?;
                (it.common, false, MessageKeys::default())
            }
        };
        let fatal = |text: &str| Err(Refusal::Usage(None, text.to_owned()));
        let counts = [usize::from(common.list), usize::from(common.update)];
        if counts.iter().sum::<usize>() + common.query.len() + common.delete.len() > 1 {
            return fatal("specify only one of -d -i -q or -s");
        }
        let (query, delete) = (common.query.into_iter().next(), common.delete.into_iter().next());
        let task = match (query, delete) {
            (Some(key), _) => Task::Query(key.into()),
            (_, Some(key)) => Task::Delete(key.into()),
            _ if common.list > 0 => Task::List,
            _ if common.update > 0 => Task::Update,
            _ => Task::Build,
        };
        if common.json && !matches!(task, Task::Query(_) | Task::List) {
            return fatal("option -j requires -q or -s");
        }
        let mut warnings = Vec::new();
        if message != MessageKeys::default() {
            if task != Task::Query(Keys::Input) {
                return fatal("specify -b -h or -m only with \"-q -\"");
            }
            if !message.header && !message.body {
                warnings.push("ignoring -m option without -b or -h");
            }
        }
        // Postfix's -s without a table just fails.
        if common.tables.is_empty() && task != Task::List {
            return fatal(program.usage());
        }
        let known = match (common.replace, common.ignore) {
            (true, _) => Known::Replace,
            (_, true) => Known::Ignore,
            _ => Known::Warn,
        };
        Ok(Self {
            task,
            known,
            fold: !common.unfolded,
            files,
            as_owner: !common.as_root,
            save_permissions: !common.permissions,
            message: (message.header || message.body).then_some(message),
            json: common.json,
            verbose: common.verbose > 0 || std::env::var_os("MAIL_VERBOSE").is_some(),
            warnings,
            ..Self::to_build(common.config, common.tables)
        })
    }
}

/// An error of clap in the words of getopt and Postfix.
fn refusal(program: Program, error: &clap::Error) -> Refusal {
    if error.kind() == ErrorKind::DisplayHelp {
        return Refusal::Help(error.to_string());
    }
    let option = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(option)) => option.trim_start_matches('-'),
        _ => "",
    };
    let before = match error.kind() {
        ErrorKind::UnknownArgument => Some(format!("invalid option -- '{option}'")),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::NoEquals => {
            let letter = option.chars().next().unwrap_or(' ');
            Some(format!("option requires an argument -- '{letter}'"))
        }
        _ => None,
    };
    Refusal::Usage(before, program.usage().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postmap(line: &str) -> Result<Options, Refusal> {
        Options::parse(Program::Postmap, line.split_whitespace().map(OsString::from))
    }

    fn fatal(line: &str) -> String {
        match postmap(line) {
            Err(Refusal::Usage(_, text)) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn options_are_written_as_getopt_takes_them() {
        let it = postmap("-irf hash:a b").unwrap();
        assert_eq!((it.task, it.known, it.fold), (Task::Update, Known::Replace, false));
        assert_eq!(it.tables, ["hash:a", "b"]);
        assert_eq!(postmap("-qkey a").unwrap().task, Task::Query(Keys::One("key".into())));
        assert_eq!(postmap("-sq -- a").unwrap_err(), postmap("-s -q x a").unwrap_err());
        assert_eq!(postmap("-q -x a").unwrap().task, Task::Query(Keys::One("-x".into())));
        assert_eq!(postmap("-d - a").unwrap().task, Task::Delete(Keys::Input));
        // Options end at the first table.
        assert_eq!(postmap("a -q x").unwrap().tables, ["a", "-q", "x"]);
        assert_eq!(postmap("-- -q").unwrap().tables, ["-q"]);
    }

    #[test]
    fn the_later_of_r_and_w_counts() {
        assert_eq!(postmap("-wr a").unwrap().known, Known::Replace);
        assert_eq!(postmap("-rw a").unwrap().known, Known::Ignore);
        assert_eq!(postmap("-rr a").unwrap().known, Known::Replace);
        assert_eq!(postmap("a").unwrap().known, Known::Warn);
    }

    #[test]
    fn what_does_not_go_together_is_refused_in_postfix_s_words() {
        for line in ["-q a -s t", "-i -i t", "-q a -q b t", "-d a -i t"] {
            assert_eq!(fatal(line), "specify only one of -d -i -q or -s", "{line}");
        }
        assert_eq!(fatal("-j t"), "option -j requires -q or -s");
        assert_eq!(fatal("-b t"), "specify -b -h or -m only with \"-q -\"");
        assert_eq!(fatal("-bq a t"), "specify -b -h or -m only with \"-q -\"");
        for line in ["", "-q a", "-Z t", "-q", "--nosuch t"] {
            assert!(fatal(line).starts_with("usage: postmap [-b"), "{line}");
        }
        assert_eq!(
            postmap("-Z t").unwrap_err(),
            Refusal::Usage(
                Some("invalid option -- 'Z'".into()),
                Program::Postmap.usage().to_owned()
            )
        );
    }

    #[test]
    fn m_alone_is_ignored_with_a_warning() {
        let it = postmap("-m -q - t").unwrap();
        assert_eq!((it.message, it.warnings.len()), (None, 1));
        let it = postmap("-hm -q - t").unwrap();
        assert_eq!(it.message, Some(MessageKeys { header: true, body: false, mime: true }));
    }

    #[test]
    fn postalias_has_no_message_and_no_file_options() {
        for option in ["-b", "-h", "-m", "-F", "-U"] {
            let arguments = [option, "t"].map(OsString::from);
            assert!(Options::parse(Program::Postalias, arguments).is_err(), "{option}");
        }
        let help = Options::parse(Program::Postalias, [OsString::from("--help")]).unwrap_err();
        assert!(matches!(help, Refusal::Help(text) if text.contains("alias tables")));
    }
}
