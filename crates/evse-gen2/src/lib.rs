//! Load-sharing controller for Gen 2 Wall Connectors: a sans-IO state machine and the thread that runs it
