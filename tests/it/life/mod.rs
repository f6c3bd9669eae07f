//! Whole lives, most of them of ember, and every way they end.

mod outside;
mod prompt;
mod real_model;
mod show;
mod signals;
mod whole_life;
