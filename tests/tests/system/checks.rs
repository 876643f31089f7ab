//! Header and body checks beside Postfix's: the same tables and the same messages, the same replies, the same
//! content in the queue, the same lines in the log.

/// Postfix is started by root alone.
mod as_root {
    use std::fs;

    use tests::wait::until_true;
    use tests::{Server, Session, Setup};

    use crate::postfix::as_root::Postfix;

    /// All that is not refused is held, so that it can be looked at.
    const HEADER_CHECKS: &str = "/^X-Hold:/ HOLD me
/^Subject: reject/ REJECT 5.7.9 no thanks
/^Subject: plain reject/ REJECT
/^Subject: later/ REJECT 4.7.0 later
/^Subject: discard/ DISCARD why
/^X-Strip:/ STRIP s
/^X-Ignore:/ IGNORE
/^X-Replace:(.*)$/ REPLACE X-Replaced:$1
/^X-Prepend:/ PREPEND X-Before: yes
/^X-Warn:(.*)$/ WARN seen$1
/^X-Info:/ INFO
/^X-Bad:/ REJCT x
/^X-Filter:/ FILTER none
/^X-Pass:/ PASS
/name=\"?a\\.exe/ WARN part
";
    const BODY_CHECKS: &str = "/^strip me/ STRIP
/^replace (.*)$/ REPLACE replaced $1
/^prepend/ PREPEND before
/^warn/ WARN w
/^ignore/ IGNORE
/^info/ INFO i
/^--b/ INFO boundary
/^$/ DUNNO
/^reject/ REJECT in body
";

    const HEAD: &str = "From: <a@client.example>\r\nTo: <kept@localhost>\r\nMessage-ID: <1@x>\r\n\
        Date: Mon, 30 Nov 2026 20:00:00 +0000\r\nX-Hold: yes\r\n";

    /// What follows the head above.
    const MESSAGES: &[&str] = &[
        "Subject: plain\r\n\r\nbody\r\n",
        "Subject: reject\r\n\r\nbody\r\n",
        "Subject: plain reject\r\n\r\nbody\r\n",
        "Subject: later\r\n\r\nbody\r\n",
        "Subject: discard\r\n\r\nbody\r\n",
        "X-Strip: 1\r\nX-Ignore: 2\r\n folded\r\nX-Replace: a\r\n\tb\r\nX-Prepend: 3\r\n\r\nbody\r\n",
        "X-Warn: one\r\n two\r\nX-Info: x\r\nX-Bad: y\r\nX-Filter: z\r\nX-Last: 1\r\n\r\nbody\r\n",
        "X-Pass: 1\r\nX-Warn: not seen\r\n\r\nwarn\r\n",
        "Subject: x\r\n\r\nstrip me\r\nreplace a b\r\nprepend\r\nwarn\r\nignore\r\ninfo\r\nlast\r\n",
        "Subject: x\r\n\r\nfirst\r\nreject this\r\nlast\r\n",
        "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\npre\r\n--b\r\nContent-Type: text/plain;\r\n \
         name=a.exe\r\nX-Warn: part\r\n\r\nwarn\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n\
         Subject: inner\r\nX-Warn: inner\r\nX-Strip: inner\r\n\r\ninfo\r\n--b--\r\npost\r\n",
        "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nX-Warn: in digest\r\n\r\nx\r\n--b--\r\n",
        "Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n--c\r\nX-Warn: c\r\n\r\nx\r\n--b\r\n\
         X-Warn: b\r\n\r\nx\r\n",
        "Content-Type: multipart/mixed; boundary=outer\r\n\r\n--outer\r\nContent-Type: multipart/x;\
         boundary=b\r\n\r\n--b\r\nX-Warn: in\r\n\r\nx\r\n--outer\r\nX-Warn: out\r\n\r\n--b\r\nx\r\n",
        "Content-Type: multipart/mixed; boundary=\"b\\\"c\"\r\n\r\n--b\"c\r\nX-Warn: quoted\r\n\r\nx\r\n",
        "Content-Type: multipart/mixed (com(ment); boundary=no); boundary=b\r\n\r\n--b\r\nX-Warn: x\r\n\r\n",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b and more\r\nno header\r\nX-Warn: no\r\n",
        "Content-Type: message/rfc822\r\n\r\nno header here\r\nX-Warn: no\r\n\r\nx\r\n",
        "Content-Type: message/partial\r\n\r\nX-Warn: no\r\n\r\nx\r\n",
        "Content-Type: text/plain; boundary=b\r\n\r\n--b\r\nX-Warn: no\r\n\r\nx\r\n",
        "Content-Type: ;;;\r\n\r\nx\r\n",
        "Content-Type: multipart/mixed; boundary=\r\n\r\n--b\r\nX-Warn: no\r\n",
        "no header\r\nX-Warn: not in body\r\n\r\nwarn\r\n",
        " continues\r\nX-Warn: x\r\n\r\nx\r\n",
        "X-Empty:\r\nX-Warn:\r\n\r\n\r\n\r\nx\r\n",
        "Bcc: secret@client.example\r\nReturn-Path: <x@y>\r\nContent-Length: 3\r\nX-Warn: x\r\n\r\nx\r\n",
    ];

