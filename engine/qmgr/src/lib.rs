//! The queue manager's scheduler.
