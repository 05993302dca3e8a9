//! The text of an expression with its place in the file: turns positions of the parser into faults that point at the
//! spot.

use crate::config::fault::Fault;
use crate::config::model::{Place, Placed};
use cel::Program;
use cel::common::ast::{EntryExpr, Expr as Cel, LiteralValue};
use cel::parser::{Expression, ParseErrors};

/// A parsed expression, its text and where it stands.
pub(super) struct Source<'a> {
    text: &'a Placed<String>,
    program: Program,
}

impl<'a> Source<'a> {
    pub(super) fn parse(text: &'a Placed<String>) -> Result<Source<'a>, Vec<Fault>> {
        if text.value.trim().is_empty() {
            return Err(vec![Fault::new(&text.place, "", "the expression is empty")]);
        }
        if let Some(fault) = too_much(text) {
            return Err(vec![fault]);
        }
        match parse(&text.value) {
            Some(Ok(program)) => Ok(Source { text, program }),
            Some(Err(Refused::Syntax(errors))) => Err(syntax_faults(text, &errors)),
            Some(Err(Refused::TooDeep)) => {
                let message = format!("nests deeper than {MAX_OPERATORS} operators");
                Err(vec![Fault::new(
                    &text.place,
                    one_line(&text.value),
                    message,
                )])
            }
            None => {
                let message = "the parser gave up on this expression";
                Err(vec![Fault::new(
                    &text.place,
                    one_line(&text.value),
                    message,
                )])
            }
        }
    }

    pub(super) fn root(&self) -> &Expression {
        self.program.expression()
    }

    /// A fault about a part of the expression.
    pub(super) fn fault(&self, about: &Expression, message: impl Into<String>) -> Fault {
        let (start, end) = self.range(about);
        let written: String = self
            .text
            .value
            .chars()
            .skip(start)
            .take(end + 1 - start)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        fault_at(self.text, start, written, message)
    }

    /// What is written for a literal, without the sign.
    pub(super) fn literal(&self, about: &Expression) -> String {
        let Some((start, end)) = self.offsets(about.id) else {
            return String::new();
        };
        let written = self.text.value.chars().skip(start).take(end + 1 - start);
        written.skip_while(|c| *c == '-').collect()
    }

    fn offsets(&self, id: u64) -> Option<(usize, usize)> {
        let (start, end) = self.program.source_info().offset_for(id)?;
        Some((start as usize, (end as usize).max(start as usize)))
    }

    /// First and last character of a part. The parser notes one token a node (for `a.b` the point, for `a > b` the
    /// operator); the whole is from the leftmost to the rightmost of its parts.
    fn range(&self, about: &Expression) -> (usize, usize) {
        let own = self.offsets(about.id);
        let mut range = own.unwrap_or((0, self.text.value.chars().count().saturating_sub(1)));
        let mut widen = |(start, end): (usize, usize)| {
            range = (range.0.min(start), range.1.max(end));
        };
        match &about.expr {
            Cel::Select(select) => {
                widen(self.range(&select.operand));
                if let Some((point, _)) = own
                    && !select.test
                {
                    let name = select.field.chars().count();
                    widen((point, point + name));
                }
            }
            Cel::Call(call) => {
                for part in call.target.iter().map(AsRef::as_ref).chain(&call.args) {
                    widen(self.range(part));
                }
                // A function's token is its opening parenthesis; its name stands before it.
                if let Some((open, _)) = own
                    && call.func_name.starts_with(char::is_alphabetic)
                {
                    let name = call.func_name.chars().count();
                    widen((open.saturating_sub(name), open));
                }
            }
            Cel::Literal(LiteralValue::Int(number)) if *number.inner() < 0 => {
                range.0 = self.sign_before(range.0);
            }
            Cel::Literal(LiteralValue::Double(number)) if number.inner().is_sign_negative() => {
                range.0 = self.sign_before(range.0);
            }
            Cel::Comprehension(macro_call) => widen(self.range(&macro_call.iter_range)),
            _ => {}
        }
        let last = self.text.value.chars().count().saturating_sub(1);
        self.closed((range.0.min(last), range.1.min(last)))
    }

    /// Where the minus of a number stands, which the parser leaves out of its place.
    fn sign_before(&self, start: usize) -> usize {
        let before: Vec<char> = self.text.value.chars().take(start).collect();
        let blank = before
            .iter()
            .rev()
            .take_while(|c| c.is_whitespace())
            .count();
        match before.len().checked_sub(blank + 1) {
            Some(at) if before[at] == '-' => at,
            _ => start,
        }
    }

    /// Up to the bracket that closes the last one opened.
    fn closed(&self, (start, end): (usize, usize)) -> (usize, usize) {
        let mut depth = 0i32;
        let mut quote = None;
        for (at, c) in self.text.value.chars().enumerate().skip(start) {
            match (quote, c) {
                (Some(open), _) if open == c => quote = None,
                (Some(_), _) => {}
                (None, '\'' | '"') => quote = Some(c),
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') => depth -= 1,
                (None, _) => {}
            }
            if at >= end && depth <= 0 {
                return (start, at);
            }
        }
        (start, end)
    }
}

/// The parser descends through some twenty functions for every bracket, and overflows two megabytes of stack, which
/// ends the process, before its own limit. So what it is given is bounded, and it runs on a stack that is enough.
const MAX_BRACKETS: usize = 32;
const MAX_CHARS: usize = 4_096;
const STACK: usize = 128 * 1024 * 1024;
/// Operators inside one another: `a + b + c` is two. The checker takes fewer, but even a fault about a part is found by
/// descending to it, and to let go of a tree is to descend it too, on the stack of whoever asked.
const MAX_OPERATORS: usize = 256;

fn too_much(text: &Placed<String>) -> Option<Fault> {
    let fault = |offset: usize, message: String| {
        let spot: String = text.value.chars().skip(offset).take(24).collect();
        Some(fault_at(text, offset, one_line(&spot), message))
    };
    let mut depth = 0usize;
    for (at, c) in text.value.chars().enumerate() {
        match c {
            _ if at >= MAX_CHARS => {
                let message = format!("the expression is longer than {MAX_CHARS} characters");
                return fault(at, message);
            }
            // Those inside of quotes are counted too: what is quoted is for the parser to say.
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_BRACKETS {
            return fault(at, format!("more than {MAX_BRACKETS} brackets are open"));
        }
    }
    None
}

/// `None` when the parser panicked, or the thread could not be had.
fn parse(text: &str) -> Option<Result<Program, Refused>> {
    std::thread::scope(|scope| {
        let parser = std::thread::Builder::new().name("expression".to_owned());
        let handle = parser.stack_size(STACK).spawn_scoped(scope, || {
            // Errors hold what cannot leave the thread; what is kept of them can.
            let program = Program::compile(text);
            let program = program.map_err(|errors| Refused::Syntax(Syntax::first(&errors)))?;
            match deeper(program.expression(), MAX_OPERATORS) {
                true => Err(Refused::TooDeep),
                false => Ok(program),
            }
        });
        handle.ok()?.join().ok()
    })
}

/// Whether it has more than so many parts inside one another.
fn deeper(expr: &Expression, left: usize) -> bool {
    let Some(left) = left.checked_sub(1) else {
        return true;
    };
    let deeper = |part: &Expression| deeper(part, left);
    match &expr.expr {
        Cel::Call(call) => call
            .target
            .iter()
            .map(AsRef::as_ref)
            .chain(&call.args)
            .any(deeper),
        Cel::Select(select) => deeper(&select.operand),
        Cel::List(list) => list.elements.iter().any(deeper),
        Cel::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => deeper(&entry.key) || deeper(&entry.value),
            EntryExpr::StructField(field) => deeper(&field.value),
        }),
        Cel::Struct(made) => made.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => deeper(&entry.key) || deeper(&entry.value),
            EntryExpr::StructField(field) => deeper(&field.value),
        }),
        Cel::Comprehension(each) => {
            deeper(&each.iter_range) || deeper(&each.loop_step) || deeper(&each.result)
        }
        Cel::Ident(_) | Cel::Literal(_) | Cel::Unspecified => false,
    }
}

