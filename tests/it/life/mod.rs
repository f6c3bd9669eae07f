//! Whole lives, most of them of ember, and every way they end.

mod outside;
mod prompt;
mod real_model;
mod show;
mod signals;
mod terminal;
mod whole_life;
