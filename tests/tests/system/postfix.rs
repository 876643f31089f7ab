//! What mailq, postqueue -j and postcat print, beside what a running Postfix prints of the same message.
//!
//! The golden texts in `engine/showq` were written from Postfix's source; this is the proof that they were
//! read rightly. A Postfix of the test's own (its configuration, queue and log are in the test's place)
//! takes a message and cannot deliver it; ringpost takes the same one and cannot either.

/// Postfix is started by root alone.
pub(crate) mod as_root {
    use std::fs;
    use std::net::TcpListener;
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};

    use tests::peer::run;
    use tests::wait::until_true;
    use tests::{Server, Session, Setup};

    /// Sent to both.
    const TRANSCRIPT: &str = "C: MAIL FROM:<sender@client.example> RET=HDRS ENVID=x BODY=8BITMIME
         S: 250 *
         C: RCPT TO:<kept@localhost> NOTIFY=DELAY ORCPT=rfc822;kept@localhost
         S: 250 *
         C: RCPT TO:<other@localhost>
         S: 250 *
         C: DATA
         S: 354 *";
    const CONTENT: &str = "Subject: listed\r\nX-Kept: yes\r\n\r\nbody of listed\r\n.\r\n";

    const MAIN_CF: &str = "compatibility_level = 3.6
queue_directory = PLACE/spool
data_directory = PLACE/data
maillog_file = PLACE/log
maillog_file_prefixes = PLACE
myhostname = mx.example
mail_name = ringpost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
alias_maps =
# Nobody listens there; each recipient has a reason of its own.
default_transport = smtp:[127.0.0.1]:1
transport_maps = inline:{ other@localhost=smtp:[127.0.0.1]:2 }
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
";

    const MASTER_CF: &str = "127.0.0.1:PORT inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