/// Why there is no tree.
enum Refused {
    Syntax(Syntax),
    TooDeep,
}

fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

fn fault_at(
    text: &Placed<String>,
    offset: usize,
    written: impl Into<String>,
    message: impl Into<String>,
) -> Fault {
    Fault::new(&place_of(text, offset), written, message).within(&text.place, offset)
}

/// The place of a character of the expression, as far as the text alone tells. How the lines of a block are indented and
/// where a quoted text was folded is known to the file ([`Fault::within`]).
fn place_of(text: &Placed<String>, offset: usize) -> Place {
    let mut place = text.place.clone();
    for c in text.value.chars().take(offset) {
        if c == '\n' {
            place.line += 1;
            place.column = 1;
        } else {
            place.column += 1;
        }
    }
    place
}

/// The first syntax error: one wrong character makes the parser complain several times, and the first says where to
/// look.
struct Syntax {
    line: usize,
    column: usize,
    message: String,
}

impl Syntax {
    fn first(errors: &ParseErrors) -> Syntax {
        let error = errors.errors.first();
        let (line, column) = error.map_or((1, 1), |error| error.pos);
        Syntax {
            line: usize::try_from(line - 1).unwrap_or(0),
            column: usize::try_from(column - 1).unwrap_or(0),
            message: error.map(|error| error.msg.clone()).unwrap_or_default(),
        }
    }
}

fn syntax_faults(text: &Placed<String>, error: &Syntax) -> Vec<Fault> {
    let before: usize = text
        .value
        .split_inclusive('\n')
        .take(error.line)
        .map(|line| line.chars().count())
        .sum();
    let offset = before + error.column;
    let spot: String = text.value.chars().skip(offset).take(24).collect();
    let spot = spot.lines().next().unwrap_or_default().to_owned();
    let (message, hint) = plain_words(&error.message, &spot);
    let fault = fault_at(text, offset, spot, message);
    vec![match hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }]
}

fn plain_words(message: &str, spot: &str) -> (String, Option<&'static str>) {
    let hint = match spot.chars().next() {
        Some('=') => Some("equality is `==`"),
        Some('&') => Some("and is `&&`"),
        Some('|') => Some("or is `||`"),
        Some('\'' | '"') => Some("a text needs a quote at both ends"),
        Some('#') => Some("`#` begins no comment inside of an expression"),
        None => Some("the expression ends too early"),
        _ => None,
    };
    let message = match message.strip_prefix("Syntax error: ") {
        Some(_) if spot.is_empty() => "the expression ends where more is expected".to_owned(),
        Some(_) => "this is not CEL".to_owned(),
        None => message.to_owned(),
    };
    (message, hint)
}
