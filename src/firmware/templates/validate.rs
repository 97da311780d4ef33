//! Firmware that `fratc verify --on-device` talks to: it takes test samples and sends back what the network says.
#![no_std]
#![no_main]

use ::network_library as network;

#[path = "../chip.rs"]
mod chip;
#[path = "../link.rs"]
mod link;
#[path = "../port.rs"]
mod port;
#[path = "../serve.rs"]
mod serve;

/// First bytes of the SHA-256 of the int8 program that the crate was made from.
const FINGERPRINT: [u8; 8] = {fingerprint};

chip::main!(start);

fn start(arena: &mut network::Arena, input: &mut network::Input) -> ! {
    serve::serve(&mut port::Port::open(), arena, input)
}
