//! The page: HTML, CSS and JavaScript, embedded
