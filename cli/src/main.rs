//! wvs
fn main() {}
