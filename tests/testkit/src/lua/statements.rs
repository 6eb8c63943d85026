//! Statements and blocks.

use super::expressions::Value;
use super::scopes::Walker;
use super::tokens::{SyntaxError, Token};

type Result<T> = std::result::Result<T, SyntaxError>;

impl<'a> Walker<'a> {
    pub(super) fn token(&self) -> Token<'a> {
        self.tokens[self.at].0
    }

    pub(super) fn line(&self) -> usize {
        self.tokens[self.at].1
    }

    pub(super) fn unexpected(&self, expected: &str) -> SyntaxError {
        let found = match self.token() {
            Token::Name(text) | Token::Keyword(text) | Token::Symbol(text) => format!("`{text}`"),
            Token::Number => "a number".to_owned(),
            Token::Text => "a text".to_owned(),
            Token::End => "the end of the piece".to_owned(),
        };
        SyntaxError { line: self.line(), what: format!("{found} is here instead of {expected}") }
    }

    /// Goes on if the next token is this one.
    pub(super) fn accept(&mut self, token: Token<'_>) -> bool {
        let is_it = self.token() == token;
        self.at += usize::from(is_it);
        is_it
    }

    pub(super) fn expect(&mut self, token: Token<'_>) -> Result<()> {
        if self.accept(token) {
            return Ok(());
        }
        let (Token::Name(text) | Token::Keyword(text) | Token::Symbol(text)) = token else { return Ok(()) };
        Err(self.unexpected(&format!("`{text}`")))
    }

    fn keyword(&mut self, word: &str) -> Result<()> {
        self.expect(Token::Keyword(word))
    }

    pub(super) fn name(&mut self) -> Result<(&'a str, usize)> {
        let Token::Name(name) = self.token() else { return Err(self.unexpected("a name")) };
        let line = self.line();
        self.at += 1;
        Ok((name, line))
    }

    fn names(&mut self) -> Result<Vec<(&'a str, usize)>> {
        let mut names = vec![self.name()?];
        while self.accept(Token::Symbol(",")) {
            names.push(self.name()?);
        }
        Ok(names)
    }

    /// Statements up to the end of the block; whether the last one returns.
    pub(super) fn block(&mut self) -> Result<bool> {
        loop {
            match self.token() {
                Token::End | Token::Keyword("end" | "else" | "elseif" | "until") => return Ok(false),
                Token::Keyword("return") => {
                    self.at += 1;
                    let is_empty = matches!(
                        self.token(),
                        Token::End | Token::Symbol(";") | Token::Keyword("end" | "else" | "elseif" | "until")
                    );
                    if !is_empty {
                        self.expressions()?;
                    }
                    self.accept(Token::Symbol(";"));
                    return Ok(true);
                }
                _ => self.statement()?,
            }
            self.accept(Token::Symbol(";"));
        }
    }

    /// A block with its own scope, up to `end`.
    fn body(&mut self) -> Result<()> {
        self.open();
        self.block()?;
        self.close();
        self.keyword("end")
    }

    fn statement(&mut self) -> Result<()> {
        let Token::Keyword(word) = self.token() else { return self.assignment() };
        let begin = self.at;
        self.at += 1;
        match word {
            "do" => self.body(),
            "while" => {
                self.expression()?;
                self.keyword("do")?;
                self.body()
            }
            "if" => self.branches(),
            "for" => self.loop_over(),
            "repeat" => {
                self.open();
                self.block()?;
                self.keyword("until")?;
                self.expression()?;
                self.close();
                Ok(())
            }
            "local" => self.local(),
            "function" => self.function(),
            "break" => Ok(()),
            _ => {
                self.at = begin;
                Err(self.unexpected("a statement"))
            }
        }
    }

    fn branches(&mut self) -> Result<()> {
        loop {
            self.expression()?;
            self.keyword("then")?;
            self.open();
            self.block()?;
            self.close();
            if self.accept(Token::Keyword("elseif")) {
                continue;
            }
            if self.accept(Token::Keyword("else")) {
                return self.body();
            }
            return self.keyword("end");
        }
    }

    fn loop_over(&mut self) -> Result<()> {
        let names = self.names()?;
        if !self.accept(Token::Keyword("in")) {
            self.expect(Token::Symbol("="))?;
        }
        self.expressions()?;
        self.keyword("do")?;
        self.open();
        for (name, line) in names {
            self.define(name, line, false);
        }
        self.block()?;
        self.close();
        self.keyword("end")
    }

    fn local(&mut self) -> Result<()> {
        if self.accept(Token::Keyword("function")) {
            let (name, line) = self.name()?;
            let at = self.define(name, line, false);
            if self.function_body(false)? {
                self.mark(at);
            }
            return Ok(());
        }
        let names = self.names()?;
        let values = if self.accept(Token::Symbol("=")) { self.expressions()? } else { Vec::new() };
        for (index, (name, line)) in names.into_iter().enumerate() {
            self.define(name, line, values.get(index).is_some_and(|value| value.calls_server));
        }
        Ok(())
    }

    /// `function name.part:method() … end`
    fn function(&mut self) -> Result<()> {
        let (name, line) = self.name()?;
        let at = self.resolve(name, line);
        let mut is_method = false;
        loop {
            if self.accept(Token::Symbol(":")) {
                is_method = true;
            } else if !self.accept(Token::Symbol(".")) {
                break;
            }
            self.name()?;
        }
        let calls_server = self.function_body(is_method)?;
        if let Some(at) = at.filter(|_| calls_server) {
            self.mark(at);
        }
        Ok(())
    }

    /// A call, or an assignment to one or more places.
    fn assignment(&mut self) -> Result<()> {
        let line = self.line();
        let first = self.suffixed()?;
        if first.is_call && !matches!(self.token(), Token::Symbol("=" | ",")) {
            return Ok(());
        }
        let mut places: Vec<Value> = vec![first];
        while self.accept(Token::Symbol(",")) {
            places.push(self.suffixed()?);
        }
        self.expect(Token::Symbol("="))?;
        for at in places.iter().filter(|place| place.is_name).filter_map(|place| place.local) {
            self.assign(at, line);
        }
        let values = self.expressions()?;
        for (place, value) in places.iter().zip(values) {
            if let Some(at) = place.local.filter(|_| value.calls_server) {
                self.mark(at);
            }
        }
        Ok(())
    }
}
