//! Delivers mail as `.eml` files into a folder. Files are complete when they appear; a resend replaces its file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A mail folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// Opens the folder of a `file:` URL, and creates it if necessary.
    ///
    /// # Errors
    /// Describes the problem with the URL or the folder.
    pub fn open(url: &url::Url) -> Result<Self, String> {
        let path = url
            .to_file_path()
            .map_err(|()| "must name a folder on this machine, e.g. file:///var/mail".to_owned())?;
        let folder = Self(path);
        fs::create_dir_all(&folder.0)
            .and_then(|()| folder.check())
            .map_err(|e| format!("is a folder that cannot be written: {e}"))?;
        Ok(folder)
    }

    /// Checks that mail can be written.
    ///
    /// # Errors
    /// The error if it cannot.
    pub fn check(&self) -> io::Result<()> {
        let probe = self.temporary();
        File::create_new(&probe).and_then(|_| fs::remove_file(&probe))
    }

    /// Writes or replaces a file atomically, and syncs it to disk.
    ///
    /// # Errors
    /// If the disk is full, the folder is missing, and so on; an existing file is then untouched.
    pub fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = self.temporary();
        let written =
            write_through(&temporary, content).and_then(|()| fs::rename(&temporary, self.0.join(name)));
        if written.is_err() {
            // The first error is the one to report.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        // The file name is durable only after the folder is synced.
        File::open(&self.0)?.sync_all()
    }

    /// A unique name that is not taken for mail.
    fn temporary(&self) -> PathBuf {
        let id: Uuid = platform::id::new();
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

    /// A folder for one test, in the system's temporary folder, which the system cleans up.
    fn folder() -> (Folder, PathBuf) {
        let path = std::env::temp_dir().join(format!("rollcall-folder-{}", platform::id::new()));
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
    fn a_file_is_complete_and_a_resend_replaces_it() {
        let (folder, path) = folder();
        folder.write("1.eml", b"first").unwrap();
        folder.write("2.eml", b"second").unwrap();
        folder.write("1.eml", b"again").unwrap();
        assert_eq!(names(&path), ["1.eml", "2.eml"], "no temporary files remain");
        assert_eq!(fs::read(path.join("1.eml")).unwrap(), b"again");
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_missing_folder_is_an_error_until_it_is_back() {
        let (folder, path) = folder();
        fs::remove_dir_all(&path).unwrap();
        assert!(folder.check().is_err() && folder.write("1.eml", b"x").is_err());
        fs::create_dir_all(&path).unwrap();
        assert!(folder.check().is_ok() && folder.write("1.eml", b"x").is_ok());
        assert_eq!(names(&path), ["1.eml"]);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_file_instead_of_a_folder_is_reported_at_start() {
        let path = std::env::temp_dir().join(format!("rollcall-file-{}", platform::id::new()));
        fs::write(&path, b"").unwrap();
        let complaint = Folder::open(&url::Url::from_file_path(&path).unwrap()).unwrap_err();
        assert!(complaint.contains("cannot be written"), "{complaint}");
        fs::remove_file(path).unwrap();
    }
}
