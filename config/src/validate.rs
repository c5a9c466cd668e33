//! Every mistake with its path, not just the first.

use std::fmt;

/// One mistake in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Dotted path of the setting, such as `gateway.listen`.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}

/// The mistakes found so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Returns a scope that records under `section`.
    pub fn at<'problems>(&'problems mut self, section: &'static str) -> Scope<'problems> {
        Scope {
            problems: self,
            section,
        }
    }

    /// Returns the mistakes, in the order of the sections.
    pub fn list(&self) -> &[Problem] {
        &self.0
    }

    /// Tells whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, problem) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { "\n" };
            write!(formatter, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// Records mistakes of one section.
#[derive(Debug)]
pub struct Scope<'problems> {
    problems: &'problems mut Problems,
    section: &'static str,
}

impl Scope<'_> {
    /// Records a mistake in `field`.
    pub fn problem(&mut self, field: &str, message: impl Into<String>) {
        let path = format!("{}.{field}", self.section);
        self.problems.0.push(Problem {
            path,
            message: message.into(),
        });
    }

    /// Records a mistake in `field` unless `is_right`.
    pub fn require(&mut self, is_right: bool, field: &str, message: impl Into<String>) {
        if !is_right {
            self.problem(field, message);
        }
    }
}
