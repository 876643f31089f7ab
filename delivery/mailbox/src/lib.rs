//! Maildir and mbox.
