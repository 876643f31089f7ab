//! The networks that `mynetworks` has where it is not set, beside Postfix's: the same text, whatever the host's
//! interfaces are.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use tests::Setup;
use tests::peer::run_with_input;
use tests::session::Session;

/// Values of `mynetworks_style`.
const STYLES: [&str; 3] = ["host", "subnet", "class"];

/// Values of `inet_protocols`.
const PROTOCOLS: [&str; 3] = ["all", "ipv4", "ipv6"];

/// What is asked, a line each: `inet_interfaces`, `inet_protocols`, `mynetworks_style`. These `addresses`
/// are the host's.
fn asked(addresses: &[&str]) -> String {
    let mut lines = "all|ipv6, ipv4|$default_style\n|all|subnet\nall||subnet\n".to_owned();
    for style in STYLES {
        for interfaces in ["all", "loopback-only"] {
            for protocols in PROTOCOLS {
                lines.push_str(&format!("{interfaces}|{protocols}|{style}\n"));
            }
        }
        for addresses in addresses {
            lines.push_str(&format!("{addresses}|all|{style}\n"));
        }
    }
    lines
}

/// Asks a program for each of these lines. `$1` is the configuration, the rest the program.
const ASK: &str = r#"
place=$1; shift
while IFS='|' read -r interfaces protocols style; do
    said=$("$@" -c "$place" -o "inet_interfaces=$interfaces" -o "inet_protocols=$protocols" \
        -o "mynetworks_style=$style" mynetworks 2>/dev/null) || said=failed
    echo "$interfaces|$protocols|$style: $said"
done
"$@" -d mynetworks
"#;

/// What Postfix and ringpost say to each line; `inside` is what the shell runs in.
fn both(inside: &[&str], before: &str, lines: &str) -> [String; 2] {
    let place = tempfile::tempdir().expect("a directory");
    let main_cf = "compatibility_level = 3\n\
                   default_style = ${{$compatibility_level} <level {2} ? {subnet} : {host}}\n";
    for (name, text) in [("main.cf", main_cf), ("master.cf", "")] {
        let path = place.path().join(name);
        fs::write(&path, text).expect("a file in it");
        // Postfix waits for a new one to become older before it trusts it.
        let file = File::options().write(true).open(&path).expect("a file in it");
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("a time");
    }
    let place = place.path().to_string_lossy();
    let ringpost = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
    let script = format!("set -e\n{before}\n{ASK}");
    [&["/usr/sbin/postconf"][..], &[&ringpost, "postconf"]].map(|program| {
        let mut words = inside.to_vec();
        words.extend(["sh", "-c", &script, "sh", &place]);
        words.extend(program);
        run_with_input(words[0], &words[1..], lines).expect_ok()
    })
}

fn assert_same(asked: &str, [theirs, ours]: &[String; 2]) {
    assert_eq!(theirs.lines().count(), asked.lines().count() + 1, "{theirs}");
    let differ = theirs.lines().zip(ours.lines()).filter(|(theirs, ours)| theirs != ours);
    assert_eq!(differ.collect::<Vec<_>>(), []);
}

#[test]
fn the_networks_of_this_host_are_those_that_postfix_finds() {
    // Postfix waits a second before it fails.
    let lines =
        asked(&["127.0.0.1", "localhost, 127.0.0.1"]) + "127.0.0.1|ipv6|host\na..b|all|host\n";
    assert_same(&lines, &both(&["env"], "", &lines));
}

#[test]
fn an_address_that_no_interface_has_is_refused_with_its_place() {
    let main_cf = "compatibility_level = 3.6\ninet_interfaces = 127.0.0.1, 203.0.113.77\n";
    let why = "/main.cf:7: inet_interfaces: found \"203.0.113.77\", expected an address of this host; no \
               interface has 203.0.113.77\n";
    let setup = Setup::new().main_cf(main_cf);
    let said = setup.ringpost(&["check"]);
    assert!(!said.ok && said.out.contains(why), "{said:?}");
    let said = setup.refused();
    assert!(said.err.contains(why), "{said:?}");
}

/// A name that no resolver has to ask anybody for.
const NO_NAME: &str = "a..b";

