//! Ports for servers that must come back on the port they had.

use std::net::{Ipv4Addr, TcpListener};

use rand::{Rng, SeedableRng};

/// A port that is free now and lies below the range from which the kernel takes client ports. A port of that range would
/// be lost to any outgoing connection while its server is down, and a client that redials it may even connect to itself.
/// Another process may still take it before the server does: who starts one tries again on other ports.
pub fn free() -> u16 {
    let mut random = rand::rngs::SmallRng::from_os_rng();
    loop {
        let port = random.random_range(20_000..32_000);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
