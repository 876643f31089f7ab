//! The lookup contract and the tables that need no server.
