//! Mail as `.eml` files in a folder: complete when they appear, and a resend replaces its own file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A folder for mail.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder of a `file:` URL; it is made where it is missing.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn open(url: &url::Url) -> Result<Self, String> {
        let path = url
            .to_file_path()
            .map_err(|()| "must name a folder on this machine, e.g. file:///var/mail".to_owned())?;
        let folder = Self(path);
        fs::create_dir_all(&folder.0)
            .and_then(|()| folder.check())
            .map_err(|e| format!("names a folder that cannot be written: {e}"))?;
        Ok(folder)
    }

    /// Whether mail can be written.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> io::Result<()> {
        let probe = self.temporary();
        File::create_new(&probe).and_then(|_| fs::remove_file(&probe))
    }

    /// Writes a whole file, or replaces it; it is on the disk when this returns.
    ///
    /// # Errors
    /// When the disk is full, the folder is gone and the like; then no file of that name was touched.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.temporary();
        let written =
            write_through(&temporary, content).and_then(|()| fs::rename(&temporary, self.0.join(name)));
        if written.is_err() {
            // What is wrong with the folder is the better news than that this failed too.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        // The name is on the disk only with its folder.
        File::open(&self.0)?.sync_all()
    }

    /// A name that nobody else uses and nobody takes for mail.
    fn temporary(&self) -> PathBuf {
        let id: Uuid = shared::id::new();
        self.0.join(format!(".{id}.part"))
    }
}

fn write_through(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for a test; the system's temporary folder is cleaned by the system.
    fn folder() -> (Folder, PathBuf) {
        let path = std::env::temp_dir().join(format!("rollcall-folder-{}", shared::id::new()));
        (Folder::open(&url::Url::from_directory_path(&path).unwrap()).unwrap(), path)
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_written_whole_and_replaced_by_its_resend() {
        let (folder, path) = folder();
        folder.write("1.eml", b"first").unwrap();
        folder.write("2.eml", b"second").unwrap();
        folder.write("1.eml", b"again").unwrap();
        assert_eq!(names(&path), ["1.eml", "2.eml"], "and nothing beside it");
        assert_eq!(fs::read(path.join("1.eml")).unwrap(), b"again");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_folder_that_went_away_is_an_error_until_it_is_back() {
        let (folder, path) = folder();
        fs::remove_dir_all(&path).unwrap();
        assert!(folder.check().is_err() && folder.write("1.eml", b"x").is_err());
        fs::create_dir_all(&path).unwrap();
        assert!(folder.check().is_ok() && folder.write("1.eml", b"x").is_ok());
        assert_eq!(names(&path), ["1.eml"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_in_the_folders_place_is_told_at_once() {
        let path = std::env::temp_dir().join(format!("rollcall-file-{}", shared::id::new()));
        fs::write(&path, b"").unwrap();
        let complaint = Folder::open(&url::Url::from_file_path(&path).unwrap()).unwrap_err();
        assert!(complaint.contains("cannot be written"), "{complaint}");
        fs::remove_file(path).unwrap();
    }
}
