//! Whole cycles under faults: kills, competitors, refusals, damage, silence. After each run an oracle checks the
//! guarantees: at most one commit per update, no foreign commit lost, nothing changed but pins, and a last undisturbed
//! cycle converges.

mod oracle;
mod process;
mod trip;
mod world;

mod contents;
mod disks;
mod kills;
mod silence;
mod states;
mod writers;
