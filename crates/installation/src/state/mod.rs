//! What is kept between lives, and how a kept file is replaced.
//!
//! | file | what it knows |
//! |---|---|
//! | [`folder`] | where the state folder is |
//! | [`lives`] | `lives.csv`, the history: a line when a life begins and one when it ends |
//! | [`entry`] | one of these lines |
//! | [`record`] | what all of them come to: the number, an open receipt, the last fault |
//! | [`texts`] | the last lives' texts, a file each |
//! | [`regular`] | opens regular files only, without waiting |
//! | [`replace`] | replaces a file atomically: write, fsync, rename |

pub mod entry;
pub mod folder;
pub mod lives;
pub mod record;
pub mod regular;
pub mod replace;
pub mod texts;
