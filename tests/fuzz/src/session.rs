//! A session of any bytes: no 354 without MAIL and RCPT, no second message out of one, replies of one
//! line each. The first byte chooses `smtpd_forbid_bare_newline`, the second how the rest is cut.

#[path = "../../../engine/wire/tests/session/mod.rs"]
mod shell;

use shell::Session;

pub(crate) fn run(bytes: &[u8]) {
    let [mode, cut, bytes @ ..] = bytes else { return };
    let mut session = Session::new(mode % 4);
    for piece in bytes.chunks(usize::from(*cut) + 1) {
        session.feed(piece);
    }
}
