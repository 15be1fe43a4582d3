//! From services to a ruleset.
