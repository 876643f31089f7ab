//! What the host knows: `environ:`, `unix:passwd.byname` and `unix:group.byname`; and `fail:`, which
//! knows nothing.

use std::collections::HashMap;
use std::sync::Arc;

use nix::errno::Errno;
use nix::unistd::{Gid, Group, Uid, User};

use crate::{Answer, Lookup, Opened, Opening, Response, Trouble, Value, fold};

/// Opens `environ:`, the environment the program was started with. Names are looked up as they are
/// written; a value that is no text is not there.
pub(crate) fn open_environ(_: &Opening<'_>) -> Opened {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        Some((name.into_string().ok()?.into(), Value::from(value.into_string().ok()?)))
    });
    Ok(Box::new(Environment(variables.collect())))
}

#[derive(Debug)]
struct Environment(HashMap<Box<str>, Value>);

impl Lookup for Environment {
    fn lookup(&self, key: &str) -> Response {
        self.0.get(key).cloned().map_or(Answer::NotFound, Answer::Found).into()
    }
}

/// Opens `fail:name`: a table that is always away, to try out what happens then.
pub(crate) fn open_fail(opening: &Opening<'_>) -> Opened {
    let table = format!("fail:{}", opening.name());
    let cause = "it is a table that always fails".into();
    Ok(Box::new(Failing(Arc::new(Trouble { table: table.into(), cause }))))
}

#[derive(Debug)]
struct Failing(Arc<Trouble>);

impl Lookup for Failing {
    fn lookup(&self, _: &str) -> Response {
        Answer::Unavailable(self.0.clone()).into()
    }

    fn whole_keys_only(&self) -> bool {
        true
    }
}

/// Opens `unix:passwd.byname` or `unix:group.byname`, asked by way of the host's name service switch.
pub(crate) fn open_unix(opening: &Opening<'_>) -> Opened {
    match opening.name() {
        "passwd.byname" => Ok(Box::new(Accounts::Users)),
        "group.byname" => Ok(Box::new(Accounts::Groups)),
        name => Err(format!("\"{name}\" is not passwd.byname or group.byname")),
    }
}

#[derive(Debug)]
enum Accounts {
    Users,
    Groups,
}

impl Lookup for Accounts {
    fn lookup(&self, key: &str) -> Response {
        let key = fold::folded(key);
        let found = match self {
            // A name with a NUL byte cannot be asked for.
            _ if key.contains('\0') => Ok(None),
            Self::Users => User::from_name(&key).map(|user| user.as_ref().map(passwd_line)),
            Self::Groups => Group::from_name(&key).map(|group| group.as_ref().map(group_line)),
        };
        match found {
            Ok(Some(line)) => Answer::Found(line.into()),
            Ok(None) | Err(Errno::ENOENT | Errno::ESRCH) => self.missing(),
            Err(why) => self.away(&why.to_string()),
        }
        .into()
    }
}

impl Accounts {
    /// The C library says "no such name" also where it cannot reach the database. Root is known
    /// wherever anybody is, so where root is not, nobody knows (postfix `src/util/dict_unix.c`).
    fn missing(&self) -> Answer {
        let root = match self {
            Self::Users => User::from_uid(Uid::from_raw(0)).map(|root| root.is_some()),
            Self::Groups => Group::from_gid(Gid::from_raw(0)).map(|root| root.is_some()),
        };
        match root {
            Ok(true) => Answer::NotFound,
            Ok(false) => self.away("not even root is in it"),
            Err(why) => self.away(&why.to_string()),
        }
    }

    fn away(&self, why: &str) -> Answer {
        let (table, database) = match self {
            Self::Users => ("unix:passwd.byname", "password"),
            Self::Groups => ("unix:group.byname", "group"),
        };
        Trouble::answer(table, format!("cannot read the {database} database: {why}"))
    }
}

fn passwd_line(user: &User) -> String {
    let User { name, uid, gid, .. } = user;
    let (passwd, gecos) = (user.passwd.to_string_lossy(), user.gecos.to_string_lossy());
    let (dir, shell) = (user.dir.display(), user.shell.display());
    format!("{name}:{passwd}:{uid}:{gid}:{gecos}:{dir}:{shell}")
}

fn group_line(group: &Group) -> String {
    let Group { name, gid, mem, .. } = group;
    format!("{name}:{}:{gid}:{}", group.passwd.to_string_lossy(), mem.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Memory, Table, block_on};

    fn ask(spec: &str, key: &str) -> Result<Option<String>, String> {
        let table = Table::open(spec, &Memory::default());
        match block_on(table.lookup(key).answer()).found() {
            Ok(value) => Ok(value.map(|value| value.to_string())),
            Err(trouble) => Err(trouble.to_string()),
        }
    }

    #[test]
    fn the_environment_is_looked_up_by_exact_names() {
        // Cargo sets this one for every test.
        let name = env!("CARGO_PKG_NAME");
        assert_eq!(ask("environ:", "CARGO_PKG_NAME"), Ok(Some(name.to_owned())));
        assert_eq!(ask("environ:anything", "cargo_pkg_name"), Ok(None));
    }

    #[test]
    fn a_table_that_always_fails_names_itself() {
        let away = "table fail:db: it is a table that always fails";
        assert_eq!(ask("fail:db", "a"), Err(away.to_owned()));
    }

    #[test]
    fn users_and_groups_are_lines_of_their_databases() {
        let root = ask("unix:passwd.byname", "ROOT").unwrap().unwrap();
        assert!(root.starts_with("root:") && root.contains(":0:0:"), "{root}");
        assert_eq!(root.split(':').count(), 7);
        let root = ask("unix:group.byname", "root").unwrap().unwrap();
        assert!(root.starts_with("root:") && root.contains(":0:"), "{root}");
        for table in ["unix:passwd.byname", "unix:group.byname"] {
            assert_eq!(ask(table, "no such name"), Ok(None));
            assert_eq!(ask(table, "a\0b"), Ok(None));
            assert_eq!(ask(table, ""), Ok(None));
        }
        assert!(ask("unix:shadow.byname", "root").unwrap_err().contains("is not passwd.byname"));
    }

    #[test]
    fn members_of_a_group_are_parted_by_commas() {
        let group = Group {
            name: "mail".to_owned(),
            passwd: c"x".to_owned(),
            gid: Gid::from_raw(8),
            mem: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(group_line(&group), "mail:x:8:a,b");
    }

    #[test]
    fn a_database_that_cannot_be_read_is_away() {
        let Answer::Unavailable(trouble) = Accounts::Users.away(&Errno::EIO.to_string()) else {
            panic!("it answered");
        };
        assert!(trouble.to_string().contains("password database: EIO"), "{trouble}");
    }
}
