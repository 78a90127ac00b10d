//! EMS driver: fronius
