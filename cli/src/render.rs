//! How data is written for people.

mod backends;
mod change;
mod chart;
mod connections;
mod doctor;
mod events;
mod explain;
mod paint;
mod persistence;
mod plugin;
mod program;
mod quantity;
mod real_server;
mod services;
mod simulation;
mod status;
mod suite;
mod table;
mod text;

#[cfg(test)]
mod samples;

pub use backends::backends;
pub use change::{plan, summary, torn};
pub use chart::chart;
pub use connections::connections;
pub use doctor::findings;
pub use events::event;
pub use explain::explanation;
pub use paint::Paint;
pub use persistence::persistence;
pub use plugin::{conformance, inspection, prices};
pub use program::program;
pub use quantity::count;
pub use real_server::{lines, real_server};
pub use services::services;
pub use simulation::simulation;
pub use status::{is_degraded, status};
pub use suite::report;
pub use text::{escape, escape_block, escape_painted, steers};
