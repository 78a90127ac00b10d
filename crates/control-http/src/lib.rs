//! The HTTP interface: the compatible API, the native API, metrics and the page
