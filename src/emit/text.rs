//! Rust text: literals, doc text, and the line breaks that `rustfmt` would choose.

use std::fmt::Write as _;

/// rustfmt's line width.
const MAX_WIDTH: usize = 100;
/// rustfmt's `fn_call_width` and `array_width`.
pub(super) const LIST_WIDTH: usize = 60;
/// rustfmt's `short_array_element_width_threshold`.
const SHORT_ELEMENT: usize = 10;

/// `template` with each `{key}` replaced by its value, in one pass: values are never searched.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let found = values.iter().find_map(|(key, value)| {
            let after = rest[1..].strip_prefix(key)?.strip_prefix('}')?;
            Some((value, after))
        });
        if let Some((value, after)) = found {
            out.push_str(value);
            rest = after;
        } else {
            out.push('{');
            rest = &rest[1..];
        }
    }
    out + rest
}

/// `1234567` as `1_234_567`.
pub(super) fn grouped(number: impl TryInto<i128>) -> String {
    let Ok(number) = number.try_into() else { return String::new() };
    let digits = number.unsigned_abs().to_string();
    let mut out = String::from(if number < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

/// A byte range of the arena.
pub(super) fn range(offset: usize, bytes: usize) -> String {
    format!("{}..{}", grouped(offset as i128), grouped((offset + bytes) as i128))
}

/// Whether `c` shows nothing but steers the text around it; the compiler refuses some of these in comments too.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// A string literal.
pub(super) fn string(value: &str) -> String {
    let mut out = String::from("\"");
    for c in value.chars() {
        if is_unseen(c) || c == '"' || c == '\\' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out.push('"');
    out
}

/// A name inside backticks in a doc comment or Markdown: one line, no backtick, no table bar.
pub(super) fn code(value: &str) -> String {
    let clean: String = value.chars().map(|c| if is_unseen(c) || c == '`' || c == '|' { '_' } else { c }).collect();
    format!("`{clean}`")
}

/// `prefix head(arguments)suffix` as rustfmt breaks it, every line indented by `indent`.
/// `prefix` is empty or ends in `= `. Arguments may be flat arrays, in brackets.
pub(super) fn call(indent: usize, prefix: &str, head: &str, arguments: &[String], suffix: &str) -> String {
    let pad = " ".repeat(indent);
    let flat = arguments.join(", ");
    if width(&flat) <= LIST_WIDTH {
        let line = format!("{pad}{prefix}{head}({flat}){suffix}\n");
        if width(&line) <= MAX_WIDTH + 1 {
            return line;
        }
        return format!("{pad}{}\n{pad}    {head}({flat}){suffix}\n", prefix.trim_end());
    }
    let mut out = format!("{pad}{prefix}{head}(\n");
    for argument in arguments {
        let inner = argument.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
        match inner {
            Some(items) if width(items) + 2 > LIST_WIDTH => {
                let _ = writeln!(out, "{pad}    [");
                let items: Vec<&str> = items.split(", ").collect();
                out.push_str(&elements(indent + 8, &items));
                let _ = writeln!(out, "{pad}    ],");
            }
            _ => {
                let _ = writeln!(out, "{pad}    {argument},");
            }
        }
    }
    let _ = writeln!(out, "{pad}){suffix}");
    out
}

/// `prefix[elements];` of string literals as rustfmt breaks it, not indented.
pub(super) fn array(prefix: &str, items: &[String]) -> String {
    let flat = items.join(", ");
    if width(&flat) + 2 <= LIST_WIDTH {
        return format!("{prefix}[{flat}];");
    }
    let items: Vec<&str> = items.iter().map(String::as_str).collect();
    format!("{prefix}[\n{}];", elements(4, &items))
}

/// The lines of a broken array: short elements share lines.
fn elements(indent: usize, items: &[&str]) -> String {
    if items.iter().all(|item| width(item) <= SHORT_ELEMENT) {
        return filled(indent, items);
    }
    items.iter().fold(String::new(), |mut out, item| {
        let _ = writeln!(out, "{:indent$}{item},", "");
        out
    })
}

/// The import of some names of a module, as rustfmt writes it.
pub(super) fn import(path: &str, names: &[&str]) -> String {
    let line = format!("use {path}::{{{}}};", names.join(", "));
    if width(&line) <= MAX_WIDTH { line + "\n" } else { format!("use {path}::{{\n{}}};\n", filled(4, names)) }
}

/// Lines with as many items as fit.
pub(super) fn filled(indent: usize, items: &[&str]) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for item in items {
        if line.is_empty() {
            line = format!("{}{item},", " ".repeat(indent));
        } else if width(&line) + width(item) + 2 <= MAX_WIDTH {
            let _ = write!(line, " {item},");
        } else {
            let _ = writeln!(out, "{line}");
            line = format!("{}{item},", " ".repeat(indent));
        }
    }
    if !line.is_empty() {
        let _ = writeln!(out, "{line}");
    }
    out
}

/// Columns a text takes. Wide characters count two, as rustfmt counts them.
fn width(text: &str) -> usize {
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

/// East Asian wide and emoji blocks.
fn wide(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f
        | 0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_searched() {
        assert_eq!(fill("{a} {b} {} {c}\n{a}", &[("a", "{b}"), ("b", "x")]), "{b} x {} {c}\n{b}");
    }

    #[test]
    fn numbers_and_strings() {
        let numbers = [0_i64, 999, 1000, -128, -1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1_000", "-128", "-1_234_567"]);
        assert_eq!(string("a\"\\\n\u{202e}é"), "\"a\\\"\\\\\\n\\u{202e}é\"");
    }

    #[test]
    fn calls_break_as_rustfmt_breaks_them() {
        let list = |items: &[&str]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(call(4, "let y = ", "f", &list(&["a", "b"]), ";"), "    let y = f(a, b);\n");
        let sixty = format!("[{}]", "x".repeat(58));
        assert_eq!(call(0, "", "f", &list(&[&sixty]), ";"), format!("f({sixty});\n"));
        let long = format!("[{}, {}]", "x".repeat(30), "y".repeat(30));
        let broken =
            format!("f(\n    a,\n    [\n        {},\n        {},\n    ],\n);\n", "x".repeat(30), "y".repeat(30));
        assert_eq!(call(0, "", "f", &list(&["a", &long]), ";"), broken);
    }
}
