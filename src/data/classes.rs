//! From what a user calls classes to class indices.

use crate::diag::{Diag, Result};

/// Class indices for `tokens`, in the order given. Each token is an exact name, else a name that only it
/// matches when case is ignored, else an index.
pub fn resolve_classes(label_names: &[String], tokens: &[impl AsRef<str>]) -> Result<Vec<usize>> {
    let mut classes = Vec::with_capacity(tokens.len());
    for token in tokens {
        let class = resolve(label_names, token.as_ref())?;
        if classes.contains(&class) {
            return Diag::new("data/duplicate-class", format!("class `{}` is named twice", label_names[class]))
                .help("name each class once; their order is the order of the outputs")
                .err();
        }
        classes.push(class);
    }
    if classes.is_empty() {
        return Diag::new("data/no-classes", "no class is named")
            .help(format!("name some of {}", listing(label_names)))
            .err();
    }
    Ok(classes)
}

/// The class that `token` names.
pub(super) fn resolve(label_names: &[String], token: &str) -> Result<usize> {
    let token = token.trim();
    if let Some(class) = label_names.iter().position(|name| name == token) {
        return Ok(class);
    }
    let folded = token.to_lowercase();
    let alike: Vec<usize> = (0..label_names.len()).filter(|&i| label_names[i].to_lowercase() == folded).collect();
    match alike[..] {
        [class] => return Ok(class),
        [] => {}
        [..] => {
            let names: Vec<&str> = alike.iter().map(|&i| label_names[i].as_str()).collect();
            return Diag::new("data/ambiguous-class", format!("class `{token}` could be any of {}", names.join(", ")))
                .help("write the name exactly, or use its index")
                .err();
        }
    }
    if let Ok(index) = token.parse::<usize>() {
        if index < label_names.len() {
            return Ok(index);
        }
        return Diag::new("data/unknown-class", format!("there is no class {index}"))
            .expected(format!("a name or an index from 0 to {}", label_names.len().saturating_sub(1)), index)
            .err();
    }
    Diag::new("data/unknown-class", format!("unknown class `{token}`")).help(nearest(label_names, &folded)).err()
}

/// The names most like `token`, or all of them where none is near.
fn nearest(label_names: &[String], token: &str) -> String {
    let mut scored: Vec<(f64, &str)> = label_names
        .iter()
        .map(|name| (likeness(&name.to_lowercase(), token), name.as_str()))
        .filter(|&(score, _)| score >= 0.6)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    if scored.is_empty() {
        return format!("the classes are {}", listing(label_names));
    }
    let names: Vec<&str> = scored.iter().take(3).map(|&(_, name)| name).collect();
    format!("did you mean {}?", names.join(" or "))
}

/// 0 to 1: alike at the beginning, or few letters changed or swapped.
fn likeness(name: &str, token: &str) -> f64 {
    strsim::jaro_winkler(name, token).max(strsim::normalized_damerau_levenshtein(name, token))
}

/// Up to 30 names.
fn listing(label_names: &[String]) -> String {
    const SHOWN: usize = 30;
    let mut text = label_names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if label_names.len() > SHOWN {
        text = format!("{text} and {} more", label_names.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::resolve_classes;

    fn names() -> Vec<String> {
        ["cat", "Dog", "dog", "Horse", "7"].map(String::from).to_vec()
    }

    #[test]
    fn exact_then_case_insensitive_then_index() {
        assert_eq!(resolve_classes(&names(), &["dog", "CAT", "3", "7", "1"]).expect("all known"), [2, 0, 3, 4, 1]);
    }

    #[test]
    fn errors_name_the_way_out() {
        let text = |tokens: &[&str]| resolve_classes(&names(), tokens).expect_err("bad tokens").to_string();
        insta::assert_snapshot!(text(&["hors"]), @"unknown class `hors`; did you mean Horse? [data/unknown-class]");
        insta::assert_snapshot!(text(&["DOG"]), @"class `DOG` could be any of Dog, dog; write the name exactly, or use its index [data/ambiguous-class]");
        insta::assert_snapshot!(text(&["9"]), @"there is no class 9: expected a name or an index from 0 to 4, found 9 [data/unknown-class]");
        insta::assert_snapshot!(text(&["cat", "0"]), @"class `cat` is named twice; name each class once; their order is the order of the outputs [data/duplicate-class]");
        insta::assert_snapshot!(text(&["xyzzy"]), @"unknown class `xyzzy`; the classes are cat, Dog, dog, Horse, 7 [data/unknown-class]");
        insta::assert_snapshot!(text(&[]), @"no class is named; name some of cat, Dog, dog, Horse, 7 [data/no-classes]");
    }
}
