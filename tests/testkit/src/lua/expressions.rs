//! Expressions and functions.

use super::scopes::{At, Walker};
use super::tokens::{SyntaxError, Token};

type Result<T> = std::result::Result<T, SyntaxError>;

/// What is of interest about an expression.
#[derive(Clone, Copy, Default)]
pub(super) struct Value {
    /// The local with which it begins.
    pub(super) local: Option<At>,
    /// Whether it is a function that calls the server, or a table with one.
    pub(super) calls_server: bool,
    /// Whether it is a call.
    pub(super) is_call: bool,
    /// Whether it is nothing but the local.
    pub(super) is_name: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn expressions(&mut self) -> Result<Vec<Value>> {
        let mut values = vec![self.expression()?];
        while self.accept(Token::Symbol(",")) {
            values.push(self.expression()?);
        }
        Ok(values)
    }

    /// Operators are read from left to right: which one binds closer changes nothing here.
    pub(super) fn expression(&mut self) -> Result<Value> {
        let mut value = self.operand()?;
        while let Token::Symbol("+" | "-" | "*" | "/" | "%" | "^" | ".." | "==" | "~=" | "<" | ">" | "<=" | ">=")
        | Token::Keyword("and" | "or") = self.token()
        {
            let is_choice = matches!(self.token(), Token::Keyword(_));
            self.at += 1;
            let other = self.operand()?;
            let calls_server = is_choice && (value.calls_server || other.calls_server);
            value = Value { calls_server, ..Value::default() };
        }
        Ok(value)
    }

    fn operand(&mut self) -> Result<Value> {
        match self.token() {
            Token::Symbol("-" | "#") | Token::Keyword("not") => {
                self.at += 1;
                self.operand()?;
                Ok(Value::default())
            }
            Token::Number | Token::Text | Token::Keyword("nil" | "true" | "false") | Token::Symbol("...") => {
                self.at += 1;
                Ok(Value::default())
            }
            Token::Symbol("{") => self.table(),
            Token::Keyword("function") => {
                self.at += 1;
                Ok(Value { calls_server: self.function_body(false)?, ..Value::default() })
            }
            _ => self.suffixed(),
        }
    }

    /// A name or an expression in brackets, and the indices and calls behind it.
    pub(super) fn suffixed(&mut self) -> Result<Value> {
        let begin = self.line();
        let mut is_redis = false;
        let mut value = if self.accept(Token::Symbol("(")) {
            let inner = self.expression()?;
            self.expect(Token::Symbol(")"))?;
            inner
        } else {
            let Token::Name(name) = self.token() else { return Err(self.unexpected("an expression")) };
            self.at += 1;
            let local = self.resolve(name, begin);
            is_redis = local.is_none() && name == "redis";
            Value {
                local,
                calls_server: local.is_some_and(|at| self.calls_server(at)),
                is_call: false,
                is_name: local.is_some(),
            }
        };
        loop {
            let line = self.line();
            value.is_name &= !matches!(self.token(), Token::Symbol("." | "["));
            match self.token() {
                Token::Symbol(".") => {
                    self.at += 1;
                    let (field, _) = self.name()?;
                    value.calls_server |= is_redis && matches!(field, "call" | "pcall");
                    is_redis = false;
                    value.is_call = false;
                }
                Token::Symbol("[") => {
                    self.at += 1;
                    self.expression()?;
                    self.expect(Token::Symbol("]"))?;
                    value.is_call = false;
                }
                Token::Symbol(":") => {
                    self.at += 1;
                    self.name()?;
                    value = self.call(value, line)?;
                }
                Token::Symbol("(" | "{") | Token::Text => value = self.call(value, line)?,
                _ => return Ok(value),
            }
        }
    }

    /// The arguments of a call. A function among them counts as called.
    fn call(&mut self, called: Value, line: usize) -> Result<Value> {
        let mut calls_server = called.calls_server;
        match self.token() {
            Token::Text => self.at += 1,
            Token::Symbol("{") => calls_server |= self.table()?.calls_server,
            _ => {
                self.expect(Token::Symbol("("))?;
                if !self.accept(Token::Symbol(")")) {
                    calls_server |= self.expressions()?.iter().any(|value| value.calls_server);
                    self.expect(Token::Symbol(")"))?;
                }
            }
        }
        if calls_server {
            self.call_server(line);
        }
        Ok(Value { is_call: true, ..Value::default() })
    }

    fn table(&mut self) -> Result<Value> {
        self.expect(Token::Symbol("{"))?;
        let mut calls_server = false;
        while !self.accept(Token::Symbol("}")) {
            if self.accept(Token::Symbol("[")) {
                self.expression()?;
                self.expect(Token::Symbol("]"))?;
                self.expect(Token::Symbol("="))?;
            } else if matches!(self.token(), Token::Name(_)) && self.tokens[self.at + 1].0 == Token::Symbol("=") {
                self.at += 2;
            }
            calls_server |= self.expression()?.calls_server;
            if !self.accept(Token::Symbol(",")) && !self.accept(Token::Symbol(";")) {
                self.expect(Token::Symbol("}"))?;
                break;
            }
        }
        Ok(Value { calls_server, ..Value::default() })
    }

    /// Parameters and body, behind `function` and its name; whether it calls the server.
    pub(super) fn function_body(&mut self, is_method: bool) -> Result<bool> {
        self.open_function();
        if is_method {
            let line = self.line();
            self.define("self", line, false);
        }
        self.expect(Token::Symbol("("))?;
        if !self.accept(Token::Symbol(")")) {
            loop {
                if !self.accept(Token::Symbol("...")) {
                    let (name, line) = self.name()?;
                    self.define(name, line, false);
                }
                if !self.accept(Token::Symbol(",")) {
                    break;
                }
            }
            self.expect(Token::Symbol(")"))?;
        }
        self.block()?;
        let calls_server = self.close_function();
        self.expect(Token::Keyword("end"))?;
        Ok(calls_server)
    }
}
