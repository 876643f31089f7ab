//! What a lookup comes back with.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cf::Position;

/// The three things a table can say. None of them is an error of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// The key is there, and this is its value.
    Found(Value),
    /// The table was asked and does not have the key.
    NotFound,
    /// Nobody knows: the table could not be asked. Temporary, whatever the key.
    Unavailable(Arc<Trouble>),
}

impl Answer {
    /// The value, if there is one. What becomes of a table that is away is still the caller's to say:
    /// there is deliberately no method that makes it look like a key that is missing.
    pub fn found(self) -> Result<Option<Value>, Arc<Trouble>> {
        match self {
            Self::Found(value) => Ok(Some(value)),
            Self::NotFound => Ok(None),
            Self::Unavailable(trouble) => Err(trouble),
        }
    }
}

/// An answer, or the promise of one.
///
/// Tables in memory and in files are [`Response::Ready`]: asking them waits for nothing and allocates
/// nothing. Only a table that has to ask somebody else answers [`Response::Later`].
#[must_use]
pub enum Response {
    /// Here it is.
    Ready(Answer),
    /// It takes a while. Whoever promises keeps a deadline of its own, after which the answer is
    /// [`Answer::Unavailable`].
    Later(Later),
}

/// An answer that takes a while. It may be waited for on any thread.
pub type Later = Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Response {
    /// Waits for the answer, if there is anything to wait for.
    pub async fn answer(self) -> Answer {
        match self {
            Self::Ready(answer) => answer,
            Self::Later(later) => later.await,
        }
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        Self::Ready(answer)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready(answer) => f.debug_tuple("Ready").field(answer).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// A looked-up value: text that costs nothing to pass on.
///
/// Opaque, because a table keeps its values where it likes: in memory, or in a mapped file that the
/// value keeps alive, also when the table has a new one since.
#[derive(Clone)]
pub struct Value(Text);

/// Bytes of a value that is copied instead of shared.
const SHORT_BYTES: usize = 40;

/// The bits that no byte of ASCII has.
const NOT_ASCII: u64 = 0x8080_8080_8080_8080;

#[derive(Clone)]
enum Text {
    /// Nearly every value. Copying these few bytes costs less than counting who has the file, which
    /// all threads would do in the same place.
    Short(Short),
    Long(Bytes),
}

/// A short text. It is moved by whole words: moved by bytes and pieces, they would each time have to be
/// back from the processor's store buffer before they could be moved on.
#[derive(Clone, Copy)]
#[repr(align(8))]
pub(crate) struct Short {
    bytes: [u8; SHORT_BYTES],
    len: u8,
}

impl Value {
    /// The text that is these bytes; `None` where they are no text.
    pub fn from_utf8(bytes: Bytes) -> Option<Self> {
        Self::within(&bytes, &bytes)
    }

    /// The same for bytes that are a part of `whole`.
    pub(crate) fn within(whole: &Bytes, part: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(part).ok()?;
        let short = Short::of(text).map(Text::Short);
        Some(Self(short.unwrap_or_else(|| Text::Long(whole.slice_ref(part)))))
    }

    /// Bytes of the text.
    #[inline]
    pub fn len(&self) -> usize {
        match &self.0 {
            Text::Short(short) => usize::from(short.len),
            Text::Long(bytes) => bytes.len(),
        }
    }

    /// Whether it is the empty text.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Short {
    fn of(text: &str) -> Option<Self> {
        let mut bytes = [0; SHORT_BYTES];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, len: text.len() as u8 })
    }

    /// A short text, if it and what follows it in `whole` is ASCII: as much is copied and looked at as a
    /// short text can have, because how much it has may still be on its way from memory.
    #[inline]
    pub(crate) fn within(whole: &[u8], part: &[u8]) -> Option<Self> {
        if part.len() > SHORT_BYTES {
            return None;
        }
        let at = part.as_ptr().addr().wrapping_sub(whole.as_ptr().addr());
        let bytes = whole.get(at..)?.first_chunk::<SHORT_BYTES>()?;
        let (words, _) = bytes.as_chunks();
        let all = words.iter().fold(0, |all, &word| all | u64::from_le_bytes(word));
        if all & NOT_ASCII != 0 {
            return None;
        }
        Some(Self { bytes: *bytes, len: part.len() as u8 })
    }
}

impl From<Short> for Value {
    #[inline]
    fn from(short: Short) -> Self {
        Self(Text::Short(short))
    }
}

impl Deref for Value {
    type Target = str;

    fn deref(&self) -> &str {
        let bytes = match &self.0 {
            Text::Short(short) => short.bytes.get(..self.len()).unwrap_or_default(),
            Text::Long(bytes) => bytes,
        };
        // Looked at again rather than trusted: what is mapped could be changed by somebody who writes
        // to a file in place, and must still be no more than wrong.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Value {}

impl std::hash::Hash for Value {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        let long = || Text::Long(Bytes::copy_from_slice(text.as_bytes()));
        Self(Short::of(text).map_or_else(long, Text::Short))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        let short = Short::of(&text).map(Text::Short);
        Self(short.unwrap_or_else(|| Text::Long(text.into())))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// Why a table cannot answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The table as the parameter names it, `texthash:/etc/ringpost/users`.
    pub table: Box<str>,
    /// What went wrong, with file and line where there are some.
    pub cause: Box<str>,
}

impl Trouble {
    /// The answer of a table that cannot give any.
    pub fn answer(table: impl Into<Box<str>>, cause: impl Into<Box<str>>) -> Answer {
        Answer::Unavailable(Arc::new(Self { table: table.into(), cause: cause.into() }))
    }

    /// Tables are replaced faster than they can be asked.
    pub(crate) fn restless(what: &str) -> Arc<Self> {
        Arc::new(Self { table: what.into(), cause: "changes while it is being asked".into() })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}", self.table, self.cause)
    }
}

impl std::error::Error for Trouble {}

/// Something in a table's source that the admin should look at; the table works without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it is written.
    pub position: Position,
    /// What is wrong, and what is done about it.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.position, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_is_its_text_whatever_lies_around_it() {
        for before in ["", "key", "\u{e9}"] {
            for behind in ["", "a", &"b".repeat(SHORT_BYTES), &"\u{e9}".repeat(SHORT_BYTES)] {
                for length in 0..SHORT_BYTES + 3 {
                    for text in ["c".repeat(length), "\u{fc}".repeat(length)] {
                        let whole = Bytes::from([before, &*text, behind].concat());
                        let part = &whole[before.len()..before.len() + text.len()];
                        let value = Value::within(&whole, part).unwrap();
                        assert_eq!(*value, *text, "between {before:?} and {behind:?}");
                        assert_eq!((value.len(), value.is_empty()), (text.len(), text.is_empty()));
                    }
                }
            }
        }
    }

    #[test]
    fn a_part_of_a_file_that_is_no_text_is_no_value() {
        for behind in [0, 2 * SHORT_BYTES] {
            let whole = Bytes::from([&b"a\xff"[..], &vec![b'b'; behind]].concat());
            assert_eq!(Value::within(&whole, &whole[..2]), None);
            assert_eq!(Value::within(&whole, &whole[..1]), Some("a".into()));
        }
    }
}
