//! Prints every broken rule of the repository it is run in (or of the directory given) and fails if there is one.
//! `tidy map` writes the map in ARCHITECTURE.md anew instead.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    if root.as_os_str() == "map" {
        return match tidy::map(std::path::Path::new(".")) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => {
                eprintln!("tidy: ARCHITECTURE.md has no place for a map");
                ExitCode::from(1)
            }
            Err(error) => {
                eprintln!("tidy: {error}");
                ExitCode::from(3)
            }
        };
    }
    let violations = match tidy::check(&root) {
        Ok(violations) => violations,
        Err(error) => {
            eprintln!("tidy: {}: {error}", root.display());
            return ExitCode::from(3);
        }
    };
    for violation in &violations {
        println!("{violation}");
    }
    println!("tidy: {} broken rules", violations.len());
    ExitCode::from(u8::from(!violations.is_empty()))
}
