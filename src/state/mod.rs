//! What is kept between lives, and the one way in which a kept file is replaced.
//!
//! | file | what it knows |
//! |---|---|
//! | [`folder`] | where the state folder is |
//! | [`lives`] | the record of lives: how many there were, and how the last one went |
//! | [`replace`] | a file's new content, whole or not at all |

pub(crate) mod folder;
pub mod lives;
pub(crate) mod replace;
