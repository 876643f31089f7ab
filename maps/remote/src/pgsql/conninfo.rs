//! Connection strings of libpq: `postgresql://user@host/dbname?sslmode=verify-full`, and `dbname=mail
//! sslmode=require`. What they say of TLS is read here, because the driver knows less of it; the rest is
//! the driver's.

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host};

use crate::ldap::decode;
use crate::tls::{Check, Files, Tls};

/// Parameters that mean nothing here: of Kerberos, which is not spoken, of compression, which nobody has any
/// more, and names that are sent for information.
const WITHOUT_EFFECT: [&str; 9] = [
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "keepalives_count",
    "krbsrvname",
    "ssl_min_protocol_version",
    "sslcompression",
    "sslsni",
];

/// `sslmode`, as libpq-ssl(SSL Mode Descriptions) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Disable,
    /// TLS where the server wants it.
    Allow,
    /// TLS where the server has it: what libpq does when nothing is said.
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// A connection string, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conninfo {
    /// What the driver knows.
    pub(crate) config: Config,
    pub(crate) mode: Mode,
    /// A file, or `system`.
    root_cert: Option<String>,
    cert: Option<String>,
    key: Option<String>,
}

impl Default for Conninfo {
    fn default() -> Self {
        Self { config: Config::new(), mode: Mode::Prefer, root_cert: None, cert: None, key: None }
    }
}

/// True for what libpq would take for a connection string where a name is expected.
pub(crate) fn is_conninfo(text: &str) -> bool {
    is_uri(text) || text.contains('=')
}

/// True for a URI.
pub(crate) fn is_uri(text: &str) -> bool {
    text.starts_with("postgresql://") || text.starts_with("postgres://")
}

impl Conninfo {
    /// Reads one. An error names a parameter and never a value that could be a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut own = Self::default();
        let rest = if is_uri(text) { own.take_from_uri(text)? } else { own.take_from_pairs(text)? };
        own.config = rest.parse().map_err(|_| "a connection string that cannot be read")?;
        if own.config.get_channel_binding() == ChannelBinding::Require {
            return Err("channel_binding=require is not supported".to_owned());
        }
        let hosts = own.config.get_hosts();
        // As in libpq, sslmode is not for local sockets.
        if !hosts.is_empty() && hosts.iter().all(|host| matches!(host, Host::Unix(_))) {
            own.mode = Mode::Disable;
        }
        Ok(own)
    }

    /// TLS as it is asked for; `None` where it is not to be spoken. `read` reads files.
    pub(crate) fn tls(
        &self,
        read: &dyn Fn(&str) -> Result<Vec<u8>, String>,
    ) -> Result<Option<Tls>, String> {
        let is_system = self.root_cert.as_deref() == Some("system");
        let check = match self.mode {
            Mode::Disable => return Ok(None),
            Mode::VerifyFull => Check::ChainAndName,
            _ if is_system => return Err("sslrootcert=system needs sslmode=verify-full".to_owned()),
            Mode::VerifyCa => Check::Chain,
            // A root certificate counts in every mode.
            _ if self.root_cert.is_some() => Check::Chain,
            _ => Check::Nothing,
        };
        if check != Check::Nothing && self.root_cert.is_none() {
            return Err("this sslmode needs sslrootcert: a file, or \"system\"".to_owned());
        }
        let files = Files {
            ca_file: self.root_cert.as_deref().filter(|_| !is_system).map(|it| ("sslrootcert", it)),
            ca_dir: None,
            cert: self.cert.as_deref().map(|it| ("sslcert", it)),
            key: self.key.as_deref().map(|it| ("sslkey", it)),
        };
        Tls::new(files, check, read).map(Some).map_err(|(name, why)| format!("{name}: {why}"))
    }

    /// True where the parameter was one of ours or of nobody's.
    fn take(&mut self, name: &str, value: &str) -> Result<bool, String> {
        let given = (!value.is_empty()).then(|| value.to_owned());
        match name {
            "sslmode" => self.mode = mode(value)?,
            // Of JDBC; libpq reads it, too.
            "ssl" if value == "true" => self.mode = Mode::Require,
            "sslrootcert" => self.root_cert = given,
            "sslcert" => self.cert = given,
            "sslkey" => self.key = given,
            _ => return Ok(WITHOUT_EFFECT.contains(&name)),
        }
        Ok(true)
    }

    fn take_from_uri(&mut self, text: &str) -> Result<String, String> {
        let Some((place, query)) = text.split_once('?') else { return Ok(text.to_owned()) };
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value).ok_or_else(|| format!("{name}: malformed %"))?;
            if !self.take(name, &value)? {
                known(name)?;
                kept.push(pair);
            }
        }
        Ok(if kept.is_empty() { place.to_owned() } else { format!("{place}?{}", kept.join("&")) })
    }

    fn take_from_pairs(&mut self, text: &str) -> Result<String, String> {
        let mut kept = String::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('=').ok_or("expected parameter=value")?;
            let name = name.trim_end();
            let (value, after) = value(after.trim_start())?;
            rest = after.trim_start();
            if !self.take(name, &value)? {
                known(name)?;
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                kept.push_str(&format!("{name}='{value}' "));
            }
        }
        Ok(kept)
    }
}

