//! Assemblies on disk: a network of one or more components with all it needs to be built, extended or cut further.
//!
//! The file holds the float network to the bit, what it takes a device's bytes for, where each component comes from,
//! and the calibration samples of all its classes, in the frame of the route library (name, version, length, SHA-256).
//! Test and training samples stay where they are: case files are looked for beside the assembly, by relative path, and
//! what they hold is used if they are there.

use std::path::{Component as Step, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::assemble;
use crate::data::{BuildOptions, Case, InputContract, Samples};
use crate::diag::{Diag, Result};
use crate::ir::{Graph, Shape};
use crate::library::Frame;
use crate::pipeline::adapt::Fit;
use crate::pipeline::joint::of_parts;
use crate::pipeline::part::union;
use crate::pipeline::{HeadScale, Part, Source};

/// The version is raised by every change of [`Assembly`], and so of the float network's types.
const FRAME: Frame = Frame {
    magic: *b"fratasm\0",
    version: 1,
    what: "saved assembly",
    help: "write it again with `fratc assemble --out FILE.assembly`",
    made_by: "`fratc assemble --out FILE.assembly`",
};

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Assembly {
    tool_version: String,
    graph: Graph,
    input: InputContract,
    heads: HeadScale,
    components: Vec<Component>,
    calibration: Samples,
}

/// Where a component comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Component {
    name: String,
    /// The case file, relative to the assembly's folder where there is a way.
    case: String,
    model: String,
    sha256: String,
    labels: Vec<String>,
    input: InputContract,
    fits: Vec<Fit>,
    classes: Vec<usize>,
    first: usize,
    wanted: bool,
    network: usize,
}

/// Whether `path` is called as assemblies are.
pub fn is_assembly(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "assembly")
}

/// Writes `graph`, cut out of the joint `source`, whole or not at all.
pub(super) fn save(source: &Source, graph: &Graph, path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let component = |part: &Part| Component {
        name: part.name.clone(),
        case: relative(&part.case.path, folder).to_string_lossy().replace('\\', "/"),
        model: part.model_name.clone(),
        sha256: part.sha256.clone(),
        labels: part.case.label_names.clone(),
        input: part.case.input.clone(),
        fits: part.fits.clone(),
        classes: part.classes.clone(),
        first: part.outputs.start,
        wanted: part.wanted,
        network: part.network,
    };
    let mut graph = graph.clone();
    graph.output = graph.logits();
    graph.prune_dead();
    let assembly = Assembly {
        tool_version: env!("CARGO_PKG_VERSION").into(),
        graph,
        input: source.case.input.clone(),
        heads: source.head_scale,
        components: source.parts.iter().map(component).collect(),
        calibration: source.calibration()?.clone(),
    };
    assembly.verify()?;
    FRAME.save(&assembly, path)
}

/// Reads the assembly at `path` as a source that keeps all it holds unless a size is asked for.
pub(super) fn open(path: &Path) -> Result<Source> {
    let Assembly { tool_version: _, graph, input, heads, components, calibration } =
        FRAME.load(path, Assembly::verify)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let parts = components.into_iter().map(|c| c.open(folder)).collect::<Result<Vec<Part>>>()?;
    let test = if parts.iter().all(|part| part.case.test.is_some()) {
        let own = parts.iter().map(|part| part.case.test()).collect::<Result<Vec<Samples>>>()?;
        Some(union(&input, parts.iter().zip(&own)))
    } else {
        None
    };
    let mut source = of_parts(parts, graph, input, Some(calibration), test, heads);
    path.clone_into(&mut source.case.path);
    source.case.options.keep = Some(1.0);
    Ok(source)
}

