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
    fn codes_read_back_as_printed_and_others_are_refused() {
        assert_eq!("5.1.1".parse(), Ok(Status(5, 1, 1)));
        assert_eq!(Status(4, 3, 0).to_string(), "4.3.0");
        for text in ["", "5", "5.1", "5.1.1.1", "3.1.1", "5.1000.1", "5.-1.1", "5.1.1 "] {
            assert_eq!(text.parse::<Status>(), Err(()), "{text}");
        }
    }
}
