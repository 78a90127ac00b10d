//! Modbus client over TCP and RTU
