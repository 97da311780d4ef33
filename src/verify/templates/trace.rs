/// The network, showing what each layer gives.
mod network {
    pub use network_library::{Arena, Input, Prediction, CLASSES, INPUT_LEN};

    pub fn infer(arena: &mut Arena, input: &Input) -> Prediction {
        network_library::infer_traced(arena, input, &mut super::show)
    }
}

/// `@`, the layer's index, and its output tensor in hexadecimal.
#[cfg(not(target_os = "none"))]
fn show(layer: usize, tensor: &[i8]) {
    let hex: String = tensor.iter().map(|value| format!("{value:02x}")).collect();
    println!("@{layer} {hex}");
}

/// `@`, the layer's index, and its output tensor in hexadecimal.
#[cfg(target_os = "none")]
fn show(layer: usize, tensor: &[i8]) {
    let mut line = bare_metal::Line::new();
    line.push(b"@");
    line.number(layer as u32);
    line.push(b" ");
    for value in tensor {
        let byte = *value as u8;
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        line.push(&[digit(byte >> 4), digit(byte & 15)]);
    }
    line.push(b"\n");
    line.flush();
}
