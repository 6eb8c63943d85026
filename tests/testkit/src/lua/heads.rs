//! The heads of pieces: the comment lines with which they begin.

/// What a head says to a program.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    /// The names that the piece takes from earlier ones.
    pub(super) needs: Vec<&'a str>,
    /// The names of earlier pieces to which it assigns.
    pub(super) assigns: Vec<&'a str>,
    /// Whether the piece may call the server when it is included.
    pub(super) may_call: bool,
    /// Whether it is a prelude: later pieces may use its names without listing them.
    pub(super) is_prelude: bool,
}

impl<'a> Head<'a> {
    /// The head of a piece; `None` if the piece does not begin with a comment.
    pub(super) fn of(text: &'a str) -> Option<Self> {
        let lines = text.lines().skip_while(|line| line.starts_with("#!"));
        let lines: Vec<_> = lines.take_while(|line| line.starts_with("--")).collect();
        let first = lines.first()?;
        let listed = |begin: &str| {
            let names = lines.iter().filter_map(|line| line.strip_prefix(begin)).flat_map(|names| names.split(','));
            names.map(str::trim).filter(|name| !name.is_empty()).collect()
        };
        let is_prelude = first.starts_with("-- Prelude");
        let may_call = is_prelude || first.starts_with("-- Fast path");
        Some(Self { needs: listed("-- needs: "), assigns: listed("-- assigns: "), may_call, is_prelude })
    }
}
