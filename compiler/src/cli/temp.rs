//! A folder for files that nobody else is to see, removed when it is dropped.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use super::failure::{Failure, Result};

/// The folder.
pub struct Folder(PathBuf);

impl Folder {
    /// A new folder in the system's place for such (`TMPDIR`).
    pub fn new() -> Result<Folder> {
        let base = std::env::temp_dir();
        let mut result = Err(std::io::ErrorKind::AlreadyExists.into());
        for n in 0..1000 {
            let path = base.join(format!("beiming-{}-{n}", std::process::id()));
            // Making a folder fails where anything of the name exists, so nobody can have prepared it.
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Folder(path)),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
        }
        result.map_err(|e| Failure::io("make a folder in", &base, &e))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing more can be done about a folder that cannot be removed.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
