//! Files that are no network fratc can compile: each gives one clear error, and no bytes make the reader panic.

use std::path::Path;

use fratc::diag::Diag;
use fratc::load::{load, load_bytes};
use tract_onnx::pb::StringStringEntryProto;
use tract_onnx::pb::type_proto::Value as Type;

use crate::load_operators::Builder;

fn network() -> Builder {
    let mut b = Builder::new([2, 6, 6]);
    b.weights("w", &[3, 2, 3, 3]).weights("fc", &[48, 4]).weights("bias", &[4]).ints("flat", &[-1, 48]);
    b.node("Conv", "x w", "c", vec![]).node("Relu", "c", "r", vec![]).node("Reshape", "r flat", "f", vec![]);
    b.node("Gemm", "f fc bias", "y", vec![]);
    b
}

fn refused(bytes: &[u8]) -> Box<Diag> {
    load_bytes(bytes, "m.onnx").expect_err("must be refused")
}

fn code_after(change: impl Fn(&mut Builder)) -> &'static str {
    let mut builder = network();
    load_bytes(&builder.bytes(), "m.onnx").expect("the sound network");
    change(&mut builder);
    let error = refused(&builder.bytes());
    assert!(error.place.as_deref().is_some_and(|p| p.starts_with("m.onnx")), "{error}");
    error.code
}

#[test]
fn each_fault_has_its_error() {
    assert_eq!(load(Path::new("no/such.onnx")).expect_err("no file").code, "load/no-file");
    assert_eq!(refused(b"").code, "load/empty");
    assert_eq!(refused(b"hello, this is no network").code, "load/not-onnx");
    assert_eq!(refused(&[0; 64]).code, "load/not-onnx");
    let bytes = network().bytes();
    assert_eq!(refused(&bytes[..bytes.len() / 2]).code, "load/truncated");
    assert_eq!(code_after(|b| b.model.graph = None), "load/not-onnx");
    assert_eq!(code_after(|b| b.model.opset_import[0].version = 9), "load/opset");
    assert_eq!(code_after(|b| b.model.opset_import.clear()), "load/opset");
    let second_input = |b: &mut Builder| {
        let mut input = b.graph().input[0].clone();
        input.name = "mask".into();
        b.graph().input.push(input);
    };
    assert_eq!(code_after(second_input), "load/inputs");
    assert_eq!(code_after(|b| b.graph().input.clear()), "load/inputs");
    let second_output = |b: &mut Builder| {
        let mut output = b.graph().output[0].clone();
        output.name = "r".into();
        b.graph().output.push(output);
    };
    assert_eq!(code_after(second_output), "load/outputs");
    assert_eq!(code_after(|b| b.graph().output[0].name = "r".into()), "load/output-shape");
    assert_eq!(code_after(|b| b.graph().output[0].name = "nowhere".into()), "load/damaged");
    let flat_input = |b: &mut Builder| {
        let Some(Type::TensorType(tensor)) = b.graph().input[0].r#type.as_mut().and_then(|t| t.value.as_mut()) else {
            unreachable!("made with a tensor type")
        };
        tensor.shape.as_mut().expect("made with a shape").dim.truncate(2);
    };
    assert_eq!(code_after(flat_input), "load/input-shape");
    assert_eq!(code_after(|b| b.graph().initializer[0].float_data[5] = f32::NAN), "load/not-finite");
    assert_eq!(code_after(|b| b.graph().initializer[1].float_data[0] = f32::INFINITY), "load/not-finite");
    assert_eq!(code_after(|b| b.graph().initializer[0].dims[0] = 4), "load/damaged");
    assert_eq!(code_after(|b| b.graph().initializer[0].dims[0] = -4), "load/damaged");
    assert_eq!(code_after(|b| b.graph().node[2].input[0] = "nothing".into()), "load/damaged");
    assert_eq!(code_after(|b| b.graph().node.swap(1, 2)), "load/damaged");
    let outside = |b: &mut Builder| {
        let entry = StringStringEntryProto { key: "location".into(), value: "w.bin".into() };
        b.graph().initializer[0].external_data.push(entry);
    };
    assert_eq!(code_after(outside), "load/external-data");
}

#[test]
fn every_unsupported_node_is_named_at_once() {
    let mut b = network();
    b.graph().node[0].op_type = "ConvTranspose".into();
    b.graph().node[1].op_type = "Gelu".into();
    let relu = b.graph().node[2].clone();
    b.graph().node[3].domain = "com.example".into();
    let error = refused(&b.bytes());
    assert_eq!(error.code, "load/unsupported-op");
    for part in ["3 nodes", "ConvTranspose (`Conv_c`)", "Gelu (`Relu_r`)", "com.example::Gemm (`Gemm_y`)"] {
        assert!(error.what.contains(part), "{part} is missing in: {error}");
    }
    assert!(!error.what.contains(relu.op_type.as_str()));
    let help = error.help.expect("says a way round");
    assert!(help.contains("AveragePool, BatchNormalization") && help.contains("extract_model"), "{help}");
}

/// Either a clear error or a valid network.
fn survives(bytes: &[u8]) {
    match load_bytes(bytes, "m.onnx") {
        Ok(loaded) => loaded.graph.verify().expect("load() returns verified graphs"),
        Err(error) => assert!(error.code.starts_with("load/") || error.code.starts_with("ir/"), "{error}"),
    }
}

#[test]
fn every_cut_and_many_flips_give_an_error_or_a_network() {
    let bytes = network().bytes();
    for len in (0..bytes.len()).step_by(7) {
        survives(&bytes[..len]);
    }
    let mut state = 17u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    // Structure, not weights: the nodes and the ends of the file.
    for round in 0..400 {
        let mut damaged = bytes.clone();
        for _ in 0..=round % 3 {
            let at = if next(2) == 0 { next(256) } else { next(bytes.len()) };
            damaged[at] = next(256) as u8;
        }
        survives(&damaged);
    }
}
