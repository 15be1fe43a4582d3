//! The rules that no single value can break alone.
