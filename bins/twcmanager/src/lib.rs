//! Charges electric cars at home from what the house, the sun and the grid can spare
