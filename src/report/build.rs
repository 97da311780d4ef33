//! What `fratc build --json` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use super::memory::{LayerMemory, Region};

/// Version of the JSON objects' layout.
pub const SCHEMA: u32 = 1;

/// The whole build.
#[derive(Debug, Clone, Serialize)]
pub struct Build {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of the tool.
    pub fratc_version: &'static str,
    /// The source network.
    pub model: Model,
    /// Wanted classes, in output order.
    pub classes: Vec<String>,
    /// Attribution method, `null` when nothing was cut.
    pub method: Option<String>,
    /// The board or emulated machine.
    pub target: String,
    /// How the size was chosen.
    pub route: Route,
    /// Fine-tuning; `null` when not run.
    pub finetune: Option<Finetune>,
    /// On the test split; `null` without one.
    pub accuracy: Option<Accuracy>,
    /// The components, if there are several sources; `null` otherwise and without a test split.
    pub joint: Option<Joint>,
    /// How well inputs of no wanted class are told, with `--reject`; `null` otherwise and without a test split.
    pub reject: Option<Reject>,
    /// The small network.
    pub assembled: Assembled,
    /// What exact simplification took out of the int8 program; `null` if it was switched off.
    pub simplified: Option<Simplified>,
    /// What the linked firmware grows by; `null` if it was not linked.
    pub flash: Option<Flash>,
    /// Memory while running.
    pub ram: Ram,
    /// Each layer in the linked firmware, in order of execution; empty if nothing was linked.
    pub layers: Vec<LayerMemory>,
    /// Code that several layers share, and the rest of it; `null` if nothing was linked.
    pub shared_code_bytes: Option<u64>,
    /// The board's memories with the linked firmware, which is the crate's example; empty if nothing was linked.
    pub regions: Vec<Region>,
    /// Byte-for-byte comparisons.
    pub verify: Verify,
    /// What was skipped or deserves attention.
    pub notes: Vec<String>,
    /// Wall-clock seconds of each stage.
    pub seconds: BTreeMap<String, f64>,
}

/// The source network.
#[derive(Debug, Clone, Serialize)]
pub struct Model {
    /// As given.
    pub path: String,
    /// Of the file's bytes.
    pub sha256: String,
    /// Weights and biases, batch norm folded.
    pub params: usize,
    /// Multiply-accumulates per sample.
    pub macs: u64,
}

/// How the size was chosen.
#[derive(Debug, Clone, Serialize)]
pub struct Route {
    /// Share of channels kept, of every group or, where widths were searched, of all together; 1 when nothing was cut.
    pub keep: f64,
    /// How the size was asked for or found.
    pub chosen_by: String,
    /// Whether weights were refitted.
    pub refit: bool,
    /// To how many samples; 0 where they were not.
    pub refit_samples: usize,
    /// Networks judged on held-out calibration samples: share of channels kept, accuracy.
    pub tried: Vec<(f64, f64)>,
    /// The source's masked accuracy on the same samples.
    pub held_out_base: Option<f64>,
    /// Channels at the cut of their group whose scores are closer to it than 1/1000 of the largest, decided by the order
    /// of their indices.
    pub ties: usize,
    /// Multiply-accumulates allowed; `null` without such a limit.
    pub max_macs: Option<u64>,
    /// Bytes of flash allowed; `null` without such a limit.
    pub max_flash: Option<u64>,
    /// Bytes of RAM allowed, for arena and input; `null` without such a limit.
    pub max_ram: Option<u64>,
}

impl Route {
    /// A size that was not searched, and no refit.
    pub fn of(keep: f64, chosen_by: impl Into<String>) -> Self {
        Self {
            keep,
            chosen_by: chosen_by.into(),
            refit: false,
            refit_samples: 0,
            tried: Vec::new(),
            held_out_base: None,
            ties: 0,
            max_macs: None,
            max_flash: None,
            max_ram: None,
        }
    }
}

/// Training after the cut, judged on calibration samples held out from it.
#[derive(Debug, Clone, Serialize)]
pub struct Finetune {
    /// Times through the training samples.
    pub epochs: usize,
    /// Training samples of the wanted classes.
    pub samples: usize,
    /// Whether the source's scores were the teacher, beside labels where there are any.
    pub distill: bool,
    /// Whether the trained weights are in use: only if they are better on the held-out samples.
    pub kept: bool,
    /// The network before.
    pub held_out_before: HeldOut,
    /// The trained network; `null` if training diverged.
    pub held_out_after: Option<HeldOut>,
}

/// How a network does on the held-out samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOut {
    /// Samples.
    pub samples: usize,
    /// Share of right answers.
    pub accuracy: f64,
    /// Mean cross-entropy, in nats.
    pub cross_entropy: f64,
}

/// Accuracies on the wanted classes' test samples.
#[derive(Debug, Clone, Serialize)]
pub struct Accuracy {
    /// Test samples of the wanted classes.
    pub samples: usize,
    /// Source network, argmax over all its classes.
    pub source_all: f64,
    /// Source network, argmax over the wanted classes: the honest base.
    pub source_masked: f64,
    /// Small float network.
    pub assembled_f32: f64,
    /// The emitted int8 program.
    pub int8: f64,
    /// By class name.
    pub per_class: BTreeMap<String, ClassAccuracy>,
}

/// One class's share of [`Accuracy`].
#[derive(Debug, Clone, Serialize)]
pub struct ClassAccuracy {
    /// Test samples.
    pub samples: usize,
    /// Source network, masked.
    pub source_masked: f64,
    /// The emitted int8 program.
    pub int8: f64,
}