#[test]
fn a_server_listens_where_names_lead_to() {
    let server = Setup::new()
        .main_cf("compatibility_level = 3.6\ninet_interfaces = localhost\ninet_protocols = ipv4\n")
        .master_cf("0 inet n - n - - smtpd\nlocalhost:0 inet n - n - - smtpd -o inet_interfaces=\n")
        .start();
    let addresses = server.addresses();
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    for address in addresses {
        assert_eq!(address.ip(), Ipv4Addr::LOCALHOST);
        Session::greeted_by(address).expect("a session");
    }
}

#[test]
fn a_name_without_an_address_is_refused_with_its_place() {
    let main_cf = format!("compatibility_level = 3.6\ninet_interfaces = 127.0.0.1, {NO_NAME}\n");
    let setup = Setup::new().main_cf(&main_cf);
    let why = "/main.cf:7: inet_interfaces: found \"a..b\", whose address cannot be found: Name or service \
               not known\n";
    let said = setup.ringpost(&["check"]);
    assert!(!said.ok && said.out.contains(why), "{said:?}");
    let said = setup.refused();
    assert!(said.err.contains(why), "{said:?}");
    // What needs no address does not ask for one.
    let queue = setup.ringpost(&["queue", "list"]);
    assert!(!queue.err.contains(NO_NAME), "{queue:?}");
}

#[test]
fn a_reload_with_a_name_without_an_address_leaves_the_configuration_before() {
    let good = "compatibility_level = 3.6\nproxy_interfaces = localhost\n";
    let server = Setup::new().main_cf(good).start();
    let main_cf = server.setup.place().join("etc/main.cf");
    let text = fs::read_to_string(&main_cf).expect("the test's main.cf");
    fs::write(&main_cf, text.replace("localhost", NO_NAME)).expect("a file in the test's place");
    server.main_process().signal(Signal::HUP);
    server.wait_for_error(&[
        "warning: reload:",
        "main.cf:7: proxy_interfaces: found \"a..b\", whose",
    ]);
    server.wait_for_error(&["the configuration before stays in use"]);
    server.session();
}

mod as_root {
    use tests::peer::run;

    use super::*;

    /// A namespace with more kinds of addresses than most hosts have.
    const HOST: &str = "
ip link set lo up
ip addr add 192.0.2.9/24 dev lo
ip addr add 192.0.2.10/32 dev lo
ip addr add 172.20.77.1/20 dev lo
ip addr add 10.1.2.3/27 dev lo
ip addr add 2001:db8:1:2::5/64 dev lo nodad
ip addr add 2001:db8:1:2::6/64 dev lo nodad
ip addr add fe80::77/64 dev lo scope link nodad
ip link add two type veth peer name three || ip link add two type bridge || true
if ip link show two >/dev/null 2>&1; then
    ip link set two up
    ip addr add fe80::78/64 dev two scope link nodad
    ip addr add 192.0.2.65/25 dev two
    ip link show three >/dev/null 2>&1 && ip addr add 198.51.100.1/24 dev three || true
fi
";

    /// Names that have addresses in the namespace, and that are known there alone.
    const NAMES: &str = "
echo '127.0.0.1 localhost
192.0.2.9 mx.example
2001:db8:1:2::5 mx.example
203.0.113.7 nat.example' >/run/hosts
mount --bind /run/hosts /etc/hosts
";

    /// Where a file can be another one for whom it may concern.
    const OF_ITS_OWN: [&str; 3] = ["unshare", "--net", "--mount"];

    fn host() -> String {
        format!("mount -t tmpfs none /run\n{HOST}\n{NAMES}")
    }

    #[test]
    fn names_mean_what_they_mean_to_postfix() {
        let addresses = ["mx.example", "[mx.example], 192.0.2.10 localhost 127.0.0.1"];
        let lines = asked(&addresses)
            + "mx.example|ipv4|subnet\nmx.example|ipv6|subnet\nlocalhost|ipv6|host\n"
            + "nat.example|all|host\n192.0.2.9, gone.example|all|host\nall, mx.example|all|host\n";
        let said = both(&OF_ITS_OWN, &host(), &lines);
        let named = "mx.example|all|subnet: mynetworks = 192.0.2.0/24 [2001:db8:1:2::]/64\n";
        assert!(said[1].contains(named), "{}", said[1]);
        assert_same(&lines, &said);
    }

