//! Types and constants of every tensor, by tract.
//!
//! Out: for each ONNX tensor name its shape at batch 1 and, where it does not depend on the input, its value.
//! tract is handed only what `proto` has checked; should it panic all the same, that becomes an error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use tract_core::internal::{DatumType, DimLike, Tensor, TractResult};
use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::prelude::*;
use tract_onnx::tensor::load_tensor;
use tract_onnx::tract_hir::infer::Factoid;

use crate::diag::{Diag, Result};
use crate::load::proto::Checked;

/// A constant tensor.
#[derive(Debug, Clone)]
pub(super) struct Constant {
    pub dims: Vec<usize>,
    pub values: Values,
}

/// A constant's values, row-major.
#[derive(Debug, Clone)]
pub(super) enum Values {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// What is known of the ONNX tensors, by name.
#[derive(Default)]
pub(super) struct Facts {
    pub shapes: BTreeMap<String, Vec<usize>>,
    pub constants: BTreeMap<String, Constant>,
}

pub(super) fn infer(checked: &Checked) -> Result<Facts> {
    match quietly(|| run(checked)) {
        Some(Ok(facts)) => Ok(facts),
        Some(Err(error)) => {
            let text: Vec<String> = error.chain().map(ToString::to_string).collect();
            Diag::new("load/types", format!("the model's types do not work out: {}", shorten(&text.join(": "))))
                .help("check it with onnx.checker.check_model(model, full_check=True)")
                .err()
        }
        None => Diag::new("load/damaged", "the model makes the ONNX reader fail")
            .help("check it with onnx.checker.check_model(model, full_check=True)")
            .err(),
    }
}

fn run(checked: &Checked) -> TractResult<Facts> {
    let mut facts = Facts::default();
    for tensor in &checked.graph().initializer {
        let value = load_tensor(&MmapDataResolver, tensor, None)?;
        facts.shapes.insert(tensor.name.clone(), value.shape().to_vec());
        if let Some(constant) = constant(&value)? {
            facts.constants.insert(tensor.name.clone(), constant);
        }
    }
    let dims: TVec<usize> = checked.input.dims.iter().map(|d| d.unwrap_or(1)).collect();
    let onnx = tract_onnx::onnx().with_ignore_output_shapes(true).with_ignore_value_info(true);
    let mut model = onnx.model_for_proto_model(&checked.model)?.with_input_fact(0, f32::fact(&dims).into())?;
    model.analyse(false)?;
    let labels: BTreeMap<OutletId, &String> = model.outlet_labels.iter().map(|(o, name)| (*o, name)).collect();
    for (outlet, name) in labels {
        let fact = model.outlet_fact(outlet)?;
        if let Some(value) = fact.value.concretize() {
            add(&mut facts, name, value.shape().to_vec(), Some(value.as_ref()))?;
        } else if let Some(shape) = fact.shape.concretize() {
            let shape = shape.iter().map(ToDim::to_dim).map(|d| Ok(d.to_usize()?)).collect::<TractResult<_>>()?;
            add(&mut facts, name, shape, None)?;
        }
    }
    // The typed model knows what the rules alone do not.
    let mut typed = model.into_typed()?;
    typed.prop_consts()?;
    let labels: BTreeMap<OutletId, &String> = typed.outlet_labels.iter().map(|(o, name)| (*o, name)).collect();
    for (outlet, name) in labels {
        let fact = typed.outlet_fact(outlet)?;
        if let Some(shape) = fact.shape.as_concrete() {
            add(&mut facts, name, shape.to_vec(), fact.konst.as_deref())?;
        }
    }
    Ok(facts)
}

fn add(facts: &mut Facts, name: &str, shape: Vec<usize>, value: Option<&Tensor>) -> TractResult<()> {
    facts.shapes.entry(name.to_string()).or_insert(shape);
    if let Some(value) = value
        && !facts.constants.contains_key(name)
        && let Some(constant) = constant(value)?
    {
        facts.constants.insert(name.to_string(), constant);
    }
    Ok(())
}

fn constant(tensor: &Tensor) -> TractResult<Option<Constant>> {
    let values = match tensor.datum_type() {
        DatumType::F16 | DatumType::F32 | DatumType::F64 => {
            Values::Float(tensor.cast_to::<f32>()?.try_as_plain_ram()?.as_slice::<f32>()?.to_vec())
        }
        DatumType::String | DatumType::Blob => return Ok(None),
        _ => Values::Int(tensor.cast_to::<i64>()?.try_as_plain_ram()?.as_slice::<i64>()?.to_vec()),
    };
    Ok(Some(Constant { dims: tensor.shape().to_vec(), values }))
}

fn shorten(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 400 { line } else { format!("{}…", line.chars().take(400).collect::<String>()) }
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`; `None` if it panicked. Only this thread's panics are kept off stderr, and only meanwhile: the hook
/// is put in front of the process's own once and passes everything else on.
fn quietly<T>(f: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                before(info);
            }
        }));
    });
    QUIET.set(true);
    let result = catch_unwind(AssertUnwindSafe(f));
    QUIET.set(false);
    result.ok()
}