";

    /// A running Postfix.
    pub(crate) struct Postfix {
        configuration: PathBuf,
        pub(crate) port: u16,
    }

    impl Postfix {
        fn start(place: &Path) -> Self {
            Self::start_with(place, "", "")
        }

        /// With further lines of main.cf and master.cf, in which `PLACE` is where it keeps its files.
        pub(crate) fn start_with(place: &Path, main_cf: &str, master_cf: &str) -> Self {
            let place = place.join("postfix");
            let configuration = place.join("etc");
            for folder in ["etc", "spool", "data"] {
                fs::create_dir_all(place.join(folder)).expect("a directory in the test's place");
            }
            run("chown", ["postfix", &place.join("data").to_string_lossy()]).expect_ok();
            // Free a moment ago: Postfix cannot be told to take any.
            let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
            let port = free.expect("a free port").port();
            let main_cf = format!("{MAIN_CF}{main_cf}");
            let master_cf = format!("{MASTER_CF}{master_cf}");
            for (name, text) in [("main.cf", main_cf), ("master.cf", master_cf)] {
                let text = text.replace("PLACE", &place.to_string_lossy());
                let text = text.replace("PORT", &port.to_string());
                fs::write(configuration.join(name), text).expect("a file in the test's place");
            }
            let postfix = Self { configuration, port };
            assert!(postfix.control("start"), "{}", postfix.log());
            postfix
        }

        /// Its master keeps what it inherits, so it gets nothing.
        fn control(&self, what: &str) -> bool {
            let mut command = Command::new("/usr/sbin/postfix");
            command.arg("-c").arg(&self.configuration).arg(what);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        }

        pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> String {
            let configuration = self.configuration.to_string_lossy();
            run(name, [&["-c", &configuration], arguments].concat()).expect_ok()
        }

        /// Until then a message may be on its way from one queue to the other, and not be found.
        pub(crate) fn wait_until_deferred(&self, id: &str) {
            let queue = self.configuration.with_file_name("spool/deferred");
            let file = queue.join(&id[..1]).join(id);
            until_true("Postfix to defer a message", || file.exists());
        }

        pub(crate) fn log(&self) -> String {
            fs::read_to_string(self.configuration.with_file_name("log")).unwrap_or_default()
        }
    }

    impl Drop for Postfix {
        fn drop(&mut self) {
            self.control("stop");
        }
    }

    /// Sends the message; returns its id.
    fn send(port: u16) -> String {
        let mut session = Session::greeted(port).expect("a session");
        session.play(TRANSCRIPT);
        session.send(CONTENT).expect("content");
        let reply = session.reply().expect("a reply");
        reply.queue_id().unwrap_or_else(|| panic!("{:?}", reply.lines)).to_owned()
    }

    /// A ringpost that has the message and cannot deliver it.
    fn ringpost() -> (Server, String) {
        let setup = Setup::new().option("myhostname=mx.example");
        let base = setup.data().join("mail/localhost");
        fs::create_dir_all(&base).expect("directories");
        for path in [setup.data(), &setup.data().join("mail"), &base] {
            setup.give_to_user(path);
        }
        for user in ["kept", "other"] {
            fs::write(base.join(user), "in the way").expect("a file");
            setup.give_to_user(&base.join(user));
        }
        let server = setup.start();
        let id = send(server.port());
        for user in ["kept", "other"] {
            server.wait_for_log(&[&id, &format!("to=<{user}@localhost>"), "status=deferred"]);
        }
        (server, id)
    }

    /// Words that differ from message to message are replaced by what they are.
    fn plain(text: &str, id: &str) -> String {
        let text = text.replace(id, "ID");
        let mut plain = String::new();
        for line in text.lines() {
            let line = match line.trim_start() {
                it if it.starts_with('(') => "(REASON)".to_owned(),
                it if it.ends_with("+0000 (UTC)") => it.split(", ").next().unwrap().to_owned(),
                it if it.starts_with("Message-Id:") => {
                    "Message-Id: <TIME.ID@mx.example>".to_owned()
                }
                // ID, size, day, month, day, time, sender.
                it if it.starts_with("ID ") => {
                    let words: Vec<&str> = it.split_whitespace().collect();
                    format!("{} {} words {}", words[0], words.len(), words[words.len() - 1])
                }
                _ => line.to_owned(),
            };
            plain.push_str(&line);
            plain.push('\n');
        }
        plain
    }

    /// The records that both know, in their order; where a message lies is told apart by Postfix alone.
    fn records(postcat: &str, id: &str) -> String {
        const OWN: [&str; 14] = [
            "log_ident=",
            "rewrite_context=",
            "log_message_origin=",
            "client_name=",
            "reverse_client_name=",
            "client_address=",
            "client_port=",
            "server_address=",
            "server_port=",
            "helo_name=",
            "protocol_name=",
            "client_address_type=",
            "log_client_port=",
            "dsn_orig_rcpt=rfc822;other@localhost",
        ];
        let hashed = format!("deferred/{}/", &id[..1]);
        let text = postcat.replace(&hashed, "deferred/");
        let (text, end) = text.split_once("*** HEADER EXTRACTED").expect("the end of the content");
        assert!(end.contains("*** MESSAGE FILE END"), "{end}");
        let mut records = String::new();
        for line in text.lines() {
            let attribute = line.strip_prefix("named_attribute: ").unwrap_or_default();
            let line = match line.split_once(": ") {
                _ if OWN.iter().any(|own| attribute.starts_with(own)) => continue,
                Some((name @ ("message_size" | "message_arrival_time" | "create_time"), _)) => name,
                _ => line,
            };
            records.push_str(line);
            records.push('\n');
        }
        plain(&records, id)
    }

    #[test]
    fn a_message_is_listed_and_shown_as_postfix_lists_and_shows_it() {
        let (server, ours) = ringpost();
        let postfix = Postfix::start(server.setup.place());
        until_true("Postfix to listen", || Session::greeted(postfix.port).is_ok());
        let theirs = send(postfix.port);
        until_true("Postfix to give up for now", || {
            postfix.log().matches("status=deferred").count() == 2
        });

        let listing = server.ringpost(&["queue", "list"]).expect_ok();
        assert_eq!(plain(&listing, &ours), plain(&postfix.command("postqueue", &["-p"]), &theirs));

        let shown = server.ringpost(&["queue", "show", &ours]).expect_ok();
        let theirs_shown = postfix.command("postcat", &["-q", &theirs]);
        assert_eq!(records(&shown, &ours), records(&theirs_shown, &theirs));

        let theirs_listed = postfix.command("postqueue", &["-j"]);
        let theirs_listed: serde_json::Value = serde_json::from_str(&theirs_listed).expect("JSON");
        let listed = &server.queue()[0];
        let theirs_keys: Vec<_> = theirs_listed.as_object().expect("an object").keys().collect();
        assert_eq!(listed.as_object().expect("an object").keys().collect::<Vec<_>>(), theirs_keys);
        for name in ["queue_name", "forced_expire", "sender"] {
            assert_eq!(listed[name], theirs_listed[name], "{name}");
        }
        // `orig_address` has been there since Postfix 3.9 only, and reasons differ.
        for number in 0..2 {
            let (ours, theirs) =
                (&listed["recipients"][number], &theirs_listed["recipients"][number]);
            assert_eq!(ours["address"], theirs["address"]);
            assert!(ours["delay_reason"].is_string() && theirs["delay_reason"].is_string());
        }
    }
}
