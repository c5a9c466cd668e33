//! What is said of one thing that was looked at, and how that is told.

use std::borrow::Cow;

use serde::Serialize;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// It works, and somebody should look.
    Warning,
    /// Something does not work because of it, or soon will not.
    Failed,
    /// It could not be looked at, or there is nothing to look at.
    Skipped,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What is said of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Verdict {
    /// What was looked at; stable and in snake case.
    pub(super) check: &'static str,
    /// How it is.
    pub(super) status: Status,
    /// What is wrong with it; stable and in snake case. `None` where nothing is.
    pub(super) code: Option<Cow<'static, str>>,
    /// What was seen, in a sentence without a full stop.
    pub(super) message: String,
    /// What to do about it, in sentences. `None` where there is nothing to do.
    pub(super) next_step: Option<String>,
}

impl Verdict {
    /// Says that something is as it should be.
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self {
            check,
            status: Status::Ok,
            code: None,
            message: message.into(),
            next_step: None,
        }
    }

    /// Says that something works, and that somebody should look.
    pub(super) fn warning(
        check: &'static str,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self::not_ok(Status::Warning, check, code.into(), message, next_step)
    }

    /// Says that something does not work.
    pub(super) fn failed(
        check: &'static str,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self::not_ok(Status::Failed, check, code.into(), message, next_step)
    }

    /// Says that something was not looked at, and why.
    pub(super) fn skipped(
        check: &'static str,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self::not_ok(Status::Skipped, check, code.into(), message, next_step)
    }

    fn not_ok(
        status: Status,
        check: &'static str,
        code: Cow<'static, str>,
        message: impl Into<String>,
        next_step: impl Into<String>,
    ) -> Self {
        Self {
            check,
            status,
            code: Some(code),
            message: message.into(),
            next_step: Some(next_step.into()),
        }
    }

    /// Tells whether something is wrong by this code.
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// All that was looked at, in the order in which it is told.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether nothing failed.
    pub(super) is_good: bool,
    pub(super) checks: Vec<Verdict>,
}

impl Report {
    /// Makes a report of verdicts. What follows from something that is said already is not said
    /// again.
    pub(super) fn new(mut checks: Vec<Verdict>) -> Self {
        spare_consequences(&mut checks);
        let is_good = checks
            .iter()
            .all(|verdict| verdict.status != Status::Failed);
        Self { is_good, checks }
    }

    /// Counts what failed.
    pub(super) fn failures(&self) -> usize {
        self.count(Status::Failed)
    }

    fn count(&self, status: Status) -> usize {
        let of_it = self.checks.iter().filter(|check| check.status == status);
        of_it.count()
    }
}

/// Nobody answers where no gateway runs, and one cause is enough to read.
fn spare_consequences(checks: &mut [Verdict]) {
    let is_gateway_away = checks
        .iter()
        .any(|verdict| verdict.is("gateway_not_running"));
    if !is_gateway_away {
        return;
    }
    for verdict in checks {
        if verdict.status == Status::Failed && verdict.is("unreachable") {
            verdict.status = Status::Skipped;
            verdict.code = Some("gateway_not_running".into());
            verdict.message = format!("not looked at, for no gateway runs: {}", verdict.message);
            verdict.next_step = Some("Start it, and run this again.".to_owned());
        }
    }
}

/// Tells a report to a person: one line for each, what to do below it, and a count at the end.
pub(super) fn told(report: &Report) -> String {
    let width = |of: &dyn Fn(&Verdict) -> usize| report.checks.iter().map(of).max().unwrap_or(0);
    let name = width(&|verdict| verdict.check.len());
    let mut lines = Vec::new();
    for verdict in &report.checks {
        let code = match &verdict.code {
            Some(code) => format!(" ({code})"),
            None => String::new(),
        };
        lines.push(format!(
            "{:<7}  {:<name$}  {}{code}",
            verdict.status.word(),
            verdict.check,
            one_line(&verdict.message),
        ));
        if let Some(next_step) = &verdict.next_step {
            lines.push(format!("{:<9}hint: {}", "", one_line(next_step)));
        }
    }
    let statuses = [Status::Ok, Status::Warning, Status::Failed, Status::Skipped];
    let counts = statuses
        .iter()
        .map(|status| format!("{} {}", report.count(*status), status.word()));
    lines.push(String::new());
    lines.push(counts.collect::<Vec<_>>().join(", "));
    lines.join("\n")
}

/// Some errors of libraries are several lines long.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_one_line_and_what_is_wrong_has_a_hint() {
        let report = Report::new(vec![
            Verdict::ok("clock", "synchronised"),
            Verdict::warning(
                "disk_space",
                "disk_space_low",
                "10 % is\n free",
                "Free some.",
            ),
        ]);
        assert_eq!(
            told(&report),
            "ok       clock       synchronised\n\
             warning  disk_space  10 % is free (disk_space_low)\n         \
             hint: Free some.\n\n\
             1 ok, 1 warning, 0 failed, 0 skipped"
        );
        assert!(report.is_good, "a warning is no failure");
    }

    #[test]
    fn a_failure_makes_a_report_bad_and_what_was_skipped_does_not() {
        let skipped = Verdict::skipped("engine", "not_allowed", "m", "n");
        assert!(Report::new(vec![skipped.clone()]).is_good);
        let report = Report::new(vec![skipped, Verdict::failed("store", "c", "m", "n")]);
        assert!(!report.is_good);
        assert_eq!(report.failures(), 1);
    }

    #[test]
    fn what_nobody_answers_follows_from_a_gateway_that_does_not_run() {
        let role = Verdict::failed("role_gateway", "gateway_not_running", "m", "n");
        let unreachable = Verdict::failed("public_url", "unreachable", "refused", "n");
        let expired = Verdict::failed("certificate_files", "certificate_expired", "m", "n");
        let alone = Report::new(vec![unreachable.clone(), expired.clone()]);
        assert_eq!(alone.failures(), 2, "with a gateway they are news");
        let report = Report::new(vec![role, unreachable, expired]);
        let statuses: Vec<Status> = report.checks.iter().map(|check| check.status).collect();
        assert_eq!(statuses, [Status::Failed, Status::Skipped, Status::Failed]);
        assert!(report.checks[1].message.ends_with("refused"));
    }
}
