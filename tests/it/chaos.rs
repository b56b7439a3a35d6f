//! Whole cycles under faults: kills, competitors, refusals, damage, silence. After each run an oracle checks the
//! guarantees: at most one commit per update, no foreign commit lost, nothing changed but pins, and a last undisturbed
//! cycle converges.

#[path = "support/chaos_oracle.rs"]
mod oracle;
#[path = "support/chaos_process.rs"]
mod process;
#[path = "support/chaos_trip.rs"]
mod trip;
#[path = "support/chaos_world.rs"]
mod world;

mod contents;
mod disks;
mod kills;
mod silence;
mod states;
mod writers;
