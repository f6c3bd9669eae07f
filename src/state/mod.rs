//! What is kept between lives, and how a kept file is replaced.
//!
//! | file | what it knows |
//! |---|---|
//! | [`folder`] | where the state folder is |
//! | [`lives`] | the record of lives: how many there were, and how the last one went |
//! | [`record`] | the content of that record |
//! | [`history`] | `lives.csv`: one line a life |
//! | [`regular`] | opens regular files only, without waiting |
//! | [`replace`] | replaces a file atomically: write, fsync, rename |

pub(crate) mod folder;
pub mod history;
pub mod lives;
pub mod record;
pub(crate) mod regular;
pub(crate) mod replace;
