//! Cleanup: turns what a client sent into what the queue stores.
