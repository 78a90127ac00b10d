//! Watts, amps, volts, phases and percent for electric-vehicle charging, with arithmetic only where physics allows it
