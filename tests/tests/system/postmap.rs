//! postmap, postalias and newaliases, beside Debian's.
//!
//! Most of these run the same command lines with both programs, each in a directory of its own, and expect
//! the same output, exit code and messages. What is meant to differ is in `as_postfix_says_it`, and in
//! docs/postfix-differences.md.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// What a command did.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Did {
    out: String,
    err: String,
    code: Option<i32>,
}

/// A directory with a main.cf, in which commands are run.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a directory"));
        // Everybody may look in: part of this runs as other users.
        fs::set_permissions(place.path(""), fs::Permissions::from_mode(0o755)).expect("a mode");
        fs::create_dir(place.path("etc")).expect("a directory");
        place.file(
            "etc/main.cf",
            "compatibility_level = 3.6\ndefault_database_type = hash\nalias_database = hash:aliases\n",
        );
        for name in ["ringpost", "postmap", "postalias", "newaliases", "postconf"] {
            let program = std::env::var("RINGPOST_BIN").expect("RINGPOST_BIN; tests/run sets it");
            symlink(program, place.path("etc").join(name)).expect("a link");
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).expect("a file");
    }

    /// Runs ours.
    fn run(&self, line: &[&str], input: &[u8]) -> Did {
        let program = self.path("etc").join(line[0]);
        self.run_program(&program, &line[1..], input)
    }

    fn run_program(&self, program: &Path, arguments: &[&str], input: &[u8]) -> Did {
        let mut child = Command::new(program)
            .args(arguments)
            .current_dir(self.0.path())
            .env("LC_ALL", "C")
            .env("MAIL_CONFIG", self.path("etc"))
            .env_remove("MAIL_VERBOSE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        // One that fails early does not want its input.
        let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
        let output = child.wait_with_output().expect("an end");
        Did {
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }

    /// Runs ours, which must succeed without a word on standard error.
    fn expect(&self, line: &[&str], input: &[u8]) -> String {
        let did = self.run(line, input);
        assert_eq!((did.code, &*did.err), (Some(0), ""), "{line:?}");
        did.out
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("a directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Two directories: Debian's programs run in the one, ours in the other.
struct Both {
    theirs: Place,
    ours: Place,
}

impl Both {
    fn new() -> Self {
        Self { theirs: Place::new(), ours: Place::new() }
    }

    fn file(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        self.theirs.file(name, &text);
        self.ours.file(name, &text);
        self
    }

    /// Runs one command line with both.
    fn same(&self, line: &[&str], input: impl AsRef<[u8]>) -> &Self {
        let input = input.as_ref();
        let program = Path::new("/usr/sbin").join(line[0]);
        let theirs = self.theirs.run_program(&program, &line[1..], input);
        let ours = self.ours.run(line, input);
        assert_eq!(as_postfix_says_it(&ours), as_postfix_says_it(&theirs), "{line:?}");
        self
    }

    /// Both have made the same files.
    fn same_files(&self) {
        assert_eq!(self.ours.names(), self.theirs.names());
    }
}

/// What a command did, without what differs on purpose.
fn as_postfix_says_it(did: &Did) -> Did {
    // Tables have an order of their own, and duplicates are told of when the table is complete.
    let sorted = |text: &str, plain: fn(&str) -> Option<String>| {
        let mut lines: Vec<String> = text.lines().filter_map(plain).collect();
        lines.sort();
        lines.join("\n")
    };
    // Debian's Postfix is built with NIS, and notes the time and the host in alias tables.
    let out = sorted(&did.out, |line| (!line.starts_with("YP_")).then(|| line.to_owned()));
    Did { out, err: sorted(&did.err, |line| Some(message(line))), code: did.code }
}

/// Later releases say some things otherwise, and we say in which line a duplicate is.
fn message(line: &str) -> String {
    if let Some((_, duplicate)) = line.split_once(": duplicate entry: ") {
        return format!("duplicate entry: {duplicate}");
    }
    let mut line = line.replace(".db: ", ": ");
    for (theirs, ours) in [
        ("specify only one of -s or -q or -d", "specify only one of -d -i -q or -s"),
        (
            "unsupported dictionary type: nosuch. Is the postfix-nosuch package installed?",
            "unsupported map type: nosuch",
        ),
        (
            "unsupported dictionary type: texthash does not support bulk-mode creation.",
            "no 'map create' support for this type: texthash",
        ),
    ] {
        line = line.replace(theirs, ours);
    }
    // In a text table all that is noted has a line.
    if let Some((file, text)) = line.split_once(": logical line must not") {
        let file = file.split(", line ").next().unwrap_or(file);
        line = format!("{file}: logical line must not{text}");
    }
    if line.ends_with("name must be local") {
        line.push_str(" and have no domain");
    }
    line
}

const SOURCE: &[u8] = b" leading\na 1\nB 2\nb 3\n   continued\n# comment\n more\nd\n\"x y\" 4\n\"x z 5\nf: g\n\ng h # i\n\
    caf\xe9 6\nlong  a\tb  c  \nM\xc3\x84X \xc3\xbc\nesc\\ aped 7\nlast 8";

#[test]
fn a_source_with_every_kind_of_mistake_makes_the_same_table() {
    let both = Both::new();
    both.file("s", SOURCE).file("empty", "").file("comments", "# nothing\n\n  # here\n");
    both.same(&["postmap", "hash:s"], "")
        .same(&["postmap", "-s", "hash:s"], "")
        .same(&["postmap", "s", "empty", "comments"], "")
        .same(&["postmap", "-s", "s"], "")
        .same(&["postmap", "-s", "empty"], "")
        .same(&["postmap", "-f", "s"], "")
        .same(&["postmap", "-fs", "s"], "")
        .same(&["postmap", "-w", "s"], "")
        .same(&["postmap", "-q", "b", "s"], "")
        .same(&["postmap", "-r", "s"], "")
        .same(&["postmap", "-q", "b", "s"], "")
        .same(&["postmap", "-s", "texthash:s"], "")
        .same_files();
}

#[test]
fn what_is_asked_is_answered_the_same() {
    let both = Both::new();
    both.file("s", SOURCE).file("t", "c 2\nb of t\n").same(&["postmap", "-w", "s", "t"], "");
    for key in ["a", "A", "B", "\"x y\"", "x y", "MÄX", "mäx", "none", "", "esc\\ aped"] {
        both.same(&["postmap", "-q", key, "s"], "").same(&["postmap", "-fq", key, "s"], "");
    }
    both.same(&["postmap", "-q", "c", "s", "t"], "")
        .same(&["postmap", "-q", "b", "hash:t", "hash:s"], "")
        .same(&["postmap", "-q", "-", "s", "t"], b"a\nnone\nC\nB\n\n\xe9\nlast")
        .same(&["postmap", "-q", "-", "s"], "none\n")
        .same(&["postmap", "-q", "-", "s"], "")
        .same(&["postmap", "-q", "x", "static:always"], "")
        .same(&["postmap", "-q", "A", "inline:{a=1, {b = two words}}"], "")
        .same(&["postmap", "-s", "inline:{a=1, {b = two words}}"], "")
        .same(&["postmap", "-q", "long", "texthash:s"], "")
        .same(&["postmap", "-q", "root", "unix:passwd.byname"], "")
        .same(&["postmap", "-q", "LC_ALL", "environ:"], "")
        .same(&["postmap", "-q", "10.1.2.3", "cidr:{{10.0.0.0/8 ten}, {0.0.0.0/0 any}}"], "")
        .same(&["postmap", "-q", "-", "cidr:{{10.0.0.0/8 ten}}"], "10.1.2.3\n11.1.2.3\n")
        .same(&["postmap", "-q", "a", "unionmap:{inline:{{a=1}}, inline:{{a=2}}}"], "")
        .same(&["postmap", "-q", "a", "pipemap:{inline:{{a=b}}, inline:{{b=2}}}"], "");
}

#[test]
fn entries_are_added_replaced_and_removed_the_same() {
    let both = Both::new();
    both.file("s", "a 1\nb 2\nc 3\nD 4\n").same(&["postmap", "s"], "");
    for (line, input) in [
        (&["postmap", "-i", "s"][..], "a 9\nn 3\nN 4\n  5\n"),
        (&["postmap", "-s", "s"], ""),
        (&["postmap", "-ir", "hash:s"], "a 2\na 3\nnew x\n"),
        (&["postmap", "-s", "s"], ""),
        (&["postmap", "-iw", "s"], "a 4\nlater y\n"),
        (&["postmap", "-s", "s"], ""),
        (&["postmap", "-i", "s"], "only-a-key\n\"un 1\nk: v\n"),
        (&["postmap", "-s", "s"], ""),
        (&["postmap", "-d", "a", "s"], ""),
        (&["postmap", "-d", "a", "s"], ""),
        (&["postmap", "-d", "C", "hash:s"], ""),
        (&["postmap", "-fd", "B", "hash:s"], ""),
        (&["postmap", "-d", "-", "s"], "none\nb\n"),
        (&["postmap", "-d", "-", "s"], "none\n"),
        (&["postmap", "-s", "s"], ""),
        (&["postmap", "-i", "made"], "q 1\n"),
        (&["postmap", "-s", "made"], ""),
    ] {
        both.same(line, input);
    }
    both.same_files();
}

#[test]
fn lines_of_a_message_are_keys_the_same() {
    let both = Both::new();
    both.file(
        "rules",
        "/^Subject: (.*)/ REJECT $1\n/^X-Long:.*\\n.*cont/ WARN folded\n/^body/ BODY\n/^--b/ BOUND\n\
         /^X-Part/ PART\n/^no/ GARBAGE\n/^$/ EMPTY\n",
    );
    let message = "From: a@b\nSubject : hello\nX-Long: a\n  cont\n\
        Content-Type: multipart/mixed; (x) boundary=\"b c\"\n\npreamble\n--b c\nX-Part: 1\n\nbody one\n\
        --b c\nContent-Type: message/rfc822\n\nSubject: inner\n\nbody two\n--b c--\nbody after\n";
    let digest = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: in digest\n\nbody\n--b\n\
        no header\nbody\n--b--\n";
    let garbage = "Subject: x\nno header\nSubject: y\nbody\n";
    for input in [message, digest, garbage, "", "\nbody\n"] {
        for options in ["-h", "-b", "-hb", "-hm", "-bm", "-hbm"] {
            both.same(&["postmap", options, "-q", "-", "regexp:rules"], input);
        }
    }
    both.same(&["postmap", "-m", "-q", "-", "regexp:rules"], message);
}

#[test]
fn values_that_are_files_are_stored_and_shown_the_same() {
    let both = Both::new();
    both.file("one", "hello\n").file("two", "x").file("s", "k one\nm one,two one\nn nonexistent\n");
    both.same(&["postmap", "-F", "s"], "")
        .same(&["postmap", "-s", "s"], "")
        .same(&["postmap", "-Fs", "s"], "")
        .same(&["postmap", "-Fq", "k", "s"], "")
        .same(&["postmap", "-Fq", "-", "s"], "k\nm\n");
    both.file("plain", "a 1\n").same(&["postmap", "plain"], "");
    both.same(&["postmap", "-Fq", "a", "plain"], "");
}

#[test]
fn alias_sources_make_the_same_tables() {
    let both = Both::new();
    both.file(
        "al",
        "postmaster: root\nRoot:\tadmin@example.com, /var/mail/root,\"|/usr/bin/prog -x 'y z'\"\n\
         list: :include:/etc/list, bob\n  , carol\nowner-list: me (comment  here)\na b: c\nnocolon\n\
         : novalue\nnovalue:\ndom@example.com: x\nx,y: z\npct%h: z\nemptyq: \"\"\n\
         esc: \"a\\\"b\", c\\ d\ndup: 1\nDUP: 2\nangle: Some One <one@example.com>\npipe: |\"cmd arg\"\n\
         pipe2: \"| cmd arg\"\nslash: /dev/null\nbare: |prog\ngroup: friends: a, b;\nlit: user@[1.2.3.4]\n\
         (c) com: val\nhash: a # b\ntab:\ta\tb\nun: \"abc\nun2: (abc\n",
    );
    both.same(&["postalias", "hash:al"], "")
        .same(&["postalias", "-s", "al"], "")
        .same(&["postalias", "-q", "ROOT", "al"], "")
        .same(&["postalias", "-q", "-", "al"], "root\nnone\nlist\n")
        .same(&["postalias", "-i", "al"], "new: v\ndup: 3\n")
        .same(&["postalias", "-ir", "al"], "new: w\n")
        .same(&["postalias", "-s", "al"], "")
        .same(&["postalias", "-d", "dup", "al"], "")
        .same(&["postalias", "-q", "dup", "al"], "")
        .same(&["postalias", "-b"], "")
        .same_files();
}

#[test]
fn what_cannot_be_done_is_refused_the_same() {
    let both = Both::new();
    both.file("s", "a 1\n").same(&["postmap", "s"], "");
    let refused = [
        &["postmap"][..],
        &["postmap", "-q", "a"],
        &["postmap", "-q"],
        &["postmap", "-Z", "s"],
        &["postmap", "-s"],
        &["postmap", "-q", "a", "-s", "s"],
        &["postmap", "-b", "s"],
        &["postmap", "nonexistent"],
        &["postmap", "hash:/nonexistent/a"],
        &["postmap", "nosuch:s"],
        &["postmap", "texthash:s"],
        &["postmap", "proxy:hash:s"],
        &["postmap", "-q", "a", "nonexistent"],
        &["postmap", "-q", "a", "nosuch:s"],
        &["postmap", "-q", "a", "hash:"],
        &["postmap", "-q", "a", ":s"],
        &["postmap", "-s", "static:x"],
        &["postmap", "-s", "regexp:{{/a/ b}}"],
        &["postmap", "-d", "a", "static:s"],
        &["postmap", "-d", "a", "texthash:s"],
        &["postmap", "-d", "a", "nonexistent"],
        &["postalias"],
        &["postalias", "nonexistent"],
    ];
    // Postfix sleeps for a second before it gives up.
    std::thread::scope(|scope| {
        for line in refused {
            let both = &both;
            scope.spawn(move || _ = both.same(line, ""));
        }
    });
}

#[test]
fn without_a_configuration_there_are_defaults() {
    let place = Place::new();
    place.file("s", "a 1\n");
    let run = |line: &[&str]| {
        let mut command = Command::new(place.path("etc").join(line[0]));
        command.args(&line[1..]).current_dir(place.0.path()).env_remove("MAIL_CONFIG");
        let output = command.output().expect("an end");
        assert!(output.status.success() && output.stderr.is_empty(), "{line:?} {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["postmap", "s"]);
    assert_eq!(run(&["postmap", "-q", "a", "hash:s"]), "1\n");
    assert_eq!(
        run(&["ringpost", "map", "explain", "A", "s"]),
        "key A\n  hash:s: found \"1\"\nanswer: 1\n"
    );
    place.file("aliases", "root: me\n");
    run(&["newaliases", "-oAaliases"]);
    assert_eq!(run(&["postalias", "-q", "root", "aliases"]), "me\n");
}

#[test]
fn json_has_one_object_a_line() {
    let place = Place::new();
    place.file("s", "a \"1\"\\\n");
    place.expect(&["postmap", "s"], b"");
    let line = "{\"a\": \"\\\"1\\\"\\\\\"}\n";
    assert_eq!(place.expect(&["postmap", "-jq", "a", "s"], b""), line);
    assert_eq!(place.expect(&["postmap", "-js", "s"], b""), line);
    assert_eq!(place.expect(&["postmap", "-jq", "-", "s"], b"a\n"), line);
    assert_eq!(place.run(&["postmap", "-j", "s"], b"").code, Some(1));
}

#[test]
fn a_source_that_is_no_good_leaves_the_table_as_it_was() {
    let place = Place::new();
    place.file("s", "a 1\n");
    place.expect(&["postmap", "s"], b"");
    fs::create_dir(place.path("directory")).expect("a directory");
    let long = vec![b'x'; 64 << 20];
    for (text, why) in [
        (&b""[..], "s, line 1: the file is empty"),
        (b"b 1\nc \0 2\n", "s, line 2: this line holds a NUL byte"),
        (&long, "s, line 1: this line is longer than 4194304 bytes"),
        (b"b 1\n\n  x\ny", ""),
        (b"only\nkeys\n", "s: none of its 2 lines is an entry"),
    ] {
        place.file("s", text);
        let did = place.run(&["postmap", "s"], b"");
        if why.is_empty() {
            assert_eq!(did.code, Some(0), "{did:?}");
            place.file("s", "a 1\n");
            place.expect(&["postmap", "s"], b"");
            continue;
        }
        assert_eq!(did.code, Some(1), "{did:?}");
        assert!(did.err.contains(&format!("postmap: fatal: {why}")), "{did:?}");
        assert_eq!(place.expect(&["postmap", "-s", "s"], b""), "a\t1\n", "{why}");
    }
    let did = place.run(&["postmap", "directory"], b"");
    assert_eq!(
        (did.code, &*did.err),
        (Some(1), "postmap: fatal: open directory: Is a directory\n")
    );
    fs::remove_file(place.path("s")).expect("it is there");
    assert_eq!(place.run(&["postmap", "s"], b"").code, Some(1));
    assert_eq!(place.names(), ["directory", "etc", "s.db"]);
}

#[test]
fn a_line_of_a_gigabyte_takes_no_more_memory_than_one_that_is_allowed() {
    let place = Place::new();
    place.file("s", "a 1\n");
    place.expect(&["postmap", "s"], b"");
    // It is not on the disk.
    place.file("s", "b 1\nc ");
    let source = fs::OpenOptions::new().write(true).open(place.path("s")).expect("a file");
    source.set_len(1 << 30).expect("room for nothing");
    // A hundred times less than the line, once the program itself is there.
    let limited = ["-c", "ulimit -v 300000 && exec etc/postmap \"$@\"", "sh", "s"];
    let did = place.run_program(Path::new("/bin/sh"), &limited, b"");
    let why = "postmap: fatal: s, line 2: this line is longer than 4194304 bytes";
    assert!(did.code == Some(1) && did.err.starts_with(why), "{did:?}");
    assert_eq!(place.expect(&["postmap", "-s", "s"], b""), "a\t1\n");
    assert_eq!(place.names(), ["etc", "s", "s.db"]);

    // From somebody who goes on for as long as he is listened to.
    let mut child = Command::new(place.path("etc/postmap"))
        .args(["-i", "s"])
        .current_dir(place.path(""))
        .env("MAIL_CONFIG", place.path("etc"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("postmap");
    let mut stdin = child.stdin.take().expect("a pipe");
    let piece = vec![b'x'; 1 << 16];
    let pieces = (0..1 << 14).take_while(|_| stdin.write_all(&piece).is_ok()).count();
    assert!(pieces * piece.len() < 16 << 20, "{pieces} pieces were read");
    let output = child.wait_with_output().expect("an end");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("line 1: this line is longer than 4194304 bytes"), "{said}");
    assert_eq!(place.expect(&["postmap", "-s", "s"], b""), "a\t1\n");
}

#[test]
fn a_first_table_of_an_empty_source_is_an_empty_table() {
    let place = Place::new();
    place.file("s", "");
    place.expect(&["postmap", "s"], b"");
    assert_eq!(place.expect(&["postmap", "-s", "s"], b""), "");
    // And a comment makes an empty one of any.
    place.file("s", "a 1\n");
    place.expect(&["postmap", "s"], b"");
    place.file("s", "# a 1\n");
    place.expect(&["postmap", "s"], b"");
    assert_eq!(place.expect(&["postmap", "-s", "s"], b""), "");
}

#[test]
fn of_many_that_add_to_a_table_at_once_none_loses_what_another_added() {
    let place = Place::new();
    place.file("s", "");
    std::thread::scope(|scope| {
        for adder in 0..4 {
            let place = &place;
            scope.spawn(move || {
                for n in 0..5 {
                    place.expect(&["postmap", "-i", "s"], format!("{adder}.{n} x\n").as_bytes());
                }
            });
        }
    });
    assert_eq!(place.expect(&["postmap", "-s", "s"], b"").lines().count(), 20);
    assert_eq!(place.names(), ["etc", "s", "s.db"]);
}

#[test]
fn a_table_has_its_source_s_permissions_and_keeps_its_own() {
    let place = Place::new();
    let mode =
        |name: &str| fs::metadata(place.path(name)).expect("a file").permissions().mode() & 0o777;
    let chmod = |name: &str, mode| {
        fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    place.file("s", "a 1\n");
    chmod("s", 0o640);
    place.expect(&["postmap", "s"], b"");
    assert_eq!(mode("s.db"), 0o640);
    chmod("s.db", 0o604);
    place.expect(&["postmap", "-i", "s"], b"b 2\n");
    place.expect(&["postmap", "-d", "a", "s"], b"");
    assert_eq!(mode("s.db"), 0o604);
    fs::remove_file(place.path("s.db")).expect("it is there");
    place.expect(&["postmap", "-p", "s"], b"");
    assert_eq!(mode("s.db"), 0o644);
}

#[test]
fn a_file_that_berkeley_db_wrote_is_refused_with_the_command_that_replaces_it() {
    let place = Place::new();
    place.file("s", "a 1\n");
    place.run_program(Path::new("/usr/sbin/postmap"), &["hash:s"], b"");
    for line in [&["postmap", "-q", "a", "hash:s"][..], &["postmap", "-i", "hash:s"]] {
        let did = place.run(line, b"b 2\n");
        assert_eq!(did.code, Some(1));
        assert!(did.err.contains("Berkeley DB"), "{did:?}");
        let command = did.err.contains("\"postmap hash:s\"") && did.err.contains("makes it anew");
        assert!(command, "{did:?}");
    }
    place.expect(&["postmap", "hash:s"], b"");
    assert_eq!(place.expect(&["postmap", "-q", "a", "hash:s"], b""), "1\n");
}

#[test]
fn newaliases_makes_what_alias_database_names() {
    let place = Place::new();
    place.file("aliases", "Root: me\n");
    assert_eq!(place.expect(&["newaliases"], b""), "");
    assert_eq!(place.expect(&["postalias", "-q", "root", "aliases"], b""), "me\n");
    place.file("other", "x: y\n");
    place.expect(&["newaliases", "-oAhash:other"], b"");
    assert_eq!(place.expect(&["postalias", "-q", "x", "other"], b""), "y\n");
    let refused = place.run(&["newaliases", "somebody"], b"");
    assert_eq!(refused.code, Some(64));
    assert!(refused.err.contains("requires no recipient"), "{refused:?}");
    fs::remove_file(place.path("aliases")).expect("it is there");
    let missing = place.run(&["newaliases"], b"");
    assert_eq!(missing.code, Some(1));
    assert_eq!(missing.err, "postalias: fatal: open aliases: No such file or directory\n");
}

#[test]
fn every_command_has_help_and_is_an_argument_of_ringpost_too() {
    let place = Place::new();
    for name in ["postmap", "postalias", "newaliases", "postconf"] {
        let help = place.expect(&[name, "--help"], b"");
        assert!(help.contains("Usage: ") && help.contains(name), "{help}");
        assert_eq!(place.expect(&["ringpost", name, "--help"], b""), help);
    }
}

#[test]
fn postconf_lists_the_types_that_postmap_knows() {
    let place = Place::new();
    let types = place.expect(&["postconf", "-m"], b"");
    for name in ["btree", "cidr", "hash", "inline", "pcre", "proxy", "regexp", "static", "texthash"]
    {
        assert!(types.lines().any(|line| line == name), "{name} in\n{types}");
    }
    assert!(types.lines().is_sorted());
}

#[test]
fn explain_shows_each_key_and_what_answered() {
    let place = Place::new();
    place.file("v", "@example.com everybody\n");
    place.expect(&["postmap", "v"], b"");
    place.file("etc/main.cf", "recipient_delimiter = +\nmydestination = example.com\n");
    let explained = place.expect(
        &[
            "ringpost",
            "map",
            "explain",
            "--as",
            "virtual",
            "u+x@example.com",
            "v",
            "cidr:{{1.2.3.4 x}}",
        ],
        b"",
    );
    let steps = ["u+x@example.com", "u@example.com", "u+x", "u", "@example.com"];
    let mut expected = String::new();
    for (number, key) in steps.iter().enumerate() {
        expected.push_str(&format!("key {key}\n"));
        expected.push_str(match number {
            4 => "  hash:v: found \"everybody\"\n",
            0 => "  hash:v: not found\n  cidr:{{1.2.3.4 x}}: not found\n",
            _ => {
                "  hash:v: not found\n  cidr:{{1.2.3.4 x}}: not asked, takes whole addresses only\n"
            }
        });
    }
    expected.push_str("answer: everybody\n");
    assert_eq!(explained, expected);

    let single = place.run(&["ringpost", "map", "explain", "nobody", "hash:v"], b"");
    assert_eq!(
        (single.code, &*single.out),
        (Some(1), "key nobody\n  hash:v: not found\nanswer: not found\n")
    );
    let away = place.run(&["ringpost", "map", "explain", "x", "texthash:none"], b"");
    assert_eq!(away.code, Some(75));
    assert!(away.out.contains("unavailable: open none: No such file"), "{away:?}");
    let unknown = place.run(&["ringpost", "map", "explain", "--as", "what", "x", "v"], b"");
    assert!(unknown.err.contains("expected one of access, "), "{unknown:?}");
}

#[test]
fn check_names_tables_that_cannot_be_opened_and_the_command_that_makes_them() {
    let place = Place::new();
    place.file("users", "a@example.com a/\n");
    let table = place.path("users").display().to_string();
    place.file(
        "etc/main.cf",
        format!("virtual_mailbox_domains = example.com\nvirtual_mailbox_maps = hash:{table}\nmydestination =\n"),
    );
    let did = place.run(&["ringpost", "check"], b"");
    assert_eq!(did.code, Some(1), "{did:?}");
    let error = did.out.lines().find(|line| line.starts_with("error: ")).expect("an error");
    assert!(error.contains(&format!("hash:{table}")), "{error}");
    assert!(did.out.contains(&format!("postmap hash:{table}")), "{did:?}");
    place.expect(&["postmap", &format!("hash:{table}")], b"");
    let did = place.run(&["ringpost", "check"], b"");
    assert!(!did.out.contains("postmap"), "{did:?}");
}

mod as_root {
    use std::os::unix::fs::{MetadataExt, chown};

    use super::*;

    /// A user without rights.
    const NOBODY: u32 = 65534;

    #[test]
    fn a_table_belongs_to_whom_its_source_belongs_to() {
        let place = Place::new();
        let directory = place.path("theirs");
        fs::create_dir(&directory).expect("a directory");
        fs::write(directory.join("s"), "a 1\n").expect("a file");
        for path in [&directory, &directory.join("s")] {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root may");
        }
        let owner = || fs::metadata(directory.join("s.db")).expect("a table").uid();
        place.expect(&["postmap", "theirs/s"], b"");
        assert_eq!(owner(), NOBODY);
        place.expect(&["postmap", "-i", "theirs/s"], b"b 2\n");
        assert_eq!(owner(), NOBODY);
        fs::remove_file(directory.join("s.db")).expect("it is there");
        place.expect(&["postmap", "-o", "theirs/s"], b"");
        assert_eq!(owner(), 0);
    }

    #[test]
    fn nothing_is_made_where_the_source_s_owner_may_not_write() {
        let place = Place::new();
        place.file("s", "a 1\n");
        chown(place.path("s"), Some(NOBODY), Some(NOBODY)).expect("root may");
        let did = place.run(&["postmap", "s"], b"");
        assert_eq!(did.code, Some(1));
        assert!(did.err.contains("Permission denied"), "{did:?}");
        assert_eq!(place.names(), ["etc", "s"]);
    }

    #[test]
    fn a_root_owned_source_in_somebody_s_directory_is_warned_of() {
        let place = Place::new();
        let directory = place.path("theirs");
        fs::create_dir(&directory).expect("a directory");
        chown(&directory, Some(NOBODY), Some(NOBODY)).expect("root may");
        fs::write(directory.join("s"), "a 1\n").expect("a file");
        let did = place.run(&["postmap", "theirs/s"], b"");
        assert_eq!(did.code, Some(0));
        assert!(did.err.contains("Creating root-owned database file(s) theirs/s.*"), "{did:?}");
    }
}
