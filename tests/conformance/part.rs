//! An expression as a tree, so that one that fails can be made smaller, and printed with or without a deliberate mistake.

use std::fmt::Write;

/// The type of a part of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Ty {
    Bool,
    Int,
    Double,
    Text,
    Bytes,
    Timestamp,
    Duration,
    List(Box<Ty>),
    Map(Box<Ty>),
    /// What `items` is a list of.
    Item,
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) ty: Ty,
    pub(crate) what: What,
    pub(crate) args: Vec<Part>,
}

/// What a part does with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A literal or a variable of a comprehension.
    Atom(String),
    /// A field, by its path.
    Field(String),
    Prefix(&'static str),
    Infix(&'static str),
    Call(&'static str),
    /// The first argument is in front.
    Method(&'static str),
    Index,
    Ternary,
    List,
    /// With these keys.
    Map(Vec<String>),
    /// The first argument is what it goes over, the variable's name stands here.
    Macro(&'static str, String),
}

/// How an expression is printed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    /// What stands before a field's name.
    pub(crate) before: &'static str,
    /// `&&` and `||` as conditionals: the left one first, and its error is the result.
    pub(crate) in_order: bool,
    /// A mistake: this operator or function is printed as the other.
    pub(crate) mistake: Option<(&'static str, &'static str)>,
}

impl Part {
    pub(crate) fn print(&self, style: Style) -> String {
        let mut out = String::new();
        self.write(style, &mut out).expect("memory");
        out
    }

    fn write(&self, style: Style, out: &mut String) -> std::fmt::Result {
        let wrong = |word: &'static str| match style.mistake {
            Some((right, wrong)) if right == word => wrong,
            _ => word,
        };
        let list = |parts: &[Part], out: &mut String| -> std::fmt::Result {
            for (nth, part) in parts.iter().enumerate() {
                if nth > 0 {
                    out.push_str(", ");
                }
                part.write(style, out)?;
            }
            Ok(())
        };
        let args = &self.args;
        match &self.what {
            What::Atom(text) => out.push_str(text),
            What::Field(path) => {
                out.push_str(style.before);
                out.push_str(path);
            }
            What::Prefix(operator) => {
                write!(out, "{operator}(")?;
                args[0].write(style, out)?;
                out.push(')');
            }
            What::Infix(operator) => {
                let operator = wrong(operator);
                out.push('(');
                args[0].write(style, out)?;
                match (operator, style.in_order) {
                    ("&&", true) => out.push_str(" ? "),
                    ("||", true) => out.push_str(" ? true : "),
                    _ => write!(out, " {operator} ")?,
                }
                args[1].write(style, out)?;
                if operator == "&&" && style.in_order {
                    out.push_str(" : false");
                }
                out.push(')');
            }
            What::Call(name) => {
                write!(out, "{}(", wrong(name))?;
                list(args, out)?;
                out.push(')');
            }
            What::Method(name) => {
                args[0].write(style, out)?;
                write!(out, ".{}(", wrong(name))?;
                list(&args[1..], out)?;
                out.push(')');
            }
            What::Index => {
                args[0].write(style, out)?;
                out.push('[');
                args[1].write(style, out)?;
                out.push(']');
            }
            What::Ternary => {
                out.push('(');
                args[0].write(style, out)?;
                out.push_str(" ? ");
                args[1].write(style, out)?;
                out.push_str(" : ");
                args[2].write(style, out)?;
                out.push(')');
            }
            What::List => {
                out.push('[');
                list(args, out)?;
                out.push(']');
            }
            What::Map(keys) => {
                out.push('{');
                for (nth, (key, value)) in keys.iter().zip(args).enumerate() {
                    if nth > 0 {
                        out.push_str(", ");
                    }
                    write!(out, "{key}: ")?;
                    value.write(style, out)?;
                }
                out.push('}');
            }
            What::Macro(name, variable) => {
                args[0].write(style, out)?;
                write!(out, ".{}({variable}, ", wrong(name))?;
                list(&args[1..], out)?;
                out.push(')');
            }
        }
        Ok(())
    }

    /// The same with a part replaced by one of its own arguments of the same type: every way to do so.
    pub(crate) fn smaller(&self) -> Vec<Part> {
        let mut ways: Vec<Part> = Vec::new();
        for arg in &self.args {
            // What stands inside a comprehension may name its variable.
            if arg.ty == self.ty && !matches!(self.what, What::Macro(..)) {
                ways.push(arg.clone());
            }
        }
        if matches!(self.what, What::Macro(..)) && self.args[0].ty == self.ty {
            ways.push(self.args[0].clone());
        }
        for (nth, arg) in self.args.iter().enumerate() {
            for way in arg.smaller() {
                let mut whole = self.clone();
                whole.args[nth] = way;
                ways.push(whole);
            }
        }
        ways
    }

    /// Whether any part is such a one.
    pub(crate) fn any(&self, is: &dyn Fn(&Part) -> bool) -> bool {
        is(self) || self.args.iter().any(|arg| arg.any(is))
    }
}

/// A part of these.
pub(crate) fn part(ty: Ty, what: What, args: Vec<Part>) -> Part {
    Part { ty, what, args }
}
