//! Opening files that a model names. A model is untrusted: its paths must stay in its folder, and by default must not pass
//! through links, since a link (also a hard link) can make a file from elsewhere look like one of the folder's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2, statat};
use rustix::io::Errno;

use super::super::error::{Clean, Code, ModelError};

/// Maps a whole file.
pub fn map(file: &File) -> io::Result<Bytes> {
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is read-only and private. If another process shortens the file meanwhile, an access may end the process
    // (SIGBUS); this is the price of not copying weights, and the same in every tool that maps models.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}

/// The folder of a model, and the external files mapped from it so far.
pub struct Folder {
    path: Option<PathBuf>,
    allow_links: bool,
    files: BTreeMap<String, Bytes>,
}

impl Folder {
    /// The folder that external paths are relative to; `None` for a model that is not in a file.
    pub fn new(path: Option<&Path>, allow_links: bool) -> Folder {
        let path = path.map(|p| if p.as_os_str().is_empty() { PathBuf::from(".") } else { p.to_path_buf() });
        Folder { path, allow_links, files: BTreeMap::new() }
    }

    /// The bytes `offset..offset + length` of `location`; without a length, to the end of the file.
    pub fn window(&mut self, location: &str, offset: u64, length: Option<u64>) -> Result<Bytes, ModelError> {
        if !self.files.contains_key(location) {
            let bytes = self.open(location)?;
            self.files.insert(location.to_string(), bytes);
        }
        let file = &self.files[location];
        let size = file.len() as u64;
        let end = match length {
            Some(n) => offset.checked_add(n),
            None => Some(size.max(offset)),
        };
        match end {
            Some(end) if end <= size => Ok(file.slice(offset as usize..end as usize)),
            _ => Err(ModelError::new(
                Code::ExternalRange,
                format!(
                    "external data at offset {offset}{} does not lie in `{}`, which has {size} bytes",
                    length.map(|n| format!(", length {n},")).unwrap_or_default(),
                    Clean(location)
                ),
            )),
        }
    }

    fn open(&self, location: &str) -> Result<Bytes, ModelError> {
        let shown = Clean(location);
        let Some(folder) = &self.path else {
            let why = format!("external data `{shown}` cannot be found: the model does not come from a file");
            return Err(ModelError::new(Code::ExternalFile, why));
        };
        check_path(location)?;
        let relative = Path::new(location);
        let missing = |e: io::Error| ModelError::new(Code::ExternalFile, format!("cannot open external data `{shown}`: {e}"));
        let dir = File::open(folder).map_err(missing)?;
        // NONBLOCK: opening a pipe must not wait for a writer; it is refused below.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = if self.allow_links {
            openat(dir.as_fd(), relative, flags, Mode::empty())
        } else {
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            match openat2(dir.as_fd(), relative, flags | OFlags::NOFOLLOW, Mode::empty(), resolve) {
                // Kernels before 5.6 and some sandboxes have no openat2.
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => open_by_component(&dir, relative, flags),
                r => r,
            }
        };
        let fd = fd.map_err(|e| match e {
            Errno::LOOP | Errno::XDEV => link_error(location, "passes through a symbolic link"),
            e => missing(e.into()),
        })?;
        let stat = fstat(&fd).map_err(|e| missing(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            let why = format!("external data `{shown}` is not a regular file");
            return Err(ModelError::new(Code::ExternalFile, why));
        }
        if stat.st_nlink != 1 && !self.allow_links {
            return Err(link_error(location, "is a hard link to a file that has other names"));
        }
        map(&File::from(fd)).map_err(missing)
    }
}

fn link_error(location: &str, what: &str) -> ModelError {
    let why = format!("external data `{}` {what}; if you trust the model's folder, use --allow-external-links", Clean(location));
    ModelError::new(Code::ExternalLink, why)
}

/// The rules for a path that hold before anything is opened.
fn check_path(location: &str) -> Result<(), ModelError> {
    let refuse = |what: &str| {
        let why = format!("external path `{}` {what}; allowed are paths inside the model's folder", Clean(location));
        Err(ModelError::new(Code::ExternalPath, why))
    };
    if location.is_empty() {
        return refuse("is empty");
    }
    if location.contains('\0') {
        return refuse("holds a NUL character");
    }
    for c in Path::new(location).components() {
        match c {
            Component::Normal(_) | Component::CurDir => {}
            Component::ParentDir => return refuse("holds `..`"),
            Component::RootDir | Component::Prefix(_) => return refuse("is absolute"),
        }
    }
    Ok(())
}

/// `openat2` without the system call: one component at a time, never through a link.
fn open_by_component(dir: &File, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let parts: Vec<_> = path.components().filter(|c| matches!(c, Component::Normal(_))).collect();
    let mut at: OwnedFd = dir.try_clone().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::BADF))?.into();
    for (i, part) in parts.iter().enumerate() {
        let last = i + 1 == parts.len();
        let kind = if last { flags } else { OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY };
        let name = part.as_os_str();
        at = match openat(at.as_fd(), name, kind | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => fd,
            // A link to a folder is reported as "not a folder": say what it is.
            Err(Errno::NOTDIR)
                if statat(&at, name, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|s| FileType::from_raw_mode(s.st_mode) == FileType::Symlink) =>
            {
                return Err(Errno::LOOP);
            }
            Err(e) => return Err(e),
        };
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A folder with one of everything that must be refused.
    fn zoo() -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        let d = top.path().join("model");
        std::fs::create_dir_all(d.join("sub")).unwrap();
        std::fs::write(top.path().join("secret"), b"secret").unwrap();
        std::fs::write(d.join("good"), b"0123456789").unwrap();
        std::fs::write(d.join("sub/good"), b"abc").unwrap();
        std::fs::hard_link(top.path().join("secret"), d.join("hard")).unwrap();
        symlink("../secret", d.join("soft")).unwrap();
        symlink("good", d.join("inside")).unwrap();
        symlink("sub", d.join("subl")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, d.join("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        top
    }

    #[test]
    fn paths_stay_in_the_folder() {
        let top = zoo();
        let d = top.path().join("model");
        let absolute = d.join("good").to_str().unwrap().to_string();
        let cases: &[(&str, Option<Code>, Option<Code>)] = &[
            // location, code without links, code with links allowed
            ("good", None, None),
            ("./good", None, None),
            ("sub/good", None, None),
            ("soft", Some(Code::ExternalLink), None),
            ("inside", Some(Code::ExternalLink), None),
            ("subl/good", Some(Code::ExternalLink), None),
            ("hard", Some(Code::ExternalLink), None),
            ("fifo", Some(Code::ExternalFile), Some(Code::ExternalFile)),
            ("sub", Some(Code::ExternalFile), Some(Code::ExternalFile)),
            ("missing", Some(Code::ExternalFile), Some(Code::ExternalFile)),
            ("good/x", Some(Code::ExternalFile), Some(Code::ExternalFile)),
            ("../secret", Some(Code::ExternalPath), Some(Code::ExternalPath)),
            ("sub/../good", Some(Code::ExternalPath), Some(Code::ExternalPath)),
            (&absolute, Some(Code::ExternalPath), Some(Code::ExternalPath)),
            ("", Some(Code::ExternalPath), Some(Code::ExternalPath)),
            ("a\0b", Some(Code::ExternalPath), Some(Code::ExternalPath)),
        ];
        for (location, strict, trusting) in cases {
            for (links, want) in [(false, strict), (true, trusting)] {
                let got = Folder::new(Some(&d), links).window(location, 0, None);
                assert_eq!(got.as_ref().err().map(|e| e.code), *want, "{location:?} links={links}: {got:?}");
                if *want == Some(Code::ExternalLink) {
                    assert!(got.unwrap_err().message.contains("--allow-external-links"));
                }
            }
        }
    }

    #[test]
    fn the_fallback_agrees_with_openat2() {
        let top = zoo();
        let d = File::open(top.path().join("model")).unwrap();
        let open = |p: &str| open_by_component(&d, Path::new(p), OFlags::RDONLY | OFlags::NONBLOCK).map(|_| ());
        for good in ["good", "./good", "sub/good"] {
            open(good).unwrap();
        }
        for link in ["soft", "inside", "subl/good"] {
            assert_eq!(open(link), Err(Errno::LOOP), "{link}");
        }
    }

    #[test]
    fn windows_are_checked() {
        let top = zoo();
        let mut f = Folder::new(Some(&top.path().join("model")), false);
        assert_eq!(&f.window("good", 2, Some(3)).unwrap()[..], b"234");
        assert_eq!(&f.window("good", 8, None).unwrap()[..], b"89");
        for (offset, length) in [(0, Some(11)), (11, None), (u64::MAX, Some(1)), (1, Some(u64::MAX)), (10, Some(1))] {
            assert_eq!(f.window("good", offset, length).unwrap_err().code, Code::ExternalRange);
        }
    }
}
