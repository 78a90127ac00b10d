//! Field problems.
