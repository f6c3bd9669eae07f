//! Where the state folder is.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The state folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateFolder(PathBuf);

impl StateFolder {
    /// The directory that was named, else `$STATE_DIRECTORY` (systemd's), else
    /// `$XDG_STATE_HOME/torment-nexus`, else `~/.local/state/torment-nexus`.
    /// `None` if `$HOME` is unset too.
    #[must_use]
    pub fn locate(named: Option<&Path>) -> Option<Self> {
        Self::locate_in(named, |variable| env::var_os(variable).filter(|value| !value.is_empty()))
    }

    fn locate_in(named: Option<&Path>, variable: impl Fn(&str) -> Option<OsString>) -> Option<Self> {
        if let Some(named) = named {
            return Some(Self(named.to_owned()));
        }
        if let Some(given) = variable("STATE_DIRECTORY") {
            // systemd separates several folders with colons; the first is used.
            // An empty one would be the working directory.
            if let Some(first) = env::split_paths(&given).find(|path| path.is_absolute()) {
                return Some(Self(first));
            }
        }
        let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        // A relative path counts as unset: XDG base directory specification.
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        state.or_else(home).map(|state| Self(state.join("torment-nexus")))
    }

    /// The path of the folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_named_one_or_systemds_or_the_users() {
        let all = |variable: &str| {
            let value = match variable {
                "STATE_DIRECTORY" => "/var/lib/a:/var/lib/b",
                "XDG_STATE_HOME" => "/xdg",
                _ => "/home/me",
            };
            Some(OsString::from(value))
        };
        let without =
            |missing: &'static [&str]| move |name: &str| all(name).filter(|_| !missing.contains(&name));
        let locate = |named: Option<&str>, missing| {
            StateFolder::locate_in(named.map(Path::new), without(missing)).map(|dir| dir.0)
        };
        assert_eq!(locate(Some("mine"), &[]), Some("mine".into()));
        assert_eq!(locate(None, &[]), Some("/var/lib/a".into()));
        assert_eq!(locate(None, &["STATE_DIRECTORY"]), Some("/xdg/torment-nexus".into()));
        let home = Some("/home/me/.local/state/torment-nexus".into());
        assert_eq!(locate(None, &["STATE_DIRECTORY", "XDG_STATE_HOME"]), home);
        assert_eq!(locate(None, &["STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"]), None);
        let empty = |name: &str| (name == "STATE_DIRECTORY").then(|| OsString::from(":"));
        assert_eq!(StateFolder::locate_in(None, empty), None, "never the working directory");
    }
}
