//! The service's options, folder and user: what is checked is the exhibition, and only
//! who has the rights of the service sees what it will see.

use std::env;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Group, Uid, setgid, setgroups, setuid};

use super::report::Finding;
use installation::text::environment::{self, Variables};

/// The options of the service, and the folder that it runs in.
const OPTIONS: &str = "/etc/default/torment-nexus";
const STATE: &str = "/var/lib/torment-nexus";

/// The folder on the boot partition.
const CARD: &str = "/boot/firmware/torment-nexus";

/// Where systemd keeps that, once the service runs; before, there is no link to it.
const PRIVATE: &str = "/var/lib/private/torment-nexus";

/// The unit's `SupplementaryGroups`.
const GROUPS: [&str; 4] = ["gpio", "dialout", "lp", "video"];

/// Set once the program runs as the service: to lines of what there is to say of that, each
/// with the next step after a semicolon if there is one.
const SAYS: &str = "NEXUS_OPTIONS_READ";

/// Starts the program again with the options of the service, in its folder and as its user,
/// if the service is on this machine. Returns what there is to say of it afterwards.
///
/// # Errors
///
/// When the program cannot be started again.
pub(crate) fn become_it() -> Result<Vec<Finding>> {
    if let Some(says) = env::var_os(SAYS) {
        let finding = |line: &str| match line.split_once("; ") {
            None => Finding::ok("service", line),
            Some((found, next)) => Finding::warn("service", found, next),
        };
        return Ok(says.to_string_lossy().lines().map(finding).collect());
    }
    if !Path::new(OPTIONS).exists() && !Path::new(STATE).exists() {
        return Ok(Vec::new());
    }
    let mut again = Command::new(env::current_exe().context("cannot start again as the service")?);
    again.args(env::args_os().skip(1));
    let mut says = Vec::new();
    let options = match fs::read(OPTIONS) {
        Ok(file) => environment::read(&file)
            .map_err(|why| format!("systemd leaves out all of {OPTIONS}, for {why}; mend it")),
        // The unit does without, too.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Variables::default()),
        Err(error) => Err(format!("cannot read {OPTIONS}: {error}; run this with sudo")),
    };
    let Variables { set, left_out } = options.unwrap_or_else(|why| {
        says.push(why);
        Variables::default()
    });
    if !left_out.is_empty() {
        says.push(format!("systemd leaves out {left_out:?} of {OPTIONS}: no names; mend them"));
    }
    let state = [STATE, PRIVATE].map(Path::new).into_iter().find(|folder| folder.is_dir());
    let folder = state.unwrap_or(Path::new(STATE));
    let unit = [
        ("STATE_DIRECTORY", folder.to_owned()),
        ("TORMENT_MODEL_DIR", folder.join("models")),
        ("TORMENT_CARD", PathBuf::from(CARD)),
    ];
    let unit = unit.map(|(name, value)| (name.to_owned(), value.into_os_string()));
    let set = set.into_iter().map(|(name, value)| (name, value.into()));
    // What was given here wins.
    again.envs(unit.into_iter().chain(set).filter(|(name, _)| env::var_os(name).is_none()));
    if let Some(state) = state {
        again.current_dir(state);
    }
    if let Err(error) = state.map_or(Ok(()), take_user_of) {
        says.push(format!(
            "cannot look as the service's user: {error:#}; run this with sudo, on the box itself"
        ));
    }
    says.push(format!("options of {OPTIONS}, folder {folder:?}, seen as user {}", Uid::effective()));
    again.env(SAYS, says.join("\n"));
    Err(again.exec()).context("cannot start again as the service")
}

/// Takes the rights of the service's user, who owns the folder `state`; as far as it is root
/// who asks, and not the owner.
fn take_user_of(state: &Path) -> Result<()> {
    let real = state.canonicalize()?;
    let owner = fs::metadata(&real)?;
    let (user, group) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
    if user == Uid::effective() || user.is_root() {
        // systemd gives it to the user when the service starts.
        return Ok(());
    }
    ensure!(Uid::effective().is_root(), "the service's is {user}");
    // Where systemd draws a user for the service (DynamicUser=), the folder above is root's
    // alone, and the service sees another one in its place.
    let above = real.parent().context("it has no folder above")?;
    if fs::metadata(above)?.mode() & 0o001 == 0 {
        let unseen = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let none = None::<&Path>;
        unshare(CloneFlags::CLONE_NEWNS)?;
        mount(none, Path::new("/"), none, unseen, none)?;
        let folder = File::open(&real)?;
        mount(none, above, Some("tmpfs"), MsFlags::empty(), Some("mode=755"))?;
        fs::create_dir(&real)?;
        let folder = format!("/proc/self/fd/{}", folder.as_raw_fd());
        mount(Some(folder.as_str()), &real, none, MsFlags::MS_BIND, none)?;
    }
    let groups = GROUPS.into_iter().filter_map(|name| Group::from_name(name).ok()?);
    setgroups(&groups.map(|group| group.gid).collect::<Vec<_>>())?;
    setgid(group)?;
    Ok(setuid(user)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_groups_and_the_folder_are_those_of_the_unit() {
        const UNIT: &str = include_str!("../../hardware/torment-nexus.service");
        for line in [
            format!("SupplementaryGroups={}", GROUPS.join(" ")),
            format!("EnvironmentFile=-{OPTIONS}"),
            "WorkingDirectory=%S/torment-nexus".to_owned(),
            "Environment=TORMENT_MODEL_DIR=%S/torment-nexus/models".to_owned(),
            format!("Environment=TORMENT_CARD={CARD}"),
        ] {
            assert!(UNIT.lines().any(|of_unit| of_unit == line), "{line}");
        }
    }
}
