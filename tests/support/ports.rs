//! Free loopback ports for servers that cannot choose their own.
//!
//! They come from below the range that the kernel gives to outgoing connections, so that no
//! connection takes one between the choice and the server's start. Another process may: a start
//! that fails is tried again with other ports (`servers`).

use std::{collections::HashSet, net::TcpListener, sync::Mutex};

static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

/// `N` ports that nothing listens on now and that this process never got before.
pub fn free<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| next())
}

fn next() -> u16 {
    let mut taken = TAKEN.lock().expect("no panic while held");
    let taken = taken.get_or_insert_default();
    for _ in 0..10_000 {
        let port = rand::random_range(10_000..32_000);
        if !taken.contains(&port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.insert(port);
            return port;
        }
    }
    panic!("no free port between 10000 and 32000")
}
