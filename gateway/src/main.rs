//! qiao
fn main() {}
