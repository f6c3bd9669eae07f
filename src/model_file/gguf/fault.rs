//! Why a file is refused, in words for the message.

use std::fmt::{self, Display};
use std::io;

use super::tables::MAX_NAME;

/// Why a file is refused. The text is a clause about the file, as in "it is not
/// a GGUF file".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It contradicts itself or is incomplete: another copy may be sound.
    Damaged(String),
    /// It is complete and sound, but cannot be used here.
    Unfit(String),
}

impl Fault {
    /// The fault of a file that the system cannot read.
    #[must_use]
    pub(crate) fn unreadable(error: io::Error) -> Self {
        damaged(format_args!("it cannot be read ({error})"))
    }

    /// Whether another copy of the file may be sound.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged(_))
    }

    /// The next step for the user.
    #[must_use]
    pub fn next(&self) -> &'static str {
        match self {
            Self::Damaged(_) => "download or copy it again, or give --model ember",
            Self::Unfit(_) => "name a model that writes text with --model, or give --model ember",
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Damaged(what) | Self::Unfit(what)) = self;
        f.write_str(what)
    }
}

impl std::error::Error for Fault {}

pub(super) type Result<T, E = Fault> = std::result::Result<T, E>;

pub(super) fn damaged(what: impl Display) -> Fault {
    Fault::Damaged(what.to_string())
}

pub(super) fn unfit(what: impl Display) -> Fault {
    Fault::Unfit(what.to_string())
}

/// A name or text of the file as a message shows it: escaped, and cut off after
/// 64 characters.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown: String = text.chars().take(MAX_NAME as usize).collect();
    let more = if shown.len() < text.len() { "…" } else { "" };
    format!("{shown:?}{more}")
}
