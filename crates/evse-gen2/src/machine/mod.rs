//! The bus without its port: time and frames in, frames and news out.
