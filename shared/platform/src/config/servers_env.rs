//! `.run/servers.env`, the connection strings of a stack that `deploy/run` started, for the operator's CLI. The file is
//! searched for in the folders above, so it must be one that nobody else could have written: its URLs decide where keys
//! and changes go.

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 64 << 10;
/// The write permissions of the group and of others.
const WRITABLE: u32 = 0o022;

/// The variables in a file.
#[derive(Debug, Default)]
pub struct ServersEnv {
    path: PathBuf,
    values: HashMap<String, String>,
}

impl ServersEnv {
    /// The nearest `.run/servers.env` in or above one of these folders, if there is one.
    ///
    /// # Errors
    /// Why the file is not used: it or its folder belongs to somebody else than the caller or root, or others can write
    /// it.
    pub fn find(beside: &[PathBuf]) -> Result<Option<Self>, String> {
        let above = beside.iter().flat_map(|folder| folder.ancestors());
        let mut candidates = above.map(|folder: &Path| folder.join(".run/servers.env"));
        // A link that leads nowhere counts as a missing file.
        let Some(path) = candidates.find(|path| path.is_file()) else { return Ok(None) };
        let caller = rustix::process::geteuid().as_raw();
        match read(&path, caller) {
            Ok(text) => Ok(Some(Self { path, ..Self::of(&text) })),
            Err(why) => Err(format!("{} is not used: {why}", shown(&path))),
        }
    }

    /// The variables in the text of a file: lines `NAME=value`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let values = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
        Self { path: PathBuf::new(), values }
    }

    /// Where it was found, with control characters escaped.
    #[must_use]
    pub fn shown_path(&self) -> String {
        shown(&self.path)
    }

    /// The value of a variable, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_debug().to_string()
}

/// The text of the file, if only the caller or root can have written it. Links are followed, and what they lead to is
/// checked.
fn read(path: &Path, caller: u32) -> Result<String, String> {
    let unreadable = |e: std::io::Error| format!("it cannot be read ({})", e.kind());
    let real = path.canonicalize().map_err(unreadable)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    distrust(&std::fs::metadata(folder).map_err(unreadable)?, "its folder", caller)?;
    // Of the opened file, so that what is checked is what is read. Another user's file may not be readable at all.
    distrust(&std::fs::metadata(&real).map_err(unreadable)?, "it", caller)?;
    let file = File::open(&real).map_err(unreadable)?;
    distrust(&file.metadata().map_err(unreadable)?, "it", caller)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

/// An error if somebody else than the caller or root may have written it.
fn distrust(found: &Metadata, what: &str, caller: u32) -> Result<(), String> {
    let owner = found.uid();
    if owner != caller && owner != 0 {
        return Err(format!(
            "{what} belongs to another user (uid {owner}), not to you (uid {caller}) or root"
        ));
    }
    if found.mode() & WRITABLE != 0 {
        return Err(format!("{what} can be written by other users (mode {:04o})", found.mode() & 0o7777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A folder with a `.run/servers.env`, removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("rollcall-{}-{name}", std::process::id()));
            std::fs::create_dir_all(folder.join(".run")).unwrap();
            std::fs::create_dir_all(folder.join("deep/er")).unwrap();
            let place = Self(folder);
            std::fs::write(place.file(), "DATABASE_URL=postgres://a=b\n").unwrap();
            place.set(".run", 0o711);
            place.set(".run/servers.env", 0o600);
            place
        }

        fn file(&self) -> PathBuf {
            self.0.join(".run/servers.env")
        }

        fn set(&self, path: &str, mode: u32) {
            std::fs::set_permissions(self.0.join(path), std::fs::Permissions::from_mode(mode)).unwrap();
        }

        fn find(&self) -> Result<Option<ServersEnv>, String> {
            ServersEnv::find(&[self.0.join("deep/er")])
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn own_file_in_a_folder_above_is_taken() {
        let place = Place::new("own");
        let found = place.find().unwrap().unwrap();
        assert_eq!(found.get("DATABASE_URL"), Some("postgres://a=b"));
        assert_eq!(found.shown_path(), place.file().display().to_string());
    }

    #[test]
    fn file_that_others_can_write_is_refused() {
        let place = Place::new("writable");
        for (path, what, mode) in [
            (".run/servers.env", "it can be written", 0o620),
            (".run/servers.env", "it can be written", 0o602),
            (".run", "its folder can be written", 0o733),
        ] {
            place.set(path, mode);
            let why = place.find().unwrap_err();
            assert!(why.contains(what) && why.contains("servers.env"), "{path} {mode:o}: {why}");
            place.set(path, if path == ".run" { 0o711 } else { 0o600 });
        }
        assert!(place.find().is_ok());
    }

    #[test]
    fn link_is_followed_and_its_target_is_checked() {
        let (place, elsewhere) = (Place::new("linked"), Place::new("target"));
        std::fs::remove_file(place.file()).unwrap();
        symlink(elsewhere.file(), place.file()).unwrap();
        assert!(place.find().unwrap().is_some());
        elsewhere.set(".run", 0o777);
        assert!(place.find().unwrap_err().contains("its folder"));
    }

    #[test]
    fn owner_must_be_the_caller_or_root() {
        let place = Place::new("owner");
        let me = std::fs::metadata(place.file()).unwrap().uid();
        assert!(read(&place.file(), me).is_ok());
        if me != 0 {
            let why = read(&place.file(), me + 1).unwrap_err();
            assert!(why.contains("belongs to another user"), "{why}");
        }
    }
}
