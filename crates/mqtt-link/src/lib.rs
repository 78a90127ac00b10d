//! One MQTT connection for everything that talks to the same broker
