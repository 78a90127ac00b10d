//! EMS driver: mqtt
