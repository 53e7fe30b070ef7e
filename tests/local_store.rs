//! What is special about the local stores: atomic publication, confinement to the root, real file
//! systems. The behaviour that all backends share is held by the store suite.
//!
//! They use Linux's own means (mounts, seccomp) and must run as root.

#![cfg(target_os = "linux")]

mod local;
