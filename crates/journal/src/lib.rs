//! Readings, offers and charging sessions in SQLite, kept through kill -9