impl Component {
    /// With its case, if that is where it was.
    fn open(self, folder: &Path) -> Result<Part> {
        let path = folder.join(&self.case);
        let case = if path.is_file() {
            let case = Case::load(&path)?;
            if case.label_names != self.labels || case.input != self.input {
                return Diag::new(
                    "assembly/case",
                    "a component's case file has changed since the assembly was written",
                )
                .at(path.display())
                .expected(
                    format!("{} classes, input {:?}", self.labels.len(), self.input.shape),
                    format!("{} classes, input {:?}", case.label_names.len(), case.input.shape),
                )
                .help("put the case file back as it was, or assemble again")
                .err();
            }
            case
        } else {
            Case {
                path,
                model: PathBuf::from(&self.model),
                model_sha256: Some(self.sha256.clone()),
                input: self.input,
                label_names: self.labels,
                calibration: None,
                test: None,
                train: None,
                classes: None,
                target: None,
                options: BuildOptions::default(),
            }
        };
        Ok(Part {
            name: self.name,
            model_path: case.model.display().to_string(),
            case,
            model_name: self.model,
            sha256: self.sha256,
            outputs: self.first..self.first + self.classes.len(),
            classes: self.classes,
            wanted: self.wanted,
            fits: self.fits,
            network: self.network,
            fixed: false,
        })
    }
}

impl Assembly {
    /// Checks that everything fits everything else.
    fn verify(&self) -> Result<()> {
        let Self { tool_version: _, graph, input, heads: _, components, calibration } = self;
        graph.verify()?;
        input.verify()?;
        let bad = |what: &str, place: &str| Diag::new("assembly/inconsistent", what).at(place).err();
        let [h, w, c] = input.shape;
        if graph.shape(graph.input()) != Shape::new(c, h, w) {
            return bad("the network does not take the assembly's input", &graph.nodes[0].name);
        }
        let heads = assemble::heads(graph, components.len());
        if components.is_empty() || heads.len() != components.len() {
            return bad("the network does not have one branch per component", "components");
        }
        let mut next = 0;
        for (component, head) in components.iter().zip(heads) {
            let Component { labels, classes, first, fits, .. } = component;
            component.input.verify()?;
            if *first != next || classes.is_empty() || graph.shape(head).c != classes.len() {
                return bad("a component's classes are not its branch's outputs", &component.name);
            }
            next += classes.len();
            if classes.iter().any(|&class| class >= labels.len()) {
                return bad("a component has a class that its case does not name", &component.name);
            }
            let sides = [component.input.shape].into_iter().chain(fits.iter().map(Fit::common));
            let own = fits.iter().map(Fit::own).chain([input.shape]);
            if fits.is_empty() || !sides.eq(own) {
                return bad("a component's input does not lie in the common one", &component.name);
            }
        }
        let bytes = calibration.len().checked_mul(input.len());
        let fits = calibration.shape == input.shape
            && calibration.kind == input.kind
            && bytes == Some(calibration.raw.len())
            && calibration.labels.iter().all(|&label| (label as usize) < next);
        if !fits || calibration.is_empty() || graph.classes() != next {
            return bad("the calibration samples do not fit the network", "calibration");
        }
        Ok(())
    }
}

/// `path` as seen from `folder`; as it is where there is no way from one to the other.
fn relative(path: &Path, folder: &Path) -> PathBuf {
    let (Ok(path), Ok(folder)) = (path.canonicalize(), folder.canonicalize()) else { return path.to_owned() };
    let (to, from): (Vec<Step<'_>>, Vec<Step<'_>>) = (path.components().collect(), folder.components().collect());
    let same = to.iter().zip(&from).take_while(|(a, b)| a == b).count();
    if same == 0 {
        return path;
    }
    let up = from[same..].iter().map(|_| Step::ParentDir);
    up.chain(to[same..].iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found_from_the_assembly() {
        let dir = tempfile::tempdir().expect("temporary folder");
        let (cases, out) = (dir.path().join("cases"), dir.path().join("a/b"));
        std::fs::create_dir_all(&cases).expect("folder");
        std::fs::create_dir_all(&out).expect("folder");
        std::fs::write(cases.join("x.toml"), "").expect("file");
        assert_eq!(relative(&cases.join("x.toml"), &out), Path::new("../../cases/x.toml"));
        assert_eq!(relative(&cases.join("x.toml"), &cases), Path::new("x.toml"));
        assert_eq!(relative(Path::new("nowhere.toml"), &cases), Path::new("nowhere.toml"));
    }
}
