//! What several test binaries share. Each uses a part of it.
#![allow(dead_code)]

pub mod balancer;
pub mod faults;
pub mod gcs_server;
pub mod mapped;
pub mod node;
pub mod ports;
pub mod process;
pub mod program;
pub mod servers;
