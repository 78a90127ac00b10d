//! EMS driver: url
