//! OpenLDAP.

use std::fs;

use crate::answers;
use crate::faults::{self, HURRIED, PATIENT};
use crate::server::{Server, place, prepare};
use crate::trial::{KEY, PASSWORD, Trial, VALUE};

pub(crate) const BASE: &str = "dc=example,dc=com";
pub(crate) const ADMIN: &str = "cn=admin,dc=example,dc=com";

const LDIF: &str = "
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: uid=user,ou=people,dc=example,dc=com
objectClass: account
objectClass: extensibleObject
uid: user
mail: KEY
description: VALUE

dn: uid=multi,ou=people,dc=example,dc=com
objectClass: account
objectClass: extensibleObject
uid: multi
mail: multi@example.com
description: a@x
description: b@y

dn: cn=list,dc=example,dc=com
objectClass: groupOfURLs
objectClass: groupOfNames
objectClass: extensibleObject
cn: list
mail: list@example.com
member: uid=user,ou=people,dc=example,dc=com
member: uid=multi,ou=people,dc=example,dc=com
member: uid=gone,ou=people,dc=example,dc=com
ref: x

dn: cn=urls,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: urls
mail: urls@example.com
member: cn=nobody
labeledURI: ldap:///ou=people,dc=example,dc=com?description?sub?(uid=multi)
labeledURI: ldap:///ou=people,dc=example,dc=com?telephoneNumber?sub

dn: cn=loop,dc=example,dc=com
objectClass: groupOfNames
objectClass: extensibleObject
cn: loop
mail: loop@example.com
member: cn=loop,dc=example,dc=com
";

/// A server that is not running yet.
pub(crate) fn server() -> Server {
    listening("", "")
}

/// One that listens there as well, with these lines in its configuration. `PLACE` is its directory.
pub(crate) fn listening(urls: &str, lines: &str) -> Server {
    let place = place();
    let lines = lines.replace("PLACE", &place.path().to_string_lossy());
    let path = |name: &str| place.path().join(name).to_string_lossy().into_owned();
    let conf = format!(
        "include /etc/ldap/schema/core.schema\n\
         include /etc/ldap/schema/cosine.schema\n\
         modulepath /usr/lib/ldap\n\
         moduleload back_mdb\n\
         pidfile {}\n\
         {lines}\n\
         database mdb\n\
         maxsize 10485760\n\
         suffix {BASE}\n\
         rootdn {ADMIN}\n\
         rootpw {PASSWORD}\n\
         directory {}\n\
         dbnosync\n\
         access to * by users read by anonymous auth\n",
        path("pid"),
        path("data"),
    );
    fs::write(path("slapd.conf"), conf).expect("a configuration file");
    let ldif = LDIF
        .replace("objectClass: groupOfURLs\n", "")
        .replace("ref: x\n", "")
        .replace("KEY", KEY)
        .replace("VALUE", VALUE);
    fs::write(path("ldif"), ldif.trim_start()).expect("entries");
    prepare(&["mkdir", &path("data")], place.path());
    prepare(&["slapadd", "-f", &path("slapd.conf"), "-l", &path("ldif")], place.path());
    let url = format!("{urls} ldapi://{}", path("sock").replace('/', "%2F"));
    let command = ["slapd", "-h", &url, "-f", &path("slapd.conf"), "-d", "0"];
    Server::new(place, "sock", &command)
}

pub(crate) fn cf(host: &str, password: &str, more: &str) -> String {
    format!(
        "server_host = {host}\nbind_dn = {ADMIN}\nbind_pw = {password}\nversion = 3\n\
         search_base = {BASE}\n{PATIENT}{more}\n"
    )
}

pub(crate) const QUERY: &str = "query_filter = (mail=%s)\nresult_attribute = description";

fn table(port: u16) -> Trial {
    Trial::new("ldap", &cf(&format!("ldap://127.0.0.1:{port}"), PASSWORD, QUERY))
}

