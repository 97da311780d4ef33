//! A method with its settings, as written on the command line: `frat`, `frat:log-probability:all:links=none`.

use std::fmt;
use std::str::FromStr;

use crate::attribute::{Method, Options, Target};
use crate::diag::{Diag, Result};
use crate::route::{Combine, RouteOptions};

/// A method with its settings. Displays as its full name, every setting that matters spelled out.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a setting of its own, on or off")]
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
    /// Whether each group has its own width, by search; else one ratio for all.
    pub search: bool,
    /// Whether channels are chosen by what they stand for among the others (FRAT only), not by their scores alone.
    pub cover: bool,
    /// Whether all layers are fitted together in the end, not only one after the other.
    pub together: bool,
    /// Whether the fit of all layers sees samples mirrored and moved too, where the source does not mind.
    pub views: bool,
    /// Whether the last refit takes samples of the training data too.
    pub more: bool,
}

impl Contender {
    /// `method` with the default settings. Relevance analysis belongs to FRAT.
    pub fn new(method: Method) -> Self {
        let Options { target, weighted, .. } = Options::default();
        let mut route = RouteOptions::default();
        if method != Method::Frat {
            route.link_factor = None;
        }
        Self {
            method,
            target,
            weighted,
            within: true,
            route,
            search: false,
            cover: method == Method::Frat,
            together: true,
            views: true,
            more: false,
        }
    }

    /// The name without the settings that are the method's own.
    pub fn short(text: &str) -> String {
        let Ok(contender) = text.parse::<Self>() else { return text.to_string() };
        let usual = Self::new(contender.method).to_string();
        let usual: Vec<&str> = usual.split(':').collect();
        let parts = text.split(':').enumerate();
        parts.filter(|(i, part)| *i == 0 || !usual.contains(part)).map(|(_, p)| p).collect::<Vec<_>>().join(":")
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
            ..Options::default()
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
                "ratio" => contender.search = false,
                "search" => contender.search = true,
                "cover" if contender.method == Method::Frat => contender.cover = true,
                "scores" => contender.cover = false,
                "together" => contender.together = true,
                "layers" => contender.together = false,
                "views" => contender.views = true,
                "no-views" => contender.views = false,
                "train" => contender.more = true,
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
                                 ratio, search, cover, scores, together, layers, views, no-views, train, \
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
        let Self {
            method,
            target,
            weighted,
            within,
            route: RouteOptions { link_factor, combine },
            search,
            cover,
            together,
            views,
            more,
        } = self;
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
        })?;
        f.write_str(if *search { ":search" } else { "" })?;
        if *method == Method::Frat {
            f.write_str(if *cover { ":cover" } else { ":scores" })?;
        }
        f.write_str(match (together, views) {
            (false, _) => ":layers",
            (true, true) => ":together:views",
            (true, false) => ":together:no-views",
        })?;
        f.write_str(if *more { ":train" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_itself() {
        for text in [
            "frat:margin:weighted:within:links=0.5:max:cover:together:views",
            "frat:log-probability:plain:all:links=none:mean:scores:layers",
            "taylor:probability:all:links=1:max:together:no-views",
            "l1:links=none:max:layers",
            "random:links=none:mean:search:together:views:train",
        ] {
            assert_eq!(text.parse::<Contender>().expect("valid").to_string(), text);
        }
    }

    #[test]
    fn short_names_leave_out_what_is_usual_and_mean_the_same() {
        for (text, short) in
            [("frat", "frat"), ("frat:search", "frat:search"), ("taylor:mean:no-views", "taylor:mean:no-views")]
        {
            let full: Contender = text.parse().expect("valid");
            assert_eq!(Contender::short(&full.to_string()), short);
            assert_eq!(short.parse::<Contender>().expect("valid"), full);
        }
    }

    #[test]
    fn unknown_settings_are_refused() {
        for text in ["frat:loud", "frat:links=-1", "frat:links=x", "best", ""] {
            assert!(text.parse::<Contender>().is_err(), "{text}");
        }
    }
}
