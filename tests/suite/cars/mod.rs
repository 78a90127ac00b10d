//! Cars through the real binary, against a simulated cloud that verifies what it is told.
//!
//! | file | what |
//! |---|---|
//! | `rig` | cloud, connectors, meter and program, and the cables between them |
//! | `household` | two connectors, three cars, a roof: who gets what, and why |
//! | `sign_in`, `setup` | the way to the account, by page and by command line |
//! | `trouble` | a cloud that is slow, away, or wants a pause |
//! | `limit` | the charge limit that is put back after a crash |
//! | `secrets` | what must be found nowhere |

mod household;
mod limit;
mod rig;
mod secrets;
mod setup;
mod sign_in;
mod trouble;
