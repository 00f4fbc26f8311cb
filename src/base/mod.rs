//! The vocabulary of the domain: parsed types without I/O. Every other module may use it; it uses none.
//!
//! A value that comes from outside is parsed once, here, into a type with private fields; from then on the
//! type is the proof that it is well formed.

pub mod check;
pub mod digest;
pub mod egress;
pub mod evidence;
pub mod fault;
pub mod finding;
pub mod glob;
pub mod json;
pub mod limits;
pub mod lines;
pub mod made;
pub mod markup;
pub mod package;
pub mod path;
pub mod peer;
pub mod platform;
pub mod progress;
pub mod runtime;
pub mod section;
pub mod sheet;
pub mod text;
pub mod time;
pub mod workers;
