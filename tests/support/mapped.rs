//! What is resident of the files that a process has mapped.

use std::{fs, path::Path};

/// Of all files whose path has this one in it, in bytes.
pub fn resident_of(process: u32, path: &Path) -> u64 {
    let path = path.to_str().expect("a plain name");
    let maps = fs::read_to_string(format!("/proc/{process}/smaps")).expect("Linux tells");
    let (mut sum, mut inside) = (0, false);
    for line in maps.lines() {
        let field = line.split_whitespace().next().unwrap_or_default();
        match line.strip_prefix("Rss:") {
            Some(resident) if inside => {
                sum += resident.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10;
            }
            _ if !field.ends_with(':') => inside = line.contains(path),
            _ => {}
        }
    }
    sum
}
