//! Cars and sources in virtual time, and what a user would notice.

mod any;
mod days;
mod manners;
mod orders;
mod world;
