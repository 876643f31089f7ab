//! The parameter table and the immutable configuration snapshot.
