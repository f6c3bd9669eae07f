//! Whole lives of ember, and every way they end.

mod prompt;
mod signals;
mod whole_life;
