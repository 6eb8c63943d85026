//! The kit is held to what it promises: a test that passes because its fault did not happen proves nothing.

mod cluster;
mod faults;
mod kvrocks;
mod program;
mod proxy;
mod script_proxy;
mod sentinels;
mod server;
