//! The SMTP server dialogue as a value: no sockets, no clock.