    #[test]
    fn a_service_on_a_host_without_an_address_is_an_error() {
        let place = tempfile::tempdir().expect("a directory");
        let master_cf =
            "mx.example:25 inet n - n - - smtpd\ngone.example:25 inet n - n - - smtpd\n";
        for (name, text) in [("main.cf", "mydestination =\n"), ("master.cf", master_cf)] {
            fs::write(place.path().join(name), text).expect("a file in it");
        }
        let place = place.path().to_string_lossy();
        let ringpost = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
        let script = format!("set -e\n{}\n\"$1\" check -c \"$2\"", host());
        let said =
            run("unshare", ["--net", "--mount", "sh", "-c", &script, "sh", &ringpost, &place]);
        let why =
            "/master.cf:2: gone.example:25/inet: cannot find the address of \"gone.example\": ";
        assert!(!said.ok && said.out.contains(why), "{said:?}");
    }

    #[test]
    fn an_address_in_brackets_is_the_hosts_by_any_of_its_names() {
        let place = tempfile::tempdir().expect("a directory");
        let main_cf = "compatibility_level = 3.6\nmyhostname = mx.example\nmydestination =\n\
                       inet_interfaces = mx.example\nproxy_interfaces = nat.example\n\
                       local_recipient_maps =\n";
        fs::write(place.path().join("main.cf"), main_cf).expect("a file in it");
        let script = format!(
            "set -e\n{}\nfor address in 192.0.2.9 203.0.113.7 192.0.2.10; do\n\
             \"$1\" explain -c \"$2\" \"user@[$address]\" || true; done\n",
            host()
        );
        let place = place.path().to_string_lossy();
        let ringpost = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
        let words = ["--net", "--mount", "sh", "-c", &script, "sh", &ringpost, &place];
        let said = run("unshare", words);
        for (address, own) in [("192.0.2.9", "yes"), ("203.0.113.7", "yes"), ("192.0.2.10", "no")] {
            let line = format!("inet_interfaces, proxy_interfaces: [{address}]: {own}\n");
            assert!(said.out.contains(&line), "{line}{said:?}");
        }
    }

    #[test]
    fn the_networks_of_any_host_are_those_that_postfix_finds() {
        let addresses = [
            "192.0.2.9",
            "192.0.2.10",
            "[2001:db8:1:2::6] 192.0.2.10, 10.1.2.3",
            "fe80::77, 172.20.77.1 172.20.77.1",
        ];
        // The last one's interface is down.
        let lines = asked(&addresses) + "198.51.100.1|all|host\n";
        let said = both(&["unshare", "--net"], HOST, &lines);
        let subnets =
            "mynetworks = 127.0.0.0/8 192.0.2.0/24 192.0.2.10/32 172.20.64.0/20 10.1.2.0/27 ";
        assert!(said[1].contains(subnets) && said[1].contains(" [fe80::]/64"), "{}", said[1]);
        assert_same(&lines, &said);
    }

    #[test]
    fn a_host_without_interfaces_trusts_itself() {
        let place = tempfile::tempdir().expect("a directory");
        let main_cf = "compatibility_level = 3.6\nmydestination =\n";
        fs::write(place.path().join("main.cf"), main_cf).expect("a file in it");
        let ringpost = std::env::var("RINGPOST_BIN").expect("tests/run sets it");
        let inside = |words: &[&str]| {
            let place = place.path().to_string_lossy();
            let words =
                [&["--net", &ringpost][..], &words[..1], &["-c", &place], &words[1..]].concat();
            run("unshare", words)
        };
        let said = inside(&["postconf", "mynetworks"]).expect_ok();
        assert_eq!(said, "mynetworks = 127.0.0.1/32 [::1]/128\n");
        let said = inside(&["check"]);
        let why = "inet_interfaces: the network interfaces cannot be read: none is up; ";
        assert!(said.out.contains(why), "{said:?}");
    }
}
