//! The stream, whole: commands that the target does not have, or refuses, and those that touch our own keys.

mod dead_letters;
mod translated;
