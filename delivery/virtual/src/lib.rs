//! The virtual delivery agent.
