//! The findings as text, and as annotations of GitHub Actions.

use std::fmt::Write as _;

use super::{Line, Summary};
use crate::EnvFileError;

pub(super) fn text(summary: &Summary) -> String {
    let mut text = String::new();
    for Line { file, finding, .. } in &summary.findings {
        let file = file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default();
        let _ = writeln!(text, "{file}{finding}\n");
    }
    for matrix in &summary.capabilities {
        let _ = writeln!(text, "{matrix}\n");
    }
    let plural = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    let started =
        if summary.errors > 0 && !summary.refused { "; STORE_PREFLIGHT=warn: the start is not refused" } else { "" };
    let _ = writeln!(text, "{}, {}{started}", plural(summary.errors, "error"), plural(summary.warnings, "warning"));
    text
}

pub(super) fn github(summary: &Summary) -> String {
    let mut text = String::new();
    for Line { file, line, finding } in &summary.findings {
        let level = finding.severity.name();
        let line = line.map(|line| format!("line={line},")).unwrap_or_default();
        let file = file.as_ref().map(|file| format!("file={},", property(file))).unwrap_or_default();
        let message = format!("{}: {}\n{}\n{}", finding.role_name(), finding.what, finding.why, finding.help);
        let _ = writeln!(text, "::{level} {file}{line}title={}::{}", property(finding.code.name()), escape(&message));
    }
    text
}

/// An env file that was refused, at its line.
pub(super) fn annotation(error: &EnvFileError) -> String {
    let place = match error {
        EnvFileError::Line { path, line, .. } => format!(" file={},line={line}", property(&path.display().to_string())),
        EnvFileError::Unreadable { path, .. } | EnvFileError::Form { path, .. } => {
            format!(" file={}", property(&path.display().to_string()))
        }
    };
    format!("::error{place}::{}\n", escape(&error.to_string()))
}

/// The message of an annotation.
fn escape(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of an annotation.
fn property(text: &str) -> String {
    escape(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::{Line, Summary};
    use super::{github, text};
    use crate::{Code, Finding};

    fn summary() -> Summary {
        let finding = Finding::new(Code::NoTls, None, "100 %,\r\nhere: there");
        Summary {
            findings: vec![Line { file: Some("a,b:c.env".to_owned()), line: None, finding }],
            errors: 0,
            warnings: 1,
            capabilities: Vec::new(),
            refused: false,
        }
    }

    #[test]
    fn an_annotation_is_one_line_and_escaped() {
        let text = github(&summary());
        assert!(
            text.starts_with("::warning file=a%2Cb%3Ac.env,title=no-tls::both: 100 %25,%0D%0Ahere: there%0A"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn the_text_ends_with_the_counts_and_json_is_flat() {
        assert!(text(&summary()).ends_with("\n0 errors, 1 warning\n"));
        let json = serde_json::to_value(summary()).unwrap();
        assert_eq!(json["findings"][0]["code"], "no-tls");
        assert_eq!(json["findings"][0]["severity"], "warning");
        assert_eq!(json["findings"][0]["role"], "both");
        assert_eq!(json["findings"][0].as_object().unwrap().len(), 8);
    }
}
