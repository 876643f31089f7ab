//! Job and outcome frames between the engine and agentd.
