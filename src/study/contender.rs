//! A method with its settings, as written on the command line: `frat`, `frat:log-probability:all:links=none`.

use std::fmt;
use std::str::FromStr;

use crate::attribute::{Method, Options, Target};
use crate::diag::{Diag, Result};
use crate::route::{Combine, RouteOptions};

/// A method with its settings. Displays as its full name, every setting that matters spelled out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contender {
    /// How channels are scored.
    pub method: Method,
    /// The score whose gradient is taken.
    pub target: Target,
    /// Whether FRAT weights by the activation.
    pub weighted: bool,
    /// Whether the target contrasts with the wanted classes only.
    pub within: bool,
    /// How scores become a route.
    pub route: RouteOptions,
}

impl Contender {
    /// `method` with the default settings.
    pub fn new(method: Method) -> Self {
        let Options { target, weighted, .. } = Options::default();
        Self { method, target, weighted, within: true, route: RouteOptions::default() }
    }

    /// As the attribution takes it.
    pub(super) fn options(&self, classes: &[usize], samples: usize, seed: u64) -> Options {
        Options {
            method: self.method,
            target: self.target,
            weighted: self.weighted,
            samples_per_class: samples,
            classes: Some(classes.to_vec()),
            within: self.within.then(|| classes.to_vec()),
            seed,
        }
    }
}

impl FromStr for Contender {
    type Err = Box<Diag>;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.split(':');
        let mut contender = Self::new(parts.next().unwrap_or_default().parse()?);
        for setting in parts {
            match setting {
                "weighted" => contender.weighted = true,
                "plain" => contender.weighted = false,
                "within" => contender.within = true,
                "all" => contender.within = false,
                "max" => contender.route.combine = Combine::Max,
                "mean" => contender.route.combine = Combine::Mean,
                "links=none" => contender.route.link_factor = None,
                _ => match (setting.strip_prefix("links=").map(f64::from_str), setting.parse()) {
                    (Some(Ok(factor)), _) if factor.is_finite() && factor >= 0.0 => {
                        contender.route.link_factor = Some(factor);
                    }
                    (None, Ok(target)) => contender.target = target,
                    _ => {
                        return Diag::new("study/setting", "unknown setting of a method")
                            .at(text)
                            .expected(
                                "probability, log-probability, margin, weighted, plain, within, all, max, mean, \
                                 links=none or links=FACTOR",
                                setting,
                            )
                            .err();
                    }
                },
            }
        }
        Ok(contender)
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, weighted, within, route: RouteOptions { link_factor, combine } } = self;
        f.write_str(method.name())?;
        if matches!(method, Method::Frat | Method::Taylor) {
            write!(f, ":{}", target.name())?;
        }
        if *method == Method::Frat {
            f.write_str(if *weighted { ":weighted" } else { ":plain" })?;
        }
        if matches!(method, Method::Frat | Method::Taylor) {
            f.write_str(if *within { ":within" } else { ":all" })?;
        }
        match link_factor {
            Some(factor) => write!(f, ":links={factor}")?,
            None => f.write_str(":links=none")?,
        }
        f.write_str(match combine {
            Combine::Max => ":max",
            Combine::Mean => ":mean",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for text in [
            "frat:margin:weighted:within:links=0.5:max",
            "frat:log-probability:plain:all:links=none:mean",
            "taylor:probability:all:links=1:max",
            "l1:links=none:max",
        ] {
            assert_eq!(text.parse::<Contender>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        for text in ["frat:loud", "frat:links=-1", "frat:links=x", "best", ""] {
            assert!(text.parse::<Contender>().is_err(), "{text}");
        }
    }
}
