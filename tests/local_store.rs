//! What is special about the local stores: atomic publication, confinement to the root, real file
//! systems. The behaviour that all backends share is held by the store suite.

mod local;
