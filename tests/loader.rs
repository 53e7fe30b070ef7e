//! Datasets, their order, and passes over them: what is drawn, how often, and from where it goes on.

#[path = "loader/support.rs"]
mod support;

#[path = "loader/draws.rs"]
mod draws;
