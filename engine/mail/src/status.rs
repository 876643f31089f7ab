//! Enhanced mail system status codes (RFC 3463).

use std::fmt;
use std::str::FromStr;

/// `class.subject.detail`, for example 5.1.1: no such mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status(pub u8, pub u16, pub u16);

impl Status {
    /// 2.x.x
    pub const fn is_success(self) -> bool {
        self.0 == 2
    }

    /// 4.x.x: try again later.
    pub const fn is_transient(self) -> bool {
        self.0 == 4
    }

    /// 5.x.x: it will never work.
    pub const fn is_permanent(self) -> bool {
        self.0 == 5
    }

    /// The status at the beginning of a text, and the text behind it (postfix `src/global/dsn_util.c`).
    pub fn leading(text: &str) -> Option<(Self, &str)> {
        let text = text.trim_start();
        let (code, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        Some((code.parse().ok()?, rest.trim_start()))
    }

    /// The same subject and detail as a temporary failure.
    pub const fn softened(self) -> Self {
        Self(4, self.1, self.2)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Status {
    type Err = ();

    /// RFC 3463 section 2: class 2, 4 or 5, then two numbers of one to three digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.');
        let mut number = |digits_max: usize| -> Result<u16, ()> {
            let part = parts.next().ok_or(())?;
            if part.is_empty()
                || part.len() > digits_max
                || !part.bytes().all(|b| b.is_ascii_digit())
            {
                return Err(());
            }
            part.parse().map_err(|_| ())
        };
        let (class, subject, detail) = (number(1)?, number(3)?, number(3)?);
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return Err(());
        }
        Ok(Self(class as u8, subject, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_may_begin_with_a_status() {
        assert_eq!(Status::leading(" 5.1.1 no such user"), Some((Status(5, 1, 1), "no such user")));
        assert_eq!(Status::leading("4.2.0"), Some((Status(4, 2, 0), "")));
        assert_eq!(Status::leading("5.1.1: no"), None);
        assert_eq!(Status::leading(""), None);
    }

    #[test]
    fn codes_read_back_as_printed_and_others_are_refused() {
        assert_eq!("5.1.1".parse(), Ok(Status(5, 1, 1)));
        assert_eq!(Status(4, 3, 0).to_string(), "4.3.0");
        for text in ["", "5", "5.1", "5.1.1.1", "3.1.1", "5.1000.1", "5.-1.1", "5.1.1 "] {
            assert_eq!(text.parse::<Status>(), Err(()), "{text}");
        }
    }
}
