//! What an emitted crate says of how it was made: the options, and the command that writes it anew.

use crate::pipeline::assembly::is_assembly;
use crate::pipeline::build::Settings;
use crate::pipeline::{Part, Place, Source, route};
use crate::plan;

/// The options that shape the program, for file headers.
pub(super) fn words(source: &Source, classes: &[usize], cut: &route::Cut, settings: &Settings) -> Vec<String> {
    let mut words: Vec<String> = source.parts.iter().filter(|p| p.wanted).map(Part::word).collect();
    if words.is_empty() {
        words.push(format!("--classes {}", source.names(classes).join(",")));
    } else {
        words.push(format!("--heads {}", source.head_scale.name()));
    }
    let wanted = &settings.route;
    if let Some(keep) = wanted.keep {
        words.push(format!("--keep {keep}"));
    }
    if let Some(drop) = wanted.max_drop {
        words.push(format!("--max-drop {drop}"));
    }
    for (flag, limit) in wanted.limits.each() {
        words.extend(limit.map(|limit| format!("{flag} {limit}")));
    }
    for library in &wanted.libraries {
        let file = library.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        words.push(format!("--library {file}"));
    }
    if let Some(method) = &cut.method {
        words.push(format!("--method {method}"));
        if !cut.route.refit {
            words.push("--no-refit".into());
        }
    }
    // Engines round differently; which of several alike ran does not matter.
    match source.device {
        Place::Host => {}
        Place::Candle | Place::Scarce(_) => words.push("--device candle".into()),
        Place::Cuda(_) => words.push("--device cuda".into()),
    }
    words.extend(settings.route.finetune.words());
    if let Some(n) = settings.random_calibration {
        words.push(format!("--random-calibration {n}"));
    }
    if !settings.simplify {
        words.push("--no-simplify".into());
    }
    if let Some(options) = &settings.reject {
        words.extend(["--reject".into(), options.point.to_string()]);
        if options.background.is_some() {
            words.push("--background DIR".into());
        }
    }
    if settings.route.optimize != plan::Optimize::default() {
        words.push(format!("--optimize {}", settings.route.optimize.name()));
    }
    words.push(format!("--seed {}", settings.route.seed));
    words
}

/// `fratc build` of what `source` was opened from, with the options `words`, for a shell; files without their folders.
pub(super) fn command(source: &Source, words: &[String], target: &str, out: &str) -> String {
    let path = &source.case.path;
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let assembly = is_assembly(path);
    let mut command = vec!["fratc build".to_string()];
    if assembly || source.parts.is_empty() {
        command.push(quoted(&file));
    }
    command.push(format!("--target {} --out {out}", quoted(target)));
    // What an assembly was joined from, it holds.
    let held = |word: &str| assembly && ["--from ", "--heads "].iter().any(|flag| word.starts_with(flag));
    for word in words.iter().filter(|word| !held(word)) {
        command.push(match word.split_once(' ') {
            Some((flag, value)) => format!("{flag} {}", quoted(value)),
            None => word.clone(),
        });
    }
    command.join(" ")
}

/// `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./,:%=+@".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_string();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_stays_one_word_whatever_it_holds() {
        assert_eq!(quoted("stop,left"), "stop,left");
        assert_eq!(quoted("T shirt \"top\",$(touch x)"), "'T shirt \"top\",$(touch x)'");
        assert_eq!(quoted("Trou'ser"), r"'Trou'\''ser'");
    }
}
