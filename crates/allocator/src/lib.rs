//! Shares power between charging points under a tree of circuits
