//! The template and phrase files: the built-in ones, and replacements from a folder.

use std::collections::BTreeMap;
use std::path::Path;

/// The built-in files. The file name extension decides how values are escaped.
pub const OWN: [(&str, &str); 16] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("layout.txt", include_str!("../templates/layout.txt")),
    ("items.html", include_str!("../templates/items.html")),
    ("items.txt", include_str!("../templates/items.txt")),
    ("welcome.html", include_str!("../templates/welcome.html")),
    ("welcome.txt", include_str!("../templates/welcome.txt")),
    ("first_assignment.html", include_str!("../templates/first_assignment.html")),
    ("first_assignment.txt", include_str!("../templates/first_assignment.txt")),
    ("assignment.html", include_str!("../templates/assignment.html")),
    ("assignment.txt", include_str!("../templates/assignment.txt")),
    ("digest.html", include_str!("../templates/digest.html")),
    ("digest.txt", include_str!("../templates/digest.txt")),
    ("words.en.json", include_str!("../templates/words.en.json")),
    ("words.de.json", include_str!("../templates/words.de.json")),
    ("words.fr.json", include_str!("../templates/words.fr.json")),
    ("words.es.json", include_str!("../templates/words.es.json")),
];

/// File contents by file name.
pub type Files = BTreeMap<String, String>;

/// Replacements read from a folder.
#[derive(Debug, Default)]
pub struct Replaced {
    /// Replacements for all tenants.
    pub all: Files,
    /// Replacements for one tenant, by tenant name.
    pub tenants: BTreeMap<String, Files>,
}

/// Reads a folder: its files apply to all tenants, the files of a subfolder to the tenant of that name.
///
/// # Errors
/// Names the file that cannot be read or is not a known template or phrase file.
pub fn read(folder: &Path) -> Result<Replaced, String> {
    let mut replaced = Replaced::default();
    for (name, path) in entries(folder)? {
        if path.is_dir() {
            let files = entries(&path)?.into_iter().map(|(file, path)| one(&file, &path));
            replaced.tenants.insert(name, files.collect::<Result<_, _>>()?);
        } else {
            let (name, text) = one(&name, &path)?;
            replaced.all.insert(name, text);
        }
    }
    Ok(replaced)
}

/// The entries of a folder except hidden ones.
fn entries(folder: &Path) -> Result<Vec<(String, std::path::PathBuf)>, String> {
    let wrong = |e: std::io::Error| format!("{} cannot be read: {e}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            entries.push((name, entry.path()));
        }
    }
    entries.sort();
    Ok(entries)
}

fn one(name: &str, path: &Path) -> Result<(String, String), String> {
    if !OWN.iter().any(|(own, _)| *own == name) {
        let names: Vec<&str> = OWN.iter().map(|(own, _)| *own).collect();
        return Err(format!(
            "{} is not a template or phrase file; valid names: {}",
            path.display(),
            names.join(", ")
        ));
    }
    let text =
        std::fs::read_to_string(path).map_err(|e| format!("{} cannot be read: {e}", path.display()))?;
    Ok((name.to_owned(), text))
}
