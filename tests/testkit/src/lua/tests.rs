use std::collections::BTreeMap;
use std::fs;
use std::slice::from_ref;

use super::tokens::{Token, tokens};
use super::{LuaScript, check, lines, measure, violations};

/// The violations of a script of these pieces; the files are called `1`, `2` and so on. A piece without a head gets one.
fn found(pieces: &[&str]) -> Vec<String> {
    let pieces: Vec<_> = pieces.iter().map(|piece| with_head(piece)).collect();
    let names: BTreeMap<_, _> =
        pieces.iter().enumerate().map(|(at, text)| (text.as_str(), (at + 1).to_string())).collect();
    check(&LuaScript::new("s", pieces.iter().map(String::as_str).collect()), &names)
}

fn with_head(piece: &str) -> String {
    if piece.starts_with("-- ") { piece.to_owned() } else { format!("-- A piece.\n{piece}") }
}

/// The piece with a head that needs these names.
fn needing(names: &str, code: &str) -> String {
    format!("-- needs: {names}\n{code}")
}

const NONE: [&str; 0] = [];

#[test]
fn a_name_that_is_used_and_not_declared_is_rejected() {
    assert_eq!(found(&["return { 'x', KEYS[1], unpack(ARGV), string.len('') }"]), NONE);
    assert_eq!(found(&["return missing"]), ["1:2: `missing` is not defined"]);
    assert_eq!(found(&["missing = 1"]), ["1:2: `missing` is not defined"]);
    assert_eq!(found(&["function missing() end"]), ["1:2: `missing` is not defined"]);
    assert_eq!(found(&["local function f(a) return a end\nreturn f(a)"]), ["1:3: `a` is not defined"]);
    assert_eq!(found(&["for i = 1, 2 do local x = i end\nreturn x"]), ["1:3: `x` is not defined"]);
    assert_eq!(found(&["if ARGV[1] then local x = 1 else return x end"]), ["1:2: `x` is not defined"]);
    // a local is defined behind its own statement
    assert_eq!(found(&["local x = x"]), ["1:2: `x` is not defined"]);
    assert_eq!(found(&["repeat local is_done = true until is_done"]), NONE);
    assert_eq!(found(&["local function f(n) return f(n - 1) end\nreturn f"]), NONE);
}

#[test]
fn a_name_of_another_piece_is_rejected_unless_the_head_needs_it() {
    assert_eq!(found(&["local x = 1", "return x"]), ["2:2: `x` of 1 is used, and the head does not need it"]);
    assert_eq!(found(&["local x = 1", &needing("x", "return x")]), NONE);
    assert_eq!(found(&["local x, y = 1, 2", "-- A.\n-- needs: x,\n-- needs: y\nreturn x + y"]), NONE);
    let in_a_function = needing("x", "local function f() return x end\nreturn f()");
    assert_eq!(found(&["local x = 1", &in_a_function]), NONE);
    // a field and a key of a table are no names
    assert_eq!(found(&["local x = 1", "local t = { x = 2 }\nreturn t.x"]), NONE);
}

#[test]
fn names_of_a_prelude_are_used_without_a_need() {
    let prelude = "-- Prelude of s.\nlocal x = 1";
    assert_eq!(found(&[prelude, "return x"]), NONE);
    assert_eq!(found(&[prelude, &needing("x", "return x")]), NONE);
    assert_eq!(found(&[prelude, "local y = x", "return y"]), ["3:2: `y` of 2 is used, and the head does not need it"]);
    // a name is still defined once
    assert_eq!(found(&[prelude, "local x = 2"]), ["2:2: `x` is already defined in 1:2"]);
}

#[test]
fn an_assignment_to_a_local_of_another_piece_is_rejected() {
    let message = |line| [format!("2:{line}: `x` of 1 is assigned; only that piece may")];
    assert_eq!(found(&["local x = 1", &needing("x", "x = 2")]), message(2));
    assert_eq!(found(&["-- Prelude of s.\nlocal x = 1", "local y\ny, x = 2, 3"]), message(3));
    assert_eq!(found(&["local x = 1", &needing("x", "local function f()\n  x = 2\nend\nreturn f()")]), message(3));
    // unless the head lists it
    let assigning = |code: &str| format!("-- A piece.\n-- assigns: x\n{code}");
    assert_eq!(found(&["-- Prelude of s.\nlocal x = 1", &assigning("x = 2")]), NONE);
    assert_eq!(
        found(&["-- Prelude of s.\nlocal x = 1", &assigning("local y = x")]),
        ["2:1: assigns `x` by its head, and does not"]
    );
    // its own locals, and what a table has
    assert_eq!(found(&["local x = 1\nx = 2"]), NONE);
    assert_eq!(found(&["local x = {}", &needing("x", "x.y, x[1] = 2, 3")]), NONE);
}