/// A value, and what follows it.
fn value(text: &str) -> Result<(String, &str), String> {
    let (is_quoted, text) = match text.strip_prefix('\'') {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((place, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            '\'' if is_quoted => return Ok((value, &text[place + 1..])),
            c if !is_quoted && c.is_ascii_whitespace() => return Ok((value, &text[place..])),
            c => value.push(c),
        }
    }
    if is_quoted { Err("a quote has no end".to_owned()) } else { Ok((value, "")) }
}

fn mode(text: &str) -> Result<Mode, String> {
    Ok(match text {
        "disable" => Mode::Disable,
        "allow" => Mode::Allow,
        "prefer" => Mode::Prefer,
        "require" => Mode::Require,
        "verify-ca" => Mode::VerifyCa,
        "verify-full" => Mode::VerifyFull,
        _ => {
            return Err("sslmode: expected disable, allow, prefer, require, verify-ca or \
                        verify-full"
                .to_owned());
        }
    })
}

/// Whether the driver has this parameter, which it would not name itself.
fn known(name: &str) -> Result<(), String> {
    let mut config = String::from(name);
    config.push_str("='1'");
    let is_known = !matches!(config.parse::<Config>(), Err(error) if {
        use std::error::Error;
        error.source().is_some_and(|it| it.to_string().starts_with("unknown option"))
    });
    if is_known { Ok(()) } else { Err(format!("{name}: not supported in a connection string")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Conninfo::parse(text).and_then(|it| it.tls(&|_| Err("no file".to_owned()))).unwrap_err()
    }

    #[test]
    fn a_string_in_either_form_is_taken_apart() {
        for text in [
            "postgresql://mail:s3%20t@db:5433/maildb?sslmode=verify-full&sslrootcert=%2Fca.pem\
             &connect_timeout=3&sslcert=/c.pem&sslkey=/k.pem&sslsni=1",
            "host=db port=5433 user = mail password='s3 t' dbname=maildb sslmode=verify-full \
             sslrootcert=/ca.pem connect_timeout=3 sslcert=/c.pem sslkey=/k.pem gssencmode=disable",
        ] {
            let read = Conninfo::parse(text).unwrap();
            assert_eq!(read.mode, Mode::VerifyFull);
            assert_eq!(read.config.get_dbname(), Some("maildb"));
            assert_eq!(read.config.get_user(), Some("mail"));
            assert_eq!(read.config.get_password(), Some(&b"s3 t"[..]));
            assert_eq!(read.config.get_ports(), [5433]);
            let files = [read.root_cert, read.cert, read.key];
            assert_eq!(files, ["/ca.pem", "/c.pem", "/k.pem"].map(|it| Some(it.to_owned())));
        }
        let quoted = Conninfo::parse(r"dbname='it\'s' user=a\ b").unwrap();
        assert_eq!(quoted.config.get_dbname(), Some("it's"));
        assert_eq!(quoted.config.get_user(), Some("a b"));
        assert_eq!(quoted.mode, Mode::Prefer);
        let local = Conninfo::parse("host=/run/postgresql sslmode=require").unwrap();
        assert_eq!(local.mode, Mode::Disable);
    }

    #[test]
    fn what_cannot_be_kept_is_refused_and_no_password_is_shown() {
        for (text, wanted) in [
            ("postgresql://h/d?sslmode=always", "sslmode: expected disable"),
            ("postgresql://h/d?sslmode=verify-full", "this sslmode needs sslrootcert"),
            ("postgresql://h/d?sslmode=require&sslrootcert=system", "sslrootcert=system needs"),
            ("postgresql://h/d?sslmode=verify-ca&sslrootcert=/x", "sslrootcert: no file"),
            ("postgresql://h/d?sslcert=/x", "sslcert: no file"),
            ("postgresql://h/d?sslkey=/x", "sslkey: a key, and no certificate"),
            ("postgresql://h/d?sslcrl=/x", "sslcrl: not supported"),
            ("postgresql://h/d?sslpassword=secret", "sslpassword: not supported"),
            ("postgresql://h/d?channel_binding=require", "channel_binding=require is not"),
            ("postgresql://u:secret@h:port/d", "a connection string that cannot be read"),
            ("dbname=d passfile=secret", "passfile: not supported"),
            ("dbname='secret", "a quote has no end"),
            ("dbname", "expected parameter=value"),
        ] {
            let why = refused(text);
            assert!(why.starts_with(wanted) && !why.contains("secret"), "{text}: {why}");
        }
    }

    #[test]
    fn a_root_certificate_counts_in_every_mode() {
        for mode in ["allow", "prefer", "require", "verify-ca", "verify-full"] {
            let why = refused(&format!("postgresql://h/d?sslmode={mode}&sslrootcert=/x"));
            assert_eq!(why, "sslrootcert: no file", "{mode}");
        }
        let plain = Conninfo::parse("postgresql://h/d?sslmode=disable&sslrootcert=/x").unwrap();
        assert!(plain.tls(&|_| Err("no file".to_owned())).unwrap().is_none());
    }
}
