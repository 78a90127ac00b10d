//! Traits and data for steering charging points (EVSEs) of any make in watts