#[test]
fn a_need_that_no_earlier_piece_defines_is_rejected() {
    let expected = ["1:1: needs `x`, which no earlier piece of s defines", "1:2: `x` is not defined"];
    assert_eq!(found(&[&needing("x", "local function f() return x end"), "local x = 1"]), expected);
    // a local inside a block defines nothing for others
    let expected = ["2:1: needs `x`, which no earlier piece of s defines", "2:2: `x` is not defined"];
    assert_eq!(found(&["do local x = 1 end", &needing("x", "return x")]), expected);
}

#[test]
fn a_needless_need_is_rejected() {
    assert_eq!(found(&["local x = 1", &needing("x", "return 1")]), ["2:1: needs `x`, and does not use it"]);
    let twice = needing("x, x", "return x");
    assert_eq!(found(&["local x = 1", &twice]), ["2:1: needs `x` twice"]);
}

#[test]
fn a_name_that_is_defined_twice_is_rejected() {
    assert_eq!(found(&["local x = 1", "local x = 2"]), ["2:2: `x` is already defined in 1:2"]);
    assert_eq!(found(&["local x = 1\nlocal function x() end"]), ["1:3: `x` is already defined in 1:2"]);
    assert_eq!(found(&["local function f(a, a) end"]), ["1:2: `a` is already defined in 1:2"]);
    assert_eq!(found(&["local function f(a) local a = 1 end"]), ["1:2: `a` is already defined in 1:2"]);
}

#[test]
fn a_name_that_hides_an_outer_one_is_rejected() {
    assert_eq!(found(&["local x = 1", "local function f(x) end"]), ["2:2: `x` hides the one of 1:2"]);
    assert_eq!(found(&["local x = 1\nfor x = 1, 2 do end"]), ["1:3: `x` hides the one of 1:2"]);
    assert_eq!(found(&["local function f(x)\n  return function(x) end\nend"]), ["1:3: `x` hides the one of 1:2"]);
    // neighbours hide nothing, nor does what is defined later; `_` is no name
    assert_eq!(found(&["for i = 1, 2 do end\nfor i = 1, 2 do end\nlocal i = 1"]), NONE);
    assert_eq!(found(&["for _, a in ipairs(KEYS) do for _ in pairs(a) do end end"]), NONE);
}

#[test]
fn a_shared_piece_that_calls_the_server_when_it_is_included_is_rejected() {
    let own = "return 1";
    let message = "the piece calls the server when it is included; only functions of it may";
    let rejected = [
        ("redis.call('GET', KEYS[1])", 2),
        ("local x = redis.pcall('GET', KEYS[1])", 2),
        ("if ARGV[1] then\n  redis.call('GET', KEYS[1])\nend", 3),
        ("local run = redis.call\nrun('GET', KEYS[1])", 3),
        ("local ok = pcall(redis.call, 'GET', KEYS[1])", 2),
        ("local function f() return redis.call('PING') end\nlocal function g() return f() end\nlocal x = g()", 4),
        ("local t = {}\nfunction t.f() redis.call('PING') end\nt.f()", 4),
        ("local t = { f = function() redis.call('PING') end }\nt['f']()", 3),
        ("local f\nf = function() redis.call('PING') end\nf()", 4),
        ("table.foreach(KEYS, function(key) redis.call('GET', key) end)", 2),
    ];
    for (code, line) in rejected {
        assert_eq!(found(&[code, own]), [format!("1:{line}: {message}")], "{code}");
        // the script's own file and a fast path may
        assert_eq!(found(&[code]), NONE, "{code}");
        assert_eq!(found(&[&format!("-- Fast path of s.\n{code}"), own]), NONE, "{code}");
        assert_eq!(found(&[&format!("-- Prelude of s.\n{code}"), own]), NONE, "{code}");
    }
    for code in [
        "local function f() return redis.call('PING') end",
        "local t = { f = function() redis.call('PING') end }",
        "local error_of, pcall = redis.error_reply, redis.pcall\nlocal x = error_of('ERR')",
        "local function f() return function() redis.call('PING') end end\nlocal g = f()",
    ] {
        assert_eq!(found(&[code, own]), NONE, "{code}");
    }
}

