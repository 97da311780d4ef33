//! The build report for people.

use std::fmt;

use super::build::{Accuracy, Build, Finetune, Joint, Reject, Simplified};
use super::memory::{write_layers, write_regions};

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "classes   {}", self.classes.join(", "))?;
        writeln!(
            f,
            "network   {} of {} MACs ({}), {} of {} parameters, keep {:.3} ({})",
            grouped(self.assembled.macs),
            grouped(self.model.macs),
            percent(self.assembled.macs as f64 / self.model.macs.max(1) as f64),
            grouped(self.assembled.params as u64),
            grouped(self.model.params as u64),
            self.route.keep,
            self.route.chosen_by,
        )?;
        if let Some(tuned) = &self.finetune {
            write_finetune(tuned, f)?;
        }
        match &self.accuracy {
            Some(accuracy) => write_accuracy(accuracy, f)?,
            None if self.reject.is_some() => {}
            None => writeln!(f, "accuracy  not measured: no test samples")?,
        }
        if let Some(reject) = &self.reject {
            write_reject(reject, f)?;
        }
        if let Some(joint) = &self.joint {
            write_joint(joint, f)?;
        }
        if let Some(simplified) = &self.simplified {
            writeln!(f, "simplify  {simplified}")?;
        }
        match &self.flash {
            Some(flash) => writeln!(
                f,
                "flash     {} B: weights {}, tables {}, code {}",
                grouped(flash.total_bytes),
                grouped(flash.weights_bytes),
                grouped(flash.tables_bytes),
                grouped(flash.code_bytes)
            )?,
            None => writeln!(f, "flash     not measured: nothing was linked")?,
        }
        write!(
            f,
            "ram       {} B: arena {}, input {}",
            grouped(self.ram.total_bytes),
            grouped(self.ram.arena_bytes),
            grouped(self.ram.input_bytes)
        )?;
        match self.ram.stack_bytes {
            Some(stack) => write!(f, ", stack {} by painting it in QEMU", grouped(stack))?,
            None => write!(f, ", stack not measured")?,
        }
        match self.ram.stack_left_bytes {
            Some(left) => writeln!(f, ", {} B left for it", grouped(left))?,
            None => writeln!(f)?,
        }
        if !self.layers.is_empty() {
            write_layers(f, &self.layers, self.shared_code_bytes)?;
        }
        if !self.regions.is_empty() {
            writeln!(f, "memory    of the linked example, `size` says the same")?;
            write_regions(f, &self.regions)?;
        }
        match &self.verify.host {
            Some(run) => writeln!(f, "host      {} samples, {} mismatches", run.samples, run.mismatches)?,
            None => writeln!(f, "host      not verified")?,
        }
        match &self.verify.qemu {
            Some(run) => {
                write!(f, "qemu      {}: {} samples, {} mismatches", run.machine, run.samples, run.mismatches)?;
                match run.instructions_per_inference {
                    Some(n) => writeln!(f, ", {} instructions per inference", grouped(n))?,
                    None => writeln!(f)?,
                }
            }
            None => writeln!(f, "qemu      not verified")?,
        }
        for note in &self.notes {
            writeln!(f, "note      {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Simplified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gone = |[before, after]: [usize; 2]| before.saturating_sub(after);
        let (channels, layers) = (gone(self.channels), gone(self.layers));
        if channels == 0 && layers == 0 && self.macs[0] == self.macs[1] {
            return write!(f, "nothing to remove");
        }
        write!(
            f,
            "{} of {} MACs left, {} of {} weights: {} channels and {} layers cannot change a score",
            grouped(self.macs[1]),
            grouped(self.macs[0]),
            grouped(self.weights[1] as u64),
            grouped(self.weights[0] as u64),
            grouped(channels as u64),
            layers
        )
    }
}

fn write_finetune(tuned: &Finetune, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "finetune  {} epochs over {} samples{}: {} held-out samples, {}",
        tuned.epochs,
        grouped(tuned.samples as u64),
        if tuned.distill { ", distilled" } else { "" },
        tuned.held_out_before.samples,
        percent(tuned.held_out_before.accuracy),
    )?;
    match &tuned.held_out_after {
        Some(after) => write!(f, " before, {} after", percent(after.accuracy))?,
        None => write!(f, " before, diverged")?,
    }
    writeln!(f, ", {}", if tuned.kept { "kept" } else { "dropped" })
}

fn write_accuracy(accuracy: &Accuracy, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "accuracy  int8 {}, float {}, source masked {} (all classes {}), {} test samples",
        percent(accuracy.int8),
        percent(accuracy.assembled_f32),
        percent(accuracy.source_masked),
        percent(accuracy.source_all),
        accuracy.samples
    )?;
    for (name, class) in &accuracy.per_class {
        writeln!(f, "          {name}: int8 {}, source masked {}", percent(class.int8), percent(class.source_masked))?;
    }
    Ok(())
}

fn write_joint(joint: &Joint, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "together  mean over classes: int8 {}, float {}, uncut {}, each source alone {}",
        percent(joint.mean_class_int8),
        percent(joint.mean_class_f32),
        percent(joint.mean_class_source),
        percent(joint.mean_class_alone)
    )?;
    for part in &joint.components {
        writeln!(
            f,
            "          {} ({}): alone int8 {}, uncut {}, {} MACs",
            part.name,
            part.classes.join(","),
            percent(part.int8_alone),
            percent(part.source_alone),
            grouped(part.macs)
        )?;
    }
    if joint.shared_macs > 0 {
        writeln!(f, "          {} MACs are shared", grouped(joint.shared_macs))?;
    }
    Ok(())
}

fn write_reject(reject: &Reject, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "reject    {}, margin {}: recall {}, false accepts {}; {} wanted and {} other test samples",
        reject.point,
        reject.threshold,
        percent(reject.recall),
        percent(reject.false_accepts),
        reject.wanted_samples,
        reject.other_samples
    )?;
    for (what, d) in [("int8", reject.int8), ("source", reject.source)] {
        writeln!(
            f,
            "          {what}: area under the curve {:.4}, recall {} at 1 % false accepts, {} at 5 %",
            d.auc,
            percent(d.recall_at_1),
            percent(d.recall_at_5)
        )?;
    }
    for (name, share) in reject.false_accepts_per_class.iter().filter(|(_, share)| **share > 0.0) {
        writeln!(f, "          {name}: false accepts {}", percent(*share))?;
    }
    if let Some(share) = reject.false_accepts_background {
        writeln!(f, "          background: false accepts {}", percent(share))?;
    }
    Ok(())
}

/// `1234567` as `1,234,567`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, d) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(d);
    }
    out
}

pub(super) fn percent(fraction: f64) -> String {
    format!("{:.2} %", fraction * 100.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits_are_grouped() {
        assert_eq!(super::grouped(0), "0");
        assert_eq!(super::grouped(999), "999");
        assert_eq!(super::grouped(1000), "1,000");
        assert_eq!(super::grouped(1_234_567), "1,234,567");
    }
}
