//! Picks a number, a text or a list out of a JSON document by path
