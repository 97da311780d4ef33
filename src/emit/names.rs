//! Identifiers: layer names of any framework become unique `snake_case` function names.

use std::collections::BTreeSet;

use crate::qir::Program;

/// Longest identifier: declarations that hold one then fit rustfmt's 100 columns.
const MAX_CHARS: usize = 36;

/// Names with a meaning of their own in `src/layers.rs`.
const RESERVED: [&str; 36] = [
    "run", "step", "index", "region", "pair", "regions", "split", "hwc", "window", "rows_of", "bytes_of", "to_i8",
    "to_i32", "x", "y", "a", "b", "g", "t", "parts", "part", "memory", "input", "scores", "observe", "band", "rows",
    "taps", "from", "to", "read", "since", "until", "slide", "before", "now",
];

/// Whether `name` has a meaning of its own: `part` and `from` are numbered there, and one function is imported.
fn is_reserved(name: &str) -> bool {
    name == "black_box"
        || RESERVED.contains(&name)
        || RESERVED.contains(&name.trim_end_matches(|c: char| c.is_ascii_digit()))
}

/// Rust's keywords of all editions.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
    "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true",
    "try", "type", "typeof", "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Whether a target of every emitted crate, or a crate of Rust itself, is called `name`.
pub(super) fn is_taken(name: &str) -> bool {
    ["alloc", "core", "golden", "infer", "proc_macro", "std", "test"].contains(&name)
}

/// The crate's name in Rust code.
pub(super) fn crate_ident(program: &Program) -> String {
    program.name.replace('-', "_")
}

/// One identifier per layer, in layer order.
pub(super) fn layer_names(program: &Program) -> Vec<String> {
    let mut taken: BTreeSet<String> = RESERVED.iter().map(|&name| name.to_string()).collect();
    let mut names = Vec::with_capacity(program.layers.len());
    for layer in &program.layers {
        let base = snake_case(&layer.name);
        let name = std::iter::once(base.clone())
            .chain((2..=taken.len() + 2).map(|n| format!("{base}_{n}")))
            .find(|name| !taken.contains(name))
            .expect("more candidates than names that are taken");
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// `StatefulPartitionedCall/model/conv2d_1/Relu;…` and the like, as a Rust identifier.
fn snake_case(name: &str) -> String {
    let mut out = String::new();
    let mut previous = ' ';
    for c in name.chars() {
        let word_starts = c.is_ascii_uppercase() && previous.is_ascii_lowercase();
        if !c.is_ascii_alphanumeric() || word_starts {
            out.push('_');
        }
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        }
        previous = c;
    }
    let words: Vec<&str> = out.split('_').filter(|word| !word.is_empty()).collect();
    let mut words = &words[..];
    // The end of a framework's path says more than its beginning.
    while words.len() > 1 && words.iter().map(|word| word.len() + 1).sum::<usize>() > MAX_CHARS + 1 {
        words = &words[1..];
    }
    let mut name: String = words.join("_").chars().take(MAX_CHARS).collect();
    if name.is_empty() {
        name = "layer".into();
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) || is_reserved(&name) || KEYWORDS.contains(&&*name) {
        name = format!("layer_{name}");
    }
    name.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_frameworks_become_identifiers() {
        for (name, ident) in [
            ("conv1", "conv1"),
            ("/layer1/layer1.0/conv1/Conv", "layer1_layer1_0_conv1_conv"),
            ("StatefulPartitionedCall/model/activation_8/Relu;add_1", "call_model_activation_8_relu_add_1"),
            ("Conv2D_BatchNorm", "conv2d_batch_norm"),
            ("0", "layer_0"),
            ("match", "layer_match"),
            ("x", "layer_x"),
            ("part0", "layer_part0"),
            ("BlackBox", "layer_black_box"),
            ("größe", "gr_e"),
            ("", "layer"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        ] {
            assert_eq!(snake_case(name), ident);
        }
    }
}
