//! Tables with one answer.

use std::sync::Arc;

use crate::{Answer, Lookup, Response, Trouble, Value};

/// `static:text` and `static:{text}`: the same value for every key.
#[derive(Debug)]
pub(crate) struct Constant(Value);

impl Constant {
    pub(crate) fn new(text: &str) -> Self {
        Self(cf::unbraced(text).unwrap_or(text).into())
    }
}

impl Lookup for Constant {
    fn lookup(&self, _: &str) -> Response {
        Answer::Found(self.0.clone()).into()
    }
}

/// A table that could not be opened. It never says [`Answer::NotFound`].
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) Arc<Trouble>);

impl Lookup for Broken {
    fn lookup(&self, _: &str) -> Response {
        Answer::Unavailable(self.0.clone()).into()
    }
}
