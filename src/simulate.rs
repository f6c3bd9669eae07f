//! `torment-nexus simulate`: starts the cabinet, a program of its own, which draws the
//! installation and starts this one for each life.

use std::convert::Infallible;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, anyhow};

use installation::life::ending::Ending;

/// The cabinet's program, beside this one.
const CABINET: &str = "torment-nexus-cabinet";

/// Becomes the cabinet, with the same arguments. Fails when there is none.
pub(crate) fn start() -> Result<Infallible, Ending> {
    let own = env::current_exe().context("cannot find the program's own file; report this")?;
    let cabinet = own.with_file_name(CABINET);
    let error = Command::new(&cabinet).args(env::args_os().skip(1)).exec();
    Err(anyhow!(
        "cannot start {cabinet:?}, which draws the installation: {error}; on a PC build it with \
         cargo build --release; the board has none"
    )
    .into())
}