#[test]
fn answers_as_postfix_does() {
    let mut server = server();
    server.start();
    let host = format!("ldapi://{}", server.socket().to_string_lossy().replace('/', "%2F"));
    let open = |more: &str| Trial::new("ldap", &cf(&host, PASSWORD, more));
    answers::common(|more| open(&format!("{QUERY}\n{more}")));
    let trial = open(QUERY);
    for key in ["*", "user*", "*@example.com", ")(uid=*", "user@example.com)(uid=user", "\\2a"] {
        trial.assert_not_found(key);
    }
    assert_eq!(trial.found("multi@example.com"), "a@x,b@y");
    let parts = open("query_filter = (&(mail=%u@%d)(uid=%U))\nresult_attribute = description");
    assert_eq!(parts.found(KEY), VALUE);
    parts.assert_not_found("multi2@example.com");
    let filter =
        open("query_filter = (mail=%S)\nresult_attribute = description\nresult_filter = <%s>");
    assert_eq!(filter.found(KEY), format!("<{VALUE}>"));
    assert_eq!(
        open("query_filter = (mail=%u@%2.%1)\nresult_attribute = description").found(KEY),
        VALUE
    );
    assert_eq!(open(&format!("{QUERY}\nscope = one")).ask(KEY), table::Answer::NotFound);
    assert_eq!(open("query_filter = mail=%s\nresult_attribute = description").found(KEY), VALUE);
    let limited = open(&format!("{QUERY}\nexpansion_limit = 1"));
    let answer = limited.ask("multi@example.com");
    assert!(limited.cause(answer, "too many values").contains("expansion_limit"));
    let many = open("query_filter = (|(mail=%s)(uid=*))\nresult_attribute = uid\nsize_limit = 1");
    many.assert_unavailable("too many entries");
    open("query_filter = (mail=%s").assert_unavailable("a filter that cannot be read");
}

#[test]
fn a_base_made_of_the_key_may_be_missing_and_a_fixed_one_may_not() {
    let mut server = server();
    server.start();
    let host = format!("ldapi://{}", server.socket().to_string_lossy().replace('/', "%2F"));
    let open = |base: &str| {
        let more = format!("search_base = {base}\nquery_filter = (objectClass=*)\n");
        let cf =
            cf(&host, PASSWORD, &format!("{more}result_attribute = description\nscope = base"));
        cf.replace(&format!("search_base = {BASE}\n"), "")
    };
    let place = tempfile::tempdir().expect("a directory");
    // The filter is the same for every key, which is noted.
    let path = place.path().join("table.cf");
    fs::write(&path, open("uid=%u,ou=people,dc=example,dc=com")).expect("a file");
    let tables = table::Tables::new(&table::Disk).with_types(remote::Remote::new().types());
    let table = tables.open(&format!("ldap:{}", path.display()));
    assert_eq!(table.notes().len(), 1);
    let ask = |key: &str| table::block_on(table.lookup(key).answer());
    assert_eq!(ask(KEY), table::Answer::Found(VALUE.into()));
    assert_eq!(ask("gone@example.com"), table::Answer::NotFound);
    for key in ["user,ou=people@x", "x+uid=user@x", "=@x", "user\\@x", "#user@x"] {
        assert_eq!(ask(key), table::Answer::NotFound, "{key}");
    }
    let more = QUERY.to_owned() + "\nscope = base";
    let fixed = Trial::new("ldap", &cf(&host, PASSWORD, &more).replace(BASE, "dc=gone"));
    fixed.assert_unavailable("the base is not there");
}

#[test]
fn entries_lead_to_others_by_name_and_by_url_and_not_for_ever() {
    let mut server = server();
    server.start();
    let host = format!("ldapi://{}", server.socket().to_string_lossy().replace('/', "%2F"));
    let special = format!("{QUERY}\nspecial_result_attribute = member, labeledURI");
    let open = |more: &str| Trial::new("ldap", &cf(&host, PASSWORD, &format!("{special}\n{more}")));
    assert_eq!(open("").found("list@example.com"), format!("{VALUE},a@x,b@y"));
    assert_eq!(open("").found("urls@example.com"), "a@x,b@y");
    let trial = open("recursion_limit = 5");
    let answer = trial.ask("loop@example.com");
    assert!(trial.cause(answer, "a loop").contains("recursion_limit"));
    let leaf = open("leaf_result_attribute = cn");
    assert_eq!(leaf.found("list@example.com"), format!("{VALUE},a@x,b@y"));
    let terminal = open("terminal_result_attribute = cn");
    assert_eq!(terminal.found("list@example.com"), "list");
}

#[test]
fn faults_of_the_server_and_on_the_way_to_it() {
    let mut server = server();
    faults::all(&mut server, table, |_| {});
    faults::hanging(&server, |port| {
        let more = format!("{QUERY}\n{HURRIED}");
        Trial::new("ldap", &cf(&format!("127.0.0.1:{port}"), PASSWORD, &more))
    });
    faults::wrong_password(&server, |port, password| {
        Trial::new("ldap", &cf(&format!("127.0.0.1:{port}"), password, QUERY))
    });
    faults::few_connections(&server, table);
    faults::fails_over(&server, |hosts| Trial::new("ldap", &cf(hosts, PASSWORD, QUERY)));
}
