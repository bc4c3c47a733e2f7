//! The file for the picture: known to be writable before the run, not left behind empty.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// An open file. What it held before stays until something is written; a new one is removed if nothing is.
#[derive(Debug)]
pub(super) struct Picture {
    path: PathBuf,
    file: File,
    remove: bool,
}

impl Picture {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// One that names the file, when it cannot be written.
    pub(super) fn open(path: &Path) -> anyhow::Result<Picture> {
        let remove = !path.exists();
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Picture { path: path.to_owned(), file, remove })
    }

    /// Replaces what the file held.
    pub(super) fn write(mut self, svg: &str) -> anyhow::Result<()> {
        let written = self.file.set_len(0).and_then(|()| self.file.rewind());
        let written = written.and_then(|()| self.file.write_all(svg.as_bytes()));
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.remove = false;
        Ok(())
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        if self.remove {
            let _ = fs::remove_file(&self.path);
        }
    }
}
