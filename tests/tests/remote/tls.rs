//! TLS to the databases: who is let in, who is not, and that nothing is said in the clear meanwhile.

use std::fs;

use crate::authority::{Authority, Certificate};
use crate::faults::PATIENT;
use crate::relay::Relay;
use crate::server::{Server, free_port};
use crate::trial::{PASSWORD, Trial};
use crate::{ldap, mariadb, postgres, redis};

/// What a table is told to believe.
#[derive(Clone, Copy)]
enum Trust<'a> {
    /// A server with this name, by one of these authorities.
    Name(&'a str),
    /// Any server of one of these authorities.
    Chain(&'a str),
    /// Authorities in a directory.
    Directory(&'a str),
    /// Anybody.
    Anybody,
}

/// How far servers are believed by tables of a type.
struct Kind {
    /// Certificates may be checked without the name.
    has_chain: bool,
    /// Authorities may be in a directory.
    has_directory: bool,
    /// A certificate that is marked as one of a CA may be a server's.
    takes_self_signed: bool,
}

/// Tries each certificate. `serve` starts the server anew with one of them.
fn certificates(
    authority: &Authority,
    kind: &Kind,
    mut serve: impl FnMut(Certificate),
    table: impl Fn(Trust<'_>) -> Trial,
) {
    let (ca, other) = (authority.ca(), authority.other_ca());
    let refuses = |trust: Trust<'_>, words: &str| {
        let cause = table(trust).assert_unavailable(words);
        assert!(cause.contains(words), "{words}: {cause}");
    };

    serve(Certificate::Good);
    table(Trust::Name(&ca)).assert_works();
    table(Trust::Anybody).assert_works();
    refuses(Trust::Name(&other), "of no CA that is trusted here");
    if kind.has_chain {
        table(Trust::Chain(&ca)).assert_works();
        refuses(Trust::Chain(&other), "of no CA that is trusted here");
    }
    if kind.has_directory {
        table(Trust::Directory(&authority.ca_dir())).assert_works();
    }

    serve(Certificate::OtherName);
    refuses(Trust::Name(&ca), "not valid for name");
    if kind.has_chain {
        table(Trust::Chain(&ca)).assert_works();
        refuses(Trust::Chain(&other), "of no CA that is trusted here");
    }
    table(Trust::Anybody).assert_works();

    serve(Certificate::Expired);
    refuses(Trust::Name(&ca), "has expired");
    if kind.has_chain {
        refuses(Trust::Chain(&ca), "has expired");
    }
    table(Trust::Anybody).assert_works();

    serve(Certificate::SelfSigned);
    refuses(Trust::Name(&ca), "one of a CA and not of a server");
    if kind.takes_self_signed {
        table(Trust::Name(&authority.cert(Certificate::SelfSigned))).assert_works();
    }
}

/// A server without TLS, which sees neither a password nor anything else that it could use.
fn without_tls(server: &Server, table: impl Fn(u16) -> Trial, words: &str) -> Vec<u8> {
    let relay = Relay::to(server.socket());
    let trial = table(relay.port());
    let cause = trial.assert_unavailable("the server has no TLS");
    assert!(cause.contains(words), "{cause}");
    let said = relay.said();
    for secret in [PASSWORD, "mail", ldap::ADMIN] {
        let is_there = said.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!is_there, "{secret} in {:?}", String::from_utf8_lossy(&said));
    }
    said
}

#[test]
fn mariadb_is_believed_as_far_as_its_certificate_goes() {
    let mut server = mariadb::server();
    let authority = Authority::new(server.place());
    let port = free_port();
    let host = format!("127.0.0.1:{port}");
    let open = |more: &str| {
        Trial::new("mysql", &mariadb::cf(&host, PASSWORD, &format!("{}\n{more}", mariadb::QUERY)))
    };
    let kind = Kind { has_chain: true, has_directory: true, takes_self_signed: false };
    let serve = |certificate| {
        server.kill();
        server.arguments(&[
            "--skip-networking=0",
            "--bind-address=127.0.0.1",
            &format!("--port={port}"),
            &format!("--ssl-ca={}", authority.ca()),
            &format!("--ssl-cert={}", authority.cert(certificate)),
            &format!("--ssl-key={}", authority.key(certificate)),
        ]);
        server.start();
        mariadb::filled(&server);
    };
    certificates(&authority, &kind, serve, |trust| match trust {
        Trust::Name(ca) => open(&format!("tls_CAfile = {ca}\ntls_verify_cert = yes")),
        Trust::Chain(ca) => open(&format!("tls_CAfile = {ca}")),
        Trust::Directory(path) => open(&format!("tls_CApath = {path}\ntls_verify_cert = yes")),
        // Only a client certificate says that TLS is wanted.
        Trust::Anybody => {
            let (cert, key) =
                (authority.cert(Certificate::Client), authority.key(Certificate::Client));
            open(&format!("tls_cert_file = {cert}\ntls_key_file = {key}"))
        }
    });

    // A user who has to have a certificate, and one who has to have TLS.
    let known = |more: &str| {
        let cf = mariadb::cf(&host, PASSWORD, &format!("{}\n{more}", mariadb::QUERY));
        Trial::new("mysql", &cf.replace("user = mail", "user = known"))
    };
    let (cert, key) = (authority.cert(Certificate::Client), authority.key(Certificate::Client));
    let own = format!("tls_CAfile = {}", authority.cert(Certificate::SelfSigned));
    known(&format!("tls_cert_file = {cert}\ntls_key_file = {key}")).assert_works();
    known(&own).assert_unavailable("no client certificate");
    open("").assert_unavailable("the user has to have TLS");
    server.kill();
}

#[test]
fn mariadb_without_tls_is_told_nothing() {
    let mut server = mariadb::server();
    server.start();
    mariadb::filled(&server);
    let authority = Authority::new(server.place());
    let more = format!("{}\ntls_CAfile = {}", mariadb::QUERY, authority.ca());
    let open = |host: &str| Trial::new("mysql", &mariadb::cf(host, PASSWORD, &more));
    let said =
        without_tls(&server, |port| open(&format!("127.0.0.1:{port}")), "the server has no TLS");
    assert_eq!(said, b"", "not even a user name");
    open(&format!("unix:{}", server.socket().display())).assert_works();
}

#[test]
fn postgres_is_believed_as_far_as_its_certificate_goes() {
    let port = free_port();
    let mut server = postgres::on_port(port);
    let authority = Authority::new(server.place());
    let address = format!("127.0.0.1:{port}");
    let uri = |more: &str| {
        let uri = format!("postgresql://mail:{PASSWORD}@{address}/postgres?{more}");
        Trial::new("pgsql", &format!("hosts = {uri}\n{PATIENT}{}\n", postgres::QUERY))
    };
    // Once as a URI, once in dbname.
    let both = |mode: &str, root: &str| {
        let root = if root.is_empty() { String::new() } else { format!("sslrootcert={root}") };
        let info = format!("dbname=postgres sslmode={mode} {root}");
        let cf = postgres::cf(&address, PASSWORD, postgres::QUERY);
        let cf = cf.replace("dbname = postgres", &format!("dbname = {info}"));
        (uri(&format!("sslmode={mode}&{root}")), Trial::new("pgsql", &cf))
    };
    let serve = |server: &mut Server, certificate| {
        server.kill();
        server.arguments(&[
            "-h",
            "127.0.0.1",
            "-c",
            "ssl=on",
            "-c",
            &format!("ssl_ca_file={}", authority.ca()),
            "-c",
            &format!("ssl_cert_file={}", authority.cert(certificate)),
            "-c",
            &format!("ssl_key_file={}", authority.key(certificate)),
        ]);
        server.start();
        postgres::ready(server);
    };
    let kind = Kind { has_chain: true, has_directory: false, takes_self_signed: true };
    for in_uri in [true, false] {
        let pick = |(uri, info)| if in_uri { uri } else { info };
        certificates(
            &authority,
            &kind,
            |it| serve(&mut server, it),
            |trust| match trust {
                Trust::Name(ca) => pick(both("verify-full", ca)),
                Trust::Chain(ca) => pick(both("verify-ca", ca)),
                Trust::Directory(_) | Trust::Anybody => pick(both("require", "")),
            },
        );
    }

    // Who is let in how: pg_hba.conf decides, and modes that do not insist go along.
    serve(&mut server, Certificate::Good);
    let mut hba = |host: &str| {
        let lines = format!("local all all scram-sha-256\n{host}\n");
        fs::write(server.place().join("data/pg_hba.conf"), lines).expect("a file");
        serve(&mut server, Certificate::Good);
    };
    hba("hostssl all all 127.0.0.1/32 scram-sha-256");
    for mode in ["allow", "prefer", "require"] {
        uri(&format!("sslmode={mode}")).assert_works();
        both(mode, "").1.assert_works();
    }
    let cause = uri("sslmode=disable").assert_unavailable("no line for it");
    assert!(cause.contains("no encryption"), "{cause}");
    hba("hostnossl all all 127.0.0.1/32 scram-sha-256");
    for mode in ["allow", "prefer", "disable"] {
        uri(&format!("sslmode={mode}")).assert_works();
        both(mode, "").1.assert_works();
    }
    let cause = uri("sslmode=require").assert_unavailable("no line for it");
    assert!(cause.contains("SSL encryption"), "{cause}");

    hba("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca");
    let (cert, key) = (authority.cert(Certificate::Client), authority.key(Certificate::Client));
    uri(&format!("sslmode=require&sslcert={cert}&sslkey={key}")).assert_works();
    let cause = uri("sslmode=require").assert_unavailable("no client certificate");
    assert!(cause.contains("certificate"), "{cause}");
}

#[test]
fn postgres_without_tls_is_told_nothing_by_who_insists() {
    let mut server = postgres::server();
    server.start();
    postgres::ready(&server);
    let table = |mode: &str, port: u16| {
        let uri = format!("postgresql://mail:{PASSWORD}@127.0.0.1:{port}/postgres?sslmode={mode}");
        Trial::new("pgsql", &format!("hosts = {uri}\n{PATIENT}{}\n", postgres::QUERY))
    };
    let said = without_tls(&server, |port| table("require", port), "server does not support TLS");
    assert_eq!(said, b"\0\0\0\x08\x04\xd2\x16\x2f", "an SSLRequest and nothing else");
    let relay = Relay::to(server.socket());
    table("prefer", relay.port()).assert_works();
}

#[test]
fn openldap_is_believed_as_far_as_its_certificate_goes() {
    let (clear, covered) = (free_port(), free_port());
    let urls = format!("ldap://127.0.0.1:{clear} ldaps://127.0.0.1:{covered}");
    let conf = "TLSCACertificateFile PLACE/ca.pem\nTLSCertificateFile PLACE/now.pem\n\
                TLSCertificateKeyFile PLACE/now.key\nTLSVerifyClient try\n\
                authz-regexp \"^cn=client$\" \"cn=admin,dc=example,dc=com\"";
    let mut server = ldap::listening(&urls, conf);
    let authority = Authority::new(server.place());
    let now = |name: &str| server.place().join(name);
    let (now_pem, now_key) = (now("now.pem"), now("now.key"));
    let host = |scheme: &str| match scheme {
        "ldaps" => format!("ldaps://127.0.0.1:{covered}"),
        _ => format!("ldap://127.0.0.1:{clear}\nstart_tls = yes"),
    };
    let open = |scheme: &str, more: &str| {
        let more = format!("{}\n{more}", ldap::QUERY);
        Trial::new("ldap", &ldap::cf(&host(scheme), PASSWORD, &more))
    };
    let mut serve = |certificate| {
        server.kill();
        // In their place, with the owner that they have.
        fs::rename(authority.cert(certificate), &now_pem).expect("a file");
        fs::rename(authority.key(certificate), &now_key).expect("a file");
        server.start();
    };
    let kind = Kind { has_chain: false, has_directory: true, takes_self_signed: false };
    certificates(&authority, &kind, &mut serve, |trust| match trust {
        Trust::Name(ca) | Trust::Chain(ca) => {
            open("ldaps", &format!("tls_ca_cert_file = {ca}\ntls_require_cert = yes"))
        }
        Trust::Directory(path) => {
            open("start_tls", &format!("tls_ca_cert_dir = {path}\ntls_require_cert = yes"))
        }
        Trust::Anybody => open("ldaps", ""),
    });
    for scheme in ["ldaps", "start_tls"] {
        open(scheme, "").assert_works();
        let checked = format!("tls_require_cert = yes\ntls_ca_cert_file = {}", authority.ca());
        let cause = open(scheme, &checked).assert_unavailable("signed by itself");
        assert!(cause.contains("one of a CA and not of a server"), "{cause}");
        let own = format!("tls_require_cert = yes\ntls_ca_cert_file = {}", now_pem.display());
        open(scheme, &own).assert_works();

        // Who the client is, the connection says.
        let (cert, key) = (authority.cert(Certificate::Client), authority.key(Certificate::Client));
        let external = "bind = sasl\nsasl_mechs = PLAIN EXTERNAL\nsasl_minssf = 128\n";
        let anonymous = |more: &str| {
            let cf = ldap::cf(&host(scheme), PASSWORD, &format!("{}\n{more}", ldap::QUERY));
            let is_bind = |line: &&str| line.starts_with("bind_");
            let kept: Vec<&str> = cf.lines().filter(|line| !is_bind(line)).collect();
            Trial::new("ldap", &kept.join("\n"))
        };
        anonymous(&format!("{external}tls_cert = {cert}\ntls_key = {key}")).assert_works();
        anonymous(external).assert_unavailable("nobody is known by no certificate");
        let cause = anonymous("bind = no").assert_unavailable("nobody");
        assert!(!cause.is_empty());
    }
}

#[test]
fn openldap_without_tls_is_told_nothing() {
    let mut server = ldap::listening(
        "",
        "authz-regexp \"^gidNumber=.*cn=peercred.*$\" \"cn=admin,dc=example,dc=com\"",
    );
    server.start();
    let table = |host: String| Trial::new("ldap", &ldap::cf(&host, PASSWORD, ldap::QUERY));
    let start = |port| table(format!("ldap://127.0.0.1:{port}\nstart_tls = yes"));
    without_tls(&server, start, "start_tls: the server has no TLS");
    without_tls(&server, |port| table(format!("ldaps://127.0.0.1:{port}")), "127.0.0.1");

    // The user at the other end of a local socket needs no certificate.
    let socket = server.socket().to_string_lossy().replace('/', "%2F");
    let cf = format!(
        "server_host = ldapi://{socket}\nsearch_base = {}\nbind = sasl\nsasl_mechs = EXTERNAL\n\
         {PATIENT}{}\n",
        ldap::BASE,
        ldap::QUERY
    );
    Trial::new("ldap", &cf).assert_works();
}

#[test]
fn redis_is_believed_as_far_as_its_certificate_goes() {
    let mut server = redis::server();
    let authority = Authority::new(server.place());
    let port = free_port();
    let open = |more: &str| {
        Trial::new("redis", &redis::cf(&format!("rediss://127.0.0.1:{port}"), PASSWORD, more))
    };
    let mut serve = |certificate, clients: &str| {
        server.kill();
        server.arguments(&[
            "--tls-port",
            &port.to_string(),
            "--tls-ca-cert-file",
            &authority.ca(),
            "--tls-cert-file",
            &authority.cert(certificate),
            "--tls-key-file",
            &authority.key(certificate),
            "--tls-auth-clients",
            clients,
            "--bind",
            "127.0.0.1",
        ]);
        server.start();
        redis::fill(&server);
    };
    let kind = Kind { has_chain: false, has_directory: true, takes_self_signed: true };
    certificates(
        &authority,
        &kind,
        |it| serve(it, "no"),
        |trust| match trust {
            Trust::Name(ca) | Trust::Chain(ca) => open(&format!("tls_CAfile = {ca}")),
            Trust::Directory(path) => open(&format!("tls_CApath = {path}")),
            Trust::Anybody => open("tls_verify_cert = no"),
        },
    );

    serve(Certificate::Good, "yes");
    let ca = format!("tls_CAfile = {}", authority.ca());
    let (cert, key) = (authority.cert(Certificate::Client), authority.key(Certificate::Client));
    open(&format!("{ca}\ntls_cert_file = {cert}\ntls_key_file = {key}")).assert_works();
    open(&ca).assert_unavailable("no client certificate");
}

#[test]
fn redis_without_tls_is_told_nothing() {
    let mut server = redis::server();
    server.start();
    redis::fill(&server);
    let authority = Authority::new(server.place());
    let more = format!("tls_CAfile = {}", authority.ca());
    let table = |port| {
        Trial::new("redis", &redis::cf(&format!("rediss://127.0.0.1:{port}"), PASSWORD, &more))
    };
    without_tls(&server, table, "127.0.0.1");
}
