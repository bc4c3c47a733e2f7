//! The state of a link in a file, for the durable mode.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use everlink::link::Input;

type Writing = Pin<Box<dyn Future<Output = Input<'static>> + Send>>;

/// A file that always holds one whole state: another one is written beside it, made safe, and takes its place.
pub(crate) struct StateFile {
    path: PathBuf,
    lock: Arc<Lock>,
    writing: Option<Writing>,
}

impl StateFile {
    pub(crate) fn new(path: PathBuf) -> io::Result<StateFile> {
        Ok(StateFile { lock: Arc::new(Lock::take(&path)?), path, writing: None })
    }

    /// What was stored, and how long ago; `None` if nothing ever was.
    pub(crate) fn load(&self) -> io::Result<Option<(Vec<u8>, Duration)>> {
        let state = match fs::read(&self.path) {
            Ok(state) => state,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stored = fs::metadata(&self.path)?.modified()?;
        // A clock that was set back says nothing.
        Ok(Some((state, SystemTime::now().duration_since(stored).unwrap_or_default())))
    }

    /// Begins to store a state, once the one before is done with.
    pub(crate) fn store(&mut self, version: u64, state: Vec<u8>) {
        let (path, lock, before) = (self.path.clone(), self.lock.clone(), self.writing.take());
        self.writing = Some(Box::pin(async move {
            if let Some(before) = before {
                before.await;
            }
            // A write that has begun ends, whatever becomes of the connection: until then nobody else may have the file.
            let write = move || {
                let written = replace(&path, &state);
                drop(lock);
                written
            };
            let written = tokio::task::spawn_blocking(write).await;
            match written {
                Ok(Ok(())) => Input::Stored(version),
                Ok(Err(_)) | Err(_) => Input::StoreFailed(version),
            }
        }));
    }

    pub(crate) const fn is_idle(&self) -> bool {
        self.writing.is_none()
    }

    /// What became of the last state.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input<'static>> {
        let Some(writing) = &mut self.writing else { return Poll::Pending };
        let input = std::task::ready!(writing.as_mut().poll(cx));
        self.writing = None;
        Poll::Ready(input)
    }

    /// The same, waited for.
    #[cfg(test)]
    async fn done(&mut self) -> Input<'static> {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }
}

/// Keeps others from the state in a file: two that go on from one state would lose and repeat messages. The file itself is replaced
/// again and again, so what is locked is an empty one beside it, which stays. The operating system lets go of it when the process ends.
pub(crate) struct Lock {
    _held: Option<File>,
}

impl Lock {
    /// How long it is waited for one that is on its way out: its last write has to end.
    const PATIENCE: Duration = Duration::from_millis(500);

    pub(crate) fn take(path: &Path) -> io::Result<Lock> {
        let (file, since) = (create(&beside(path, ".lock")?)?, Instant::now());
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _held: Some(file) }),
                Err(TryLockError::WouldBlock) if since.elapsed() < Lock::PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    let words = format!("the state in {} is in use by another", path.display());
                    return Err(io::Error::new(io::ErrorKind::ResourceBusy, words));
                }
                // Some network file systems have no locks.
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                    return Ok(Lock { _held: None });
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }
}

/// The path of a file beside it, whose name has this ending.
fn beside(path: &Path, ending: &str) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
    name.push(ending);
    Ok(path.with_file_name(name))
}

/// Whatever happens meanwhile, the file is the old one or the new one.
pub(crate) fn replace(path: &Path, state: &[u8]) -> io::Result<()> {
    let beside = beside(path, ".new")?;
    let mut file = create(&beside)?;
    file.write_all(state)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&beside, path)?;
    sync_directory(path)
}

/// It holds a resume token: nobody else may read it.
#[cfg(unix)]
pub(crate) fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
pub(crate) fn create(path: &Path) -> io::Result<File> {
    File::create(path)
}

/// So that the new name, too, is there after a loss of power.
#[cfg(unix)]
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(not(unix))]
pub(crate) const fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_state_is_in_the_file_and_only_its_owner_reads_it() {
        let directory = std::env::temp_dir().join(format!("everlink-state-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut file = StateFile::new(directory.join("link")).unwrap();
        assert!(file.load().unwrap().is_none());
        for version in 0..20_u64 {
            file.store(version, vec![version as u8; 100]);
        }
        assert_eq!(file.done().await, Input::Stored(19));
        assert!(file.is_idle());
        assert_eq!(file.load().unwrap().unwrap().0, [19; 100]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(directory.join("link")).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        fs::remove_dir_all(&directory).unwrap();
        file.store(20, Vec::new());
        assert_eq!(file.done().await, Input::StoreFailed(20));
    }

    #[tokio::test]
    async fn a_state_that_somebody_has_is_nobody_elses() {
        let directory = std::env::temp_dir().join(format!("everlink-lock-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("link");
        let mut file = StateFile::new(path.clone()).unwrap();
        file.store(1, vec![1]);
        let refused = StateFile::new(path.clone()).map(drop).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ResourceBusy);
        assert!(refused.to_string().contains("link is in use"), "{refused}");
        assert_eq!(file.done().await, Input::Stored(1));
        drop(file);
        assert_eq!(StateFile::new(path).unwrap().load().unwrap().unwrap().0, [1]);
        fs::remove_dir_all(&directory).unwrap();
    }
}
