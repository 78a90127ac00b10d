//! Trait, readings and plug-in host for energy meters, inverters and batteries
