//! Small things without I/O and without async: URIs, keys, checksums, memory, secrets, locks.

pub mod budget;
pub mod buffer;
pub mod checksum;
pub mod date;
pub mod first_byte;
pub mod key;
pub mod op;
pub mod pace;
pub mod random;
pub mod redact;
pub mod secret;
pub mod sync;
pub mod uri;
