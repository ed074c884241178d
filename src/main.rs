//! The `quiver` binary; see [`quiver::cli`].

fn main() -> std::process::ExitCode {
    quiver::cli::main()
}
