//! What is kept between lives.

mod history;
