//! Datasets, their order, and passes over them: what is drawn, how often, and from where it goes on.

#[path = "support/mod.rs"]
mod backends;
#[path = "loader/support.rs"]
mod support;

#[path = "loader/bounds.rs"]
mod bounds;
#[path = "loader/draws.rs"]
mod draws;
#[path = "loader/failures.rs"]
mod failures;
#[path = "loader/listing.rs"]
mod listing;
#[path = "loader/manifest.rs"]
mod manifest;
#[path = "loader/order.rs"]
mod order;
#[path = "loader/resume.rs"]
mod resume;
