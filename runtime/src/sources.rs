//! The kernels' own source text, for the generator that vendors them.

/// File name and text of every file that can be vendored, in alphabetical order. A file finds its neighbours
/// by `super::`; [`requirements`] says which. a `mod.rs` names all files of its folder.
pub const SOURCES: &[(&str, &str)] = &[
    ("adapt.rs", include_str!("adapt.rs")),
    ("add.rs", include_str!("add.rs")),
    ("argmax.rs", include_str!("argmax.rs")),
    ("avg_pool.rs", include_str!("avg_pool.rs")),
    ("bias.rs", include_str!("bias.rs")),
    ("concat.rs", include_str!("concat.rs")),
    ("conv.rs", include_str!("conv.rs")),
    ("dense.rs", include_str!("dense.rs")),
    ("depthwise.rs", include_str!("depthwise.rs")),
    ("dsp/add.rs", include_str!("dsp/add.rs")),
    ("dsp/conv.rs", include_str!("dsp/conv.rs")),
    ("dsp/depthwise.rs", include_str!("dsp/depthwise.rs")),
    ("dsp/dot.rs", include_str!("dsp/dot.rs")),
    ("dsp/gather.rs", include_str!("dsp/gather.rs")),
    ("dsp/lanes.rs", include_str!("dsp/lanes.rs")),
    ("dsp/line.rs", include_str!("dsp/line.rs")),
    ("dsp/lines.rs", include_str!("dsp/lines.rs")),
    ("dsp/mod.rs", include_str!("dsp/mod.rs")),
    ("dsp/patches.rs", include_str!("dsp/patches.rs")),
    ("dsp/pool.rs", include_str!("dsp/pool.rs")),
    ("dsp/rows.rs", include_str!("dsp/rows.rs")),
    ("dsp/spread.rs", include_str!("dsp/spread.rs")),
    ("dsp/tiles.rs", include_str!("dsp/tiles.rs")),
    ("dsp/winograd.rs", include_str!("dsp/winograd.rs")),
    ("flatten.rs", include_str!("flatten.rs")),
    ("gate.rs", include_str!("gate.rs")),
    ("grouped.rs", include_str!("grouped.rs")),
    ("lookup.rs", include_str!("lookup.rs")),
    ("max_pool.rs", include_str!("max_pool.rs")),
    ("mve/conv.rs", include_str!("mve/conv.rs")),
    ("mve/copy.rs", include_str!("mve/copy.rs")),
    ("mve/dot.rs", include_str!("mve/dot.rs")),
    ("mve/mod.rs", include_str!("mve/mod.rs")),
    ("pad.rs", include_str!("pad.rs")),
    ("requant.rs", include_str!("requant.rs")),
    ("scalar/conv.rs", include_str!("scalar/conv.rs")),
    ("scalar/mod.rs", include_str!("scalar/mod.rs")),
    ("scalar/v6m.rs", include_str!("scalar/v6m.rs")),
    ("scalar/v7m.rs", include_str!("scalar/v7m.rs")),
    ("shape.rs", include_str!("shape.rs")),
];

/// The files that `file` uses, itself not included.
pub fn requirements(file: &str) -> &'static [&'static str] {
    match file {
        "conv.rs" | "depthwise.rs" | "grouped.rs" => {
            &["bias.rs", "pad.rs", "requant.rs", "shape.rs"]
        }
        "avg_pool.rs" | "dense.rs" | "gate.rs" => &["requant.rs", "shape.rs"],
        "dsp/add.rs" => &["add.rs", "dsp/mod.rs"],
        "dsp/conv.rs" => &[
            "bias.rs",
            "dsp/dot.rs",
            "dsp/gather.rs",
            "dsp/lanes.rs",
            "dsp/mod.rs",
            "pad.rs",
            "requant.rs",
            "shape.rs",
        ],
        "dsp/gather.rs" => &[
            "dsp/conv.rs",
            "dsp/dot.rs",
            "dsp/lanes.rs",
            "dsp/mod.rs",
            "pad.rs",
            "shape.rs",
        ],
        "dsp/dot.rs" => &["dsp/lanes.rs", "dsp/mod.rs", "requant.rs"],
        "dsp/pool.rs" => &["avg_pool.rs", "dsp/mod.rs", "requant.rs", "shape.rs"],
        "dsp/rows.rs" | "dsp/depthwise.rs" => {
            &["dsp/lanes.rs", "dsp/mod.rs", "requant.rs", "shape.rs"]
        }
        "dsp/line.rs" => &["dsp/lines.rs", "dsp/mod.rs", "requant.rs"],
        "dsp/lines.rs" => &[
            "dsp/lanes.rs",
            "dsp/line.rs",
            "dsp/mod.rs",
            "dsp/spread.rs",
            "requant.rs",
            "shape.rs",
        ],
        "dsp/spread.rs" => &["dsp/line.rs", "dsp/mod.rs"],
        "mve/conv.rs" => &[
            "mve/copy.rs",
            "mve/dot.rs",
            "mve/mod.rs",
            "requant.rs",
            "shape.rs",
        ],
        "mve/dot.rs" => &["mve/mod.rs", "requant.rs", "shape.rs"],
        "mve/copy.rs" => &["mve/mod.rs", "shape.rs"],
        "scalar/conv.rs" => &["requant.rs", "scalar/mod.rs", "shape.rs"],
        "scalar/v6m.rs" | "scalar/v7m.rs" => &["scalar/conv.rs", "scalar/mod.rs", "shape.rs"],
        "dsp/patches.rs" => &["dsp/lanes.rs", "dsp/mod.rs", "shape.rs"],
        "dsp/tiles.rs" => &[
            "dsp/lanes.rs",
            "dsp/mod.rs",
            "dsp/patches.rs",
            "dsp/winograd.rs",
            "requant.rs",
        ],
        "dsp/winograd.rs" => &[
            "dsp/lanes.rs",
            "dsp/mod.rs",
            "dsp/patches.rs",
            "dsp/tiles.rs",
            "requant.rs",
            "shape.rs",
        ],
        "dsp/lanes.rs" => &["dsp/mod.rs", "shape.rs"],
        "adapt.rs" | "concat.rs" | "lookup.rs" | "max_pool.rs" => &["shape.rs"],
        _ => &[],
    }
}
