//! Reads files that hold secrets, and refuses those that other users could read or have written.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The largest file, in bytes.
const MAX_SIZE: u64 = 1 << 20;
/// The permissions of the group and of others.
const OF_OTHERS: u32 = 0o077;

/// The text of a file that only its owner can use, who is this process's user or root.
///
/// # Errors
/// A clause that follows the name of the file or of its variable: what is wrong with it, and what to do. It contains
/// nothing of the content.
pub fn read(path: &Path) -> Result<String, String> {
    let unreadable = |e: std::io::Error| format!("cannot be read: {e}");
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file, so that no other file can take its place in between.
    check(&file.metadata().map_err(unreadable)?, path)?;
    let mut text = String::new();
    file.take(MAX_SIZE).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn check(file: &Metadata, path: &Path) -> Result<(), String> {
    let (mode, path) = (file.mode() & 0o777, path.display());
    if mode & OF_OTHERS != 0 {
        return Err(format!("is open to other users (mode {mode:03o}): run `chmod 600 {path}`"));
    }
    let user = rustix::process::geteuid().as_raw();
    if file.uid() != user && file.uid() != 0 {
        return Err(format!(
            "belongs to another user (uid {}): run `chown` so that {path} belongs to the service's user (uid {user}) or to root",
            file.uid()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_that_others_can_use_is_refused_with_what_to_do() {
        let path = std::env::temp_dir().join(format!("rollcall-private-{}", crate::id::new()));
        std::fs::write(&path, "secret").unwrap();
        for (mode, passes) in
            [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false), (0o620, false)]
        {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let read = read(&path);
            assert_eq!(read.is_ok(), passes, "{mode:o}: {read:?}");
            if let Err(said) = read {
                assert!(said.contains("chmod 600") && !said.contains("secret"), "{said}");
            }
        }
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().starts_with("cannot be read"));
    }
}
