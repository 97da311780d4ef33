//! Typed access to a node's attributes and operand names.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, NodeProto};

use crate::diag::{Diag, Result};
use crate::load::proto::node_name;

/// An ONNX node as the converters see it.
#[derive(Clone, Copy)]
pub(super) struct Source<'a>(pub &'a NodeProto);

impl<'a> Source<'a> {
    pub fn name(self) -> &'a str {
        node_name(self.0)
    }

    pub fn op(self) -> &'a str {
        &self.0.op_type
    }

    /// Operand `i`'s tensor name; `None` if it is left out.
    pub fn input(self, i: usize) -> Option<&'a str> {
        self.0.input.get(i).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub fn output(self) -> &'a str {
        self.0.output.first().map_or("", String::as_str)
    }

    /// An error of `code` at this node.
    pub fn error(self, code: &'static str, what: impl Into<String>) -> Diag {
        Diag::new(code, what).at(format!("node `{}` ({})", self.name(), self.op()))
    }

    /// A supported operator in an unsupported role.
    pub fn unsupported(self, what: impl Into<String>) -> Diag {
        self.error("load/unsupported-use", what)
    }

    fn attribute(self, name: &str, kind: AttributeType) -> Result<Option<&'a AttributeProto>> {
        let Some(attribute) = self.0.attribute.iter().find(|a| a.name == name) else { return Ok(None) };
        // Old exporters leave the type out.
        if attribute.r#type == kind as i32 || attribute.r#type == 0 {
            return Ok(Some(attribute));
        }
        self.error("load/damaged", format!("the attribute `{name}` has the wrong type")).err()
    }

    pub fn int(self, name: &str, default: i64) -> Result<i64> {
        Ok(self.attribute(name, AttributeType::Int)?.map_or(default, |a| a.i))
    }

    pub fn float(self, name: &str, default: f32) -> Result<f32> {
        let value = self.attribute(name, AttributeType::Float)?.map_or(default, |a| a.f);
        if value.is_nan() {
            return self.error("load/not-finite", format!("the attribute `{name}` is not a number")).err();
        }
        Ok(value)
    }

    pub fn text(self, name: &str, default: &'static str) -> Result<&'a str> {
        match self.attribute(name, AttributeType::String)? {
            None => Ok(default),
            Some(a) => std::str::from_utf8(&a.s)
                .map_err(|_| Box::new(self.error("load/damaged", format!("the attribute `{name}` is not text")))),
        }
    }

    pub fn ints(self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.attribute(name, AttributeType::Ints)?.map(|a| a.ints.as_slice()))
    }

    pub fn has(self, name: &str) -> bool {
        self.0.attribute.iter().any(|a| a.name == name)
    }

    /// `N` small non-negative integers of the attribute, or `default`; each at least `least`.
    pub fn sizes<const N: usize>(self, name: &str, least: usize, default: [usize; N]) -> Result<[usize; N]> {
        let Some(values) = self.ints(name)? else { return Ok(default) };
        let sizes: Vec<usize> =
            values.iter().filter_map(|&v| usize::try_from(v).ok()).filter(|v| (least..=1 << 16).contains(v)).collect();
        <[usize; N]>::try_from(sizes).map_err(|_| {
            Box::new(
                self.unsupported(format!("the attribute `{name}` does not fit a 2-D operator"))
                    .expected(format!("{N} values from {least} to 65536"), format!("{values:?}")),
            )
        })
    }
}