#[test]
fn a_line_over_100_columns_and_a_file_over_200_lines_are_rejected() {
    let name = "a.lua";
    assert_eq!(measure(name, &format!("{}\n", "x".repeat(100))), NONE);
    // characters, not bytes
    assert_eq!(measure(name, &"…".repeat(100)), NONE);
    let long = format!("x\n{}", "x".repeat(101));
    assert_eq!(measure(name, &long), ["a.lua:2: the line has 101 columns, at most 100 are allowed"]);
    assert_eq!(measure(name, &"x\n".repeat(200)), NONE);
    assert_eq!(measure(name, &"x\n".repeat(201)), ["a.lua: the file has 201 lines, at most 200 are allowed"]);
}

#[test]
fn a_piece_is_complete_and_only_the_last_one_returns() {
    let open = found(&["local function f()", "end"]);
    assert_eq!(open, ["1:2: the end of the piece is here instead of `end`"]);
    assert_eq!(found(&["end"]), ["1:2: `end` is here instead of the end of the piece"]);
    assert_eq!(found(&["return 1", "return 2"]), ["1: returns at its end, although 2 follows in s"]);
    assert_eq!(found(&["if ARGV[1] then return 1 end", "return 2"]), NONE);
    let names = BTreeMap::from([("return 1", "1".to_owned())]);
    let without_head = check(&LuaScript::new("s", vec!["#!lua\n", "return 1"]), &names);
    assert_eq!(without_head, ["1:1: the piece does not begin with a comment that says what it is"]);
    let no_file = check(&LuaScript::new("s", vec!["local x = 1\n", "return 1"]), &names);
    assert_eq!(no_file, ["a piece of s is no file below `lua/`: local x = 1\n"]);
}

#[test]
fn what_lua_allows_is_read() {
    let code = "
local a, b = 0x1F, 1e-3; local c = a .. 1 .. [[ text ]] .. [==[ ]] ]==]
--[[ a long
comment ]] local d = { a, b; ['k'] = c, f = function(self, ...) return ... end, }
while a < b and not c do a = a + -1 break end
repeat if a == b then c = nil elseif a ~= b then c = 1 else c = #d end until c
for key, value in pairs(d) do d[key], a = value, (value or a)[1] end
for i = 10, 1, -1 do d.f.g:h { i } 'text' (i) end
do local x = 'a\\'b' .. \"c\\\\\" end
function d.f.g() return end
function d:h() return self end
local function each(...) local n = select('#', ...); return n, ... end
return each((a)), a % 2 ^ 3 >= 4 / 5";
    assert_eq!(found(&[code]), NONE);
    assert_eq!(found(&["local x = 'open"]), ["1:2: a text has no end"]);
    assert_eq!(found(&["local x = 1 ! 2"]), ["1:2: `!` is no Lua"]);
    assert_eq!(found(&["local x = = 1"]), ["1:2: `=` is here instead of an expression"]);
    assert_eq!(found(&["1"]), ["1:2: a number is here instead of an expression"]);
}

#[test]
fn tokens_have_their_lines() {
    let found = tokens("#!lua\nlocal a -- b\n= 1..2 --[[\n]] .5").unwrap();
    let expected = [
        (Token::Keyword("local"), 2),
        (Token::Name("a"), 2),
        (Token::Symbol("="), 3),
        (Token::Number, 3),
        (Token::Symbol(".."), 3),
        (Token::Number, 3),
        (Token::Number, 4),
        (Token::End, 4),
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_files_of_a_crate_are_all_pieces_of_its_scripts() {
    let crates = tempfile::tempdir().unwrap();
    let folder = crates.path().join("store");
    fs::create_dir_all(folder.join("lua/a")).unwrap();
    let (own, other) = (format!("-- a/one: it.\n-- {}\nreturn x", "x".repeat(100)), "-- a/two: it.\nreturn 1");
    fs::write(folder.join("lua/a/one.lua"), &own).unwrap();
    fs::write(folder.join("lua/a/two.lua"), other).unwrap();
    let (one, two) = (LuaScript::new("a/one", vec!["#!lua\n", &own]), LuaScript::new("a/two", vec![other]));

    let expected = [
        "store/lua/a/one.lua:2: the line has 103 columns, at most 100 are allowed",
        "store/lua/a/one.lua:3: `x` is not defined",
        "store/lua/a/two.lua is part of no script",
    ];
    assert_eq!(violations(&folder, from_ref(&one), &[]).unwrap(), expected);
    assert_eq!(violations(&folder, &[one.clone(), two.clone()], &["a/one"]).unwrap(), NONE);
    let gone = violations(&folder, from_ref(&two), &["a/gone"]).unwrap();
    assert_eq!(gone, ["a/gone is exempted, and no script is called so", "store/lua/a/one.lua is part of no script"]);
    assert_eq!(lines([one, two.clone(), two]), 3 + 1 + 2);
}