/// Several components as one network. Accuracies are means over classes of the share of right answers.
#[derive(Debug, Clone, Serialize)]
pub struct Joint {
    /// In the order given.
    pub components: Vec<Component>,
    /// Multiply-accumulates that components share: their sum less those of the whole.
    pub shared_macs: u64,
    /// Weights and biases likewise.
    pub shared_params: usize,
    /// Every source on its own classes alone, mean over all classes: what no assembly can be better than by much.
    pub mean_class_alone: f64,
    /// The uncut sources side by side, on one scale, over all classes.
    pub mean_class_source: f64,
    /// The small float network.
    pub mean_class_f32: f64,
    /// The emitted int8 program.
    pub mean_class_int8: f64,
}

/// One component, judged on its own classes alone.
#[derive(Debug, Clone, Serialize)]
pub struct Component {
    /// Its case's name.
    pub name: String,
    /// The model's file name.
    pub model: String,
    /// Of the model's bytes.
    pub sha256: String,
    /// Its classes.
    pub classes: Vec<String>,
    /// Multiply-accumulates of its branch alone.
    pub macs: u64,
    /// Weights and biases of its branch alone.
    pub params: usize,
    /// The uncut source.
    pub source_alone: f64,
    /// The small float network's branch.
    pub assembled_alone: f64,
    /// The emitted int8 program's branch.
    pub int8_alone: f64,
}

/// Wanted samples against others, on the test split, by the int8 program's margins.
#[derive(Debug, Clone, Serialize)]
pub struct Reject {
    /// What the threshold was chosen by, on calibration samples.
    pub point: String,
    /// In steps of the scores.
    pub threshold: i32,
    /// Test samples of wanted classes.
    pub wanted_samples: usize,
    /// Test samples of the source's other classes.
    pub other_samples: usize,
    /// Share of wanted samples that are taken for a wanted class, at the threshold.
    pub recall: f64,
    /// Share of wanted samples that are taken for their own class.
    pub right: f64,
    /// Share of other samples that are taken for a wanted class.
    pub false_accepts: f64,
    /// The same for each other class.
    pub false_accepts_per_class: BTreeMap<String, f64>,
    /// The same for background images that the threshold was not chosen on; `null` without.
    pub false_accepts_background: Option<f64>,
    /// The emitted int8 program, at every threshold.
    pub int8: Detection,
    /// The uncut source by its own probability of the wanted classes, at every threshold.
    pub source: Detection,
}

/// A detector at every threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Detection {
    /// Area under the curve of recall over false accepts.
    pub auc: f64,
    /// Recall at 1 % false accepts of these samples.
    pub recall_at_1: f64,
    /// Recall at 5 %.
    pub recall_at_5: f64,
}

/// The small network.
#[derive(Debug, Clone, Serialize)]
pub struct Assembled {
    /// Weights and biases.
    pub params: usize,
    /// Multiply-accumulates per sample.
    pub macs: u64,
    /// Channels kept and channels there were, by group.
    pub channels: BTreeMap<String, [usize; 2]>,
}

/// The int8 program before and after exact simplification: scores are the same. Pairs are `[before, after]`.
#[derive(Debug, Clone, Serialize)]
pub struct Simplified {
    /// Multiply-accumulates of one inference.
    pub macs: [u64; 2],
    /// int8 weights.
    pub weights: [usize; 2],
    /// Layers.
    pub layers: [usize; 2],
    /// Channels of all tensors but the input.
    pub channels: [usize; 2],
    /// Channels of each layer that lost some, by name; 0 after: the layer went.
    pub changed: BTreeMap<String, [usize; 2]>,
}

/// What the linked firmware grows by when `infer` is in it.
#[derive(Debug, Clone, Serialize)]
pub struct Flash {
    /// int8 weights.
    pub weights_bytes: u64,
    /// Biases, multipliers, border tables, lookup tables, what kernels are called with.
    pub tables_bytes: u64,
    /// Instructions, and what alignment adds.
    pub code_bytes: u64,
    /// Sum.
    pub total_bytes: u64,
}

/// Memory while running.
#[derive(Debug, Clone, Serialize)]
pub struct Ram {
    /// The caller's `Arena`.
    pub arena_bytes: u64,
    /// The caller's `Input`.
    pub input_bytes: u64,
    /// High-water mark of `infer` in QEMU; `null` if it did not run.
    pub stack_bytes: Option<u64>,
    /// What is left of the stack's memory beside it in the linked firmware, the caller's own stack included.
    pub stack_left_bytes: Option<u64>,
    /// Sum of what is known.
    pub total_bytes: u64,
}

/// Byte-for-byte comparisons with the host simulation.
#[derive(Debug, Clone, Serialize)]
pub struct Verify {
    /// The crate on this machine.
    pub host: Option<HostRun>,
    /// The crate in QEMU.
    pub qemu: Option<QemuRun>,
}

/// The crate on this machine.
#[derive(Debug, Clone, Serialize)]
pub struct HostRun {
    /// Inputs compared.
    pub samples: usize,
    /// Inputs with any differing byte.
    pub mismatches: usize,
}

/// The crate in QEMU.
#[derive(Debug, Clone, Serialize)]
pub struct QemuRun {
    /// QEMU machine name.
    pub machine: String,
    /// Inputs compared.
    pub samples: usize,
    /// Inputs with any differing byte.
    pub mismatches: usize,
    /// Counted by SysTick under `-icount shift=0`.
    pub instructions_per_inference: Option<u64>,
}
