//! The `quiver` binary; see `quiver::cli`.
fn main() {}
