//! The systemd unit that sets a real server up when the host starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Persistence, Wish};
use crate::file;

/// The unit's name.
pub const UNIT: &str = "wvs-real-server.service";

const FOLDER: &str = "etc/systemd/system";
const WANTS: &str = "etc/systemd/system/multi-user.target.wants";
/// By this a unit is known as ours.
const MARK: &str = "# Written by `wvs real-server setup --persistent`; `wvs real-server undo` removes it.";

/// Why the unit cannot be written or removed.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// A file cannot be changed.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// It is not ours.
    #[error("{} was written by somebody else: move it away, or leave --persistent out", .0.display())]
    Foreign(PathBuf),
}

fn fail(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> UnitError {
    let path = path.to_owned();
    move |source| UnitError::File { action, path, source }
}

/// The unit's text. Stopping it changes nothing: only `undo` does.
pub(super) fn text(wish: &Wish, state_dir: &Path, program: &Path) -> String {
    // Settings of sysctl.d come first. A server that is bound to a virtual address starts after the network, and so
    // finds it; only an interface that was named has its addresses later than that.
    let order = match wish.interface {
        Some(_) => {
            "Wants=network-online.target\nAfter=systemd-sysctl.service network.target network-online.target\n"
        }
        None => "After=systemd-sysctl.service\nBefore=network.target\n",
    };
    let words = [
        quoted(&program.display().to_string()),
        "real-server setup".to_owned(),
        wish.to_string().replace('%', "%%"),
        format!("--pin-dir {}", quoted(&wish.pin_dir.display().to_string())),
        format!("--state-dir {}", quoted(&state_dir.display().to_string())),
    ];
    format!(
        "{MARK}\n\
         [Unit]\n\
         Description=Virtual addresses of wvs on this real server\n\
         Documentation=man:wvs-real-server(8)\n\
         {order}\
         \n\
         [Service]\n\
         Type=oneshot\n\
         RemainAfterExit=yes\n\
         ExecStart={}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        words.join(" ")
    )
}

/// A word of a command line as systemd reads it (systemd.service(5)).
fn quoted(word: &str) -> String {
    let escaped = word
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
        .replace('$', "$$");
    if escaped == word && !word.contains(char::is_whitespace) {
        escaped
    } else {
        format!("\"{escaped}\"")
    }
}

/// Where the unit lies.
pub(super) fn path(root: &Path) -> PathBuf {
    root.join(FOLDER).join(UNIT)
}

fn link(root: &Path) -> PathBuf {
    root.join(WANTS).join(UNIT)
}

/// The unit there is, if it is ours.
pub(super) fn read(root: &Path) -> Result<Option<String>, UnitError> {
    let path = path(root);
    match fs::read_to_string(&path) {
        Ok(text) if text.starts_with(MARK) => Ok(Some(text)),
        Ok(_) => Err(UnitError::Foreign(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail("read", &path)(error)),
    }
}

/// Whether it is there as it should be, and enabled.
pub(super) fn is_enabled(persistence: &Persistence, wish: &Wish, state_dir: &Path) -> bool {
    let wanted = text(wish, state_dir, &persistence.program);
    let stands = matches!(read(&persistence.root), Ok(Some(text)) if text == wanted);
    stands && link(&persistence.root).is_symlink()
}

/// Writes a unit and enables it, as `systemctl enable` does. Says whether something was missing.
pub(super) fn write(root: &Path, text: &str) -> Result<bool, UnitError> {
    let (path, link) = (path(root), link(root));
    let stands = read(root)?.is_some_and(|it| it == text);
    if stands && link.is_symlink() {
        return Ok(false);
    }
    let wants = root.join(WANTS);
    fs::create_dir_all(&wants).map_err(fail("create", &wants))?;
    file::replace(&path, text.as_bytes()).map_err(fail("write", &path))?;
    match std::os::unix::fs::symlink(Path::new("/").join(FOLDER).join(UNIT), &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(fail("create", &link)(error)),
        _ => Ok(true),
    }
}

/// Disables and removes the unit, if it is ours. Says whether it was there.
pub(super) fn remove(root: &Path) -> Result<bool, UnitError> {
    let is_there = match read(root) {
        Ok(text) => text.is_some(),
        Err(UnitError::Foreign(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    for path in [link(root), path(root)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(fail("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_systemd_reads() {
        assert_eq!(quoted("/usr/bin/wvs"), "/usr/bin/wvs");
        assert_eq!(quoted(r#"/a b/"$x"%i\"#), r#""/a b/\"$$x\"%%i\\""#);
    }

    #[test]
    fn a_foreign_unit_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join(WANTS)).unwrap();
        fs::write(path(root.path()), "[Unit]\n").unwrap();
        assert!(matches!(write(root.path(), "x"), Err(UnitError::Foreign(_))));
        assert!(!remove(root.path()).unwrap());
        assert!(path(root.path()).exists());
    }

    #[test]
    fn a_unit_is_written_once_and_removed_once() {
        let root = tempfile::tempdir().unwrap();
        let text = format!("{MARK}\n");
        assert!(write(root.path(), &text).unwrap());
        assert!(!write(root.path(), &text).unwrap());
        assert_eq!(fs::read_link(link(root.path())).unwrap(), Path::new("/etc/systemd/system").join(UNIT));
        assert!(remove(root.path()).unwrap());
        assert!(!remove(root.path()).unwrap());
        assert!(!link(root.path()).is_symlink());
    }
}
