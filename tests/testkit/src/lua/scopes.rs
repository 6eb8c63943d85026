//! The names of a script: where each is defined, and by which piece it is used.

use super::heads::Head;
use super::tokens::{SyntaxError, Token, tokens};

/// What Lua 5.1 and the server provide.
const BUILT_IN: [&str; 26] = [
    "ARGV",
    "KEYS",
    "assert",
    "bit",
    "cjson",
    "cmsgpack",
    "error",
    "getmetatable",
    "ipairs",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "redis",
    "select",
    "setmetatable",
    "string",
    "struct",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
];

/// A piece of a script.
pub(super) struct Piece<'a> {
    /// Its file.
    pub(super) name: &'a str,
    pub(super) text: &'a str,
    /// Whether it is the script's own file.
    pub(super) is_last: bool,
}

struct Local<'a> {
    name: &'a str,
    /// Which piece defines it, by number.
    piece: usize,
    line: usize,
    /// Whether it is a function that calls the server, or a table with one.
    calls_server: bool,
}

/// Where a name is defined.
#[derive(Clone, Copy)]
pub(super) struct At {
    scope: usize,
    index: usize,
}

/// Reads the pieces of one script, one after the other.
pub(super) struct Walker<'a> {
    script: &'a str,
    /// The open blocks and what is defined in them; the first one is the script itself.
    scopes: Vec<Vec<Local<'a>>>,
    /// Whether each open function calls the server; the first one is the script itself.
    functions: Vec<bool>,
    pieces: Vec<&'a str>,
    /// The numbers of the preludes.
    preludes: Vec<usize>,
    /// The names that the current piece takes from earlier ones, and whether it uses them.
    needs: Vec<(&'a str, bool)>,
    /// The names of earlier pieces to which the current one may assign, and whether it does.
    assigns: Vec<(&'a str, bool)>,
    may_call: bool,
    has_returned: bool,
    pub(super) tokens: Vec<(Token<'a>, usize)>,
    pub(super) at: usize,
    found: Vec<String>,
}

impl<'a> Walker<'a> {
    pub(super) fn new(script: &'a str) -> Self {
        Self {
            script,
            scopes: vec![Vec::new()],
            functions: vec![false],
            pieces: Vec::new(),
            preludes: Vec::new(),
            needs: Vec::new(),
            assigns: Vec::new(),
            may_call: false,
            has_returned: false,
            tokens: Vec::new(),
            at: 0,
            found: Vec::new(),
        }
    }

    pub(super) fn report(&mut self, what: String) {
        self.found.push(what);
    }

    /// Reports `what` in this line of the current piece.
    pub(super) fn report_at(&mut self, line: usize, what: &str) {
        let piece = self.pieces.last().copied().unwrap_or_default();
        self.found.push(format!("{piece}:{line}: {what}"));
    }

    pub(super) fn found(self) -> Vec<String> {
        self.found
    }

    /// Reads one more piece; an error if it is not Lua, which is reported, too.
    pub(super) fn walk(&mut self, piece: Piece<'a>) -> Result<(), ()> {
        if self.has_returned {
            let message = format!("returns at its end, although {} follows in {}", piece.name, self.script);
            self.report(format!("{}: {message}", self.pieces.last().copied().unwrap_or_default()));
            return Err(());
        }
        self.pieces.push(piece.name);
        let head = Head::of(piece.text);
        if head.is_none() {
            self.report_at(1, "the piece does not begin with a comment that says what it is");
        }
        let head = head.unwrap_or(Head { needs: Vec::new(), assigns: Vec::new(), may_call: false, is_prelude: false });
        self.preludes.extend(head.is_prelude.then_some(self.pieces.len() - 1));
        self.may_call = head.may_call || piece.is_last;
        self.take(head.needs);
        self.assigns = head.assigns.into_iter().map(|name| (name, false)).collect();
        let result = tokens(piece.text).and_then(|tokens| {
            (self.tokens, self.at) = (tokens, 0);
            self.has_returned = self.block()?;
            if self.token() == Token::End { Ok(()) } else { Err(self.unexpected("the end of the piece")) }
        });
        if let Err(SyntaxError { line, what }) = result {
            self.report_at(line, &what);
            return Err(());
        }
        let needless: Vec<_> = self.needs.iter().filter(|(_, is_used)| !is_used).map(|(name, _)| *name).collect();
        for name in needless {
            self.report_at(1, &format!("needs `{name}`, and does not use it"));
        }
        let needless: Vec<_> = self.assigns.iter().filter(|(_, is_used)| !is_used).map(|(name, _)| *name).collect();
        for name in needless {
            self.report_at(1, &format!("assigns `{name}` by its head, and does not"));
        }
        Ok(())
    }

    /// Begins the list of the names that the piece takes.
    fn take(&mut self, needs: Vec<&'a str>) {
        self.needs.clear();
        for name in needs {
            if self.needs.iter().any(|(other, _)| *other == name) {
                self.report_at(1, &format!("needs `{name}` twice"));
            } else if self.scopes[0].iter().any(|local| local.name == name) {
                self.needs.push((name, false));
            } else {
                let message = format!("needs `{name}`, which no earlier piece of {} defines", self.script);
                self.report_at(1, &message);
            }
        }
    }

    pub(super) fn open(&mut self) {
        self.scopes.push(Vec::new());
    }

    pub(super) fn close(&mut self) {
        self.scopes.pop();
    }

    pub(super) fn open_function(&mut self) {
        self.functions.push(false);
        self.open();
    }

    /// Returns whether the function calls the server.
    pub(super) fn close_function(&mut self) -> bool {
        self.close();
        self.functions.pop().unwrap_or(false)
    }

    /// Defines a local in the innermost block.
    pub(super) fn define(&mut self, name: &'a str, line: usize, calls_server: bool) -> At {
        let piece = self.pieces.len() - 1;
        if name != "_"
            && let Some(outer) = self.find(name)
        {
            let scope = self.scopes.len() - 1;
            let local = &self.scopes[outer.scope][outer.index];
            let place = format!("{}:{}", self.pieces[local.piece], local.line);
            let what = if outer.scope == scope { "is already defined in" } else { "hides the one of" };
            self.report_at(line, &format!("`{name}` {what} {place}"));
        }
        let scope = self.scopes.len() - 1;
        self.scopes[scope].push(Local { name, piece, line, calls_server });
        At { scope, index: self.scopes[scope].len() - 1 }
    }

    /// The innermost local with this name.
    fn find(&self, name: &str) -> Option<At> {
        self.scopes.iter().enumerate().rev().find_map(|(scope, locals)| {
            locals.iter().rposition(|local| local.name == name).map(|index| At { scope, index })
        })
    }

    /// Uses a name: the local, or `None` if it is built in or unknown, which is reported.
    pub(super) fn resolve(&mut self, name: &'a str, line: usize) -> Option<At> {
        let Some(at) = self.find(name) else {
            if !BUILT_IN.contains(&name) {
                self.report_at(line, &format!("`{name}` is not defined"));
            }
            return None;
        };
        let piece = self.scopes[at.scope][at.index].piece;
        if piece != self.pieces.len() - 1 {
            match self.needs.iter_mut().find(|(other, _)| *other == name) {
                Some((_, is_used)) => *is_used = true,
                None if self.preludes.contains(&piece) => {}
                None => {
                    let message = format!("`{name}` of {} is used, and the head does not need it", self.pieces[piece]);
                    self.report_at(line, &message);
                    // one report for each name and piece
                    self.needs.push((name, true));
                }
            }
        }
        Some(at)
    }

    /// Assigns to a name: a local of an earlier piece is reported, unless the head lists it.
    pub(super) fn assign(&mut self, at: At, line: usize) {
        let local = &self.scopes[at.scope][at.index];
        let (name, piece) = (local.name, local.piece);
        if piece == self.pieces.len() - 1 {
            return;
        }
        match self.assigns.iter_mut().find(|(other, _)| *other == name) {
            Some((_, is_used)) => *is_used = true,
            None => {
                self.report_at(line, &format!("`{name}` of {} is assigned; only that piece may", self.pieces[piece]));
            }
        }
    }

    pub(super) fn calls_server(&self, at: At) -> bool {
        self.scopes[at.scope][at.index].calls_server
    }

    /// The local has become, or contains, a function that calls the server.
    pub(super) fn mark(&mut self, at: At) {
        self.scopes[at.scope][at.index].calls_server = true;
    }

    /// The innermost open function calls the server here.
    pub(super) fn call_server(&mut self, line: usize) {
        if self.functions.len() == 1 && !self.may_call {
            self.report_at(line, "the piece calls the server when it is included; only functions of it may");
        }
        if let Some(calls) = self.functions.last_mut() {
            *calls = true;
        }
    }
}
