//! `src/lib.rs`: constants, the arena, `infer`.

use super::text::{array, code, grouped, string};
use super::{EmittedFile, VERSION, names, readme};
use crate::plan::Plan;
use crate::qir::{InputKind, Program};

pub(super) fn library(program: &Program, plan: &Plan) -> EmittedFile {
    let input = program.tensor(program.input()).shape;
    let scores = program.tensor(program.output).quant;
    let (element, kind) = match program.input_kind {
        InputKind::U8 => ("u8", "raw `u8` pixels"),
        InputKind::I8 => ("i8", "raw `i8` features"),
    };
    let strings = |names: &mut dyn Iterator<Item = &String>| names.map(|name| string(name)).collect::<Vec<_>>();
    let classes = strings(&mut program.classes.iter());
    let layers = strings(&mut program.layers.iter().map(|layer| &layer.name));
    let origin: String =
        readme::origin(program).iter().map(|line| format!("{}\n", format!("//! {line}").trim_end())).collect();
    let text = include_str!("templates/lib.rs")
        .replace("{version}", VERSION)
        .replace("{title}", &code(&program.name))
        .replace("{crate}", &names::crate_ident(program))
        .replace("{origin}", origin.trim_end())
        .replace("{element}", element)
        .replace("{kind}", kind)
        .replace("{shape}", &format!("[{}, {}, {}]", input.h, input.w, input.c))
        .replace("{input_len}", &grouped(input.len() as u64))
        .replace("{class_count}", &classes.len().to_string())
        .replace("{arena_bytes}", &grouped(plan.arena_bytes as u64))
        .replace("{macs}", &grouped(program.macs()))
        .replace("{scale}", &format!("{:?}", scores.scale))
        .replace("{zero_point}", &scores.zero_point.to_string())
        .replace("{CLASSES}\n", &array(&format!("pub const CLASSES: [&str; {}] = ", classes.len()), &classes))
        .replace("{LAYERS}\n", &array(&format!("pub const LAYERS: [&str; {}] = ", layers.len()), &layers));
    EmittedFile::text("src/lib.rs", text)
}
