//! Listings in bounded pages.

pub use store_core::{Cursor, Page, PageRequest};
