//! Kills processes under load.