    /// What one message came to.
    #[derive(Debug, PartialEq, Eq)]
    struct Outcome {
        reply: String,
        content: String,
        log: Vec<String>,
    }

    fn send(port: u16, message: &str) -> (String, Option<String>) {
        let mut session = Session::greeted(port).expect("a session");
        session.play(
            "C: EHLO client.example
             S: 250 *
             C: MAIL FROM:<sender@client.example>
             S: 250 *
             C: RCPT TO:<kept@localhost>
             S: 250 *
             C: DATA
             S: 354 *",
        );
        session.send(format!("{HEAD}{message}.\r\n")).expect("content");
        let reply = session.reply().expect("a reply");
        let id = reply.queue_id().map(str::to_owned);
        let mut text = format!("{} {}", reply.code, reply.lines.join(" "));
        if let Some(id) = &id {
            text = text.replace(id, "ID");
        }
        (text, id)
    }

    /// The content of what postcat shows, without our own Received.
    fn content(shown: &str) -> String {
        let Some((_, rest)) = shown.split_once("*** MESSAGE CONTENTS") else {
            return String::new();
        };
        let content = rest.split_once("***\n").expect("a line").1;
        let content = content.split_once("*** HEADER EXTRACTED").expect("the end").0;
        let lines: Vec<&str> = content.lines().collect();
        let ours = lines.iter().take_while(|line| !line.starts_with("From:")).count();
        lines[ours..].join("\n")
    }

    /// Cleanup's lines about checks, from the last one of the session before on.
    fn checks_in_log(lines: &[String]) -> Vec<String> {
        let of_checks = |line: &&String| {
            line.contains("/cleanup[")
                && [
                    ": reject: ",
                    ": warning: ",
                    ": info: ",
                    ": hold: ",
                    ": discard: ",
                    ": filter: ",
                ]
                .into_iter()
                .chain([": strip: ", ": replace: ", ": prepend: ", ": pass: ", " map: ", " map"])
                .any(|word| line.contains(word))
        };
        lines
            .iter()
            .filter(of_checks)
            .map(|line| {
                let body = line.split_once("]: ").expect("a line").1;
                let (id, rest) = body.split_once(": ").expect("an id or warning");
                if id == "warning" { body.to_owned() } else { format!("ID: {rest}") }
            })
            .collect()
    }

    fn ours(server: &Server, message: &str) -> Outcome {
        let before = server.log().len();
        let (reply, id) = send(server.port(), message);
        let shown = id.map(|id| server.ringpost(&["queue", "show", &id]));
        let shown = shown.filter(|ran| ran.ok).map(|ran| ran.out);
        let content = content(&shown.unwrap_or_default());
        until_true("the session's end in the log", || {
            server.log()[before..].iter().any(|line| line.contains("disconnect from"))
        });
        Outcome { reply, content, log: checks_in_log(&server.log()[before..]) }
    }

    fn theirs(postfix: &Postfix, message: &str) -> Outcome {
        let before = postfix.log().lines().count();
        let (reply, id) = send(postfix.port, message);
        let held = id.filter(|_| !message.starts_with("Subject: discard"));
        let shown = held.map(|id| postfix.command("postcat", &["-q", &id])).unwrap_or_default();
        until_true("the session's end in the log", || {
            postfix.log().lines().skip(before).any(|line| line.contains("disconnect from"))
        });
        let lines: Vec<String> = postfix.log().lines().skip(before).map(str::to_owned).collect();
        Outcome { reply, content: content(&shown), log: checks_in_log(&lines) }
    }

    #[test]
    fn checks_do_what_postfixs_do() {
        let setup = Setup::new();
        let place = setup.place().to_owned();
        let tables = [("header_checks", HEADER_CHECKS), ("body_checks", BODY_CHECKS)];
        let mut further = String::new();
        let mut setup = setup.option("myhostname=mx.example");
        for (name, rules) in tables {
            let file = place.join(name);
            fs::write(&file, rules).expect("a table");
            let value = format!("regexp:{}", file.display());
            setup = setup.option(&format!("{name}={value}"));
            further.push_str(&format!("{name} = {value}\n"));
        }
        let server = setup.start();
        let postfix = Postfix::start_with(&place, &further, "");
        until_true("Postfix to listen", || Session::greeted(postfix.port).is_ok());
        let differing: Vec<String> = MESSAGES
            .iter()
            .filter_map(|message| {
                let (ours, theirs) = (ours(&server, message), theirs(&postfix, message));
                (ours != theirs)
                    .then(|| format!("{message}\nours: {ours:#?}\nPostfix's: {theirs:#?}\n"))
            })
            .collect();
        assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.concat());
    }
}
