//! A suspension without signals: a file that holds the client's connection while it exists (`connect --hold`).

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

/// The place of such a file, which is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Hold(PathBuf);

impl Hold {
    /// A name that no other file has; there is no file yet.
    pub(super) fn new() -> Hold {
        let unix = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("everlink-demo-{}-{}.hold", process::id(), unix.as_nanos());
        Hold(std::env::temp_dir().join(name))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn begin(&self) -> io::Result<()> {
        File::create_new(&self.0).map(drop)
    }

    /// Also where it has not begun.
    pub(super) fn end(&self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.end();
    }
}
