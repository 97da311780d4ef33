//! The table of allowed imports in ARCHITECTURE.md is the truth; the sources are held to it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Module name to the modules it may import.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut table = BTreeMap::new();
    for line in text.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [module, _, imports] = cells[..] else { unreachable!("table row without three cells: {line}") };
        let imports = imports.split(',').map(str::trim).filter(|s| *s != "–").map(str::to_string).collect();
        table.insert(module.trim_matches('`').to_string(), imports);
    }
    table
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("source folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Every `crate::module` in the text, `use` groups included, comments left out, up to the file's unit tests.
fn imports(text: &str) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String = text.lines().map(|l| l.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        let names: Vec<&str> = match part.strip_prefix('{') {
            Some(group) => group.split('}').next().unwrap_or_default().split(',').collect(),
            None => vec![part],
        };
        for name in names {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if !name.is_empty() {
                found.insert(name);
            }
        }
    }
    if code.contains("fratc_runtime") {
        found.insert("runtime".into());
    }
    found
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let table = allowed();
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("src")).expect("src") {
        let dir = entry.expect("entry").path();
        if !dir.is_dir() {
            continue;
        }
        let module = dir.file_name().expect("name").to_string_lossy().into_owned();
        let Some(may) = table.get(&module) else {
            wrong.push(format!("src/{module} is not in the table"));
            continue;
        };
        let mut files = Vec::new();
        sources(&dir, &mut files);
        for file in files {
            for import in imports(&fs::read_to_string(&file).expect("source")) {
                if import != module && import != "diag" && !may.contains(&import) {
                    wrong.push(format!("{} imports {import}", file.strip_prefix(root()).expect("inside").display()));
                }
            }
        }
    }
    wrong.sort();
    assert!(wrong.is_empty(), "arrows that ARCHITECTURE.md does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn an_unlisted_import_is_seen() {
    assert_eq!(
        imports("use crate::{ir::Graph, cli};\n// crate::exec\nlet x = crate::data::y();")
            .into_iter()
            .collect::<Vec<_>>(),
        ["cli", "data", "ir"]
    );
    assert!(imports("use fratc_runtime::conv;").contains("runtime"));
}

#[test]
fn every_listed_module_exists() {
    for module in allowed().keys() {
        assert!(
            root().join("src").join(module).join("mod.rs").is_file(),
            "ARCHITECTURE.md lists `{module}`, src has no such folder"
        );
    }
}
