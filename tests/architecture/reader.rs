//! What the code names: the paths that the compiler would see, through `use`, written out, and inside macros. What stands
//! under `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

/// Stands for an `unsafe` block, function, trait or implementation.
pub(crate) const UNSAFE: &str = "unsafe";

/// `what` is named at a line of a module. Items count as modules, so that a rule may speak of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) module: String,
    pub(crate) what: String,
    pub(crate) place: String,
}

/// The text of a file, if it is there.
type Open = dyn Fn(&Path) -> Option<String>;

/// Reads the tree of modules below a root file; test modules are left out.
pub(crate) struct Reader {
    pub(crate) named: BTreeSet<Named>,
    /// The files that were read.
    pub(crate) read: BTreeSet<PathBuf>,
    /// Where modules stand that are declared under `#[cfg(test)]`: a file, and a folder with what is below it.
    pub(crate) tests: BTreeSet<PathBuf>,
    /// Where files come from: the disk, or a test.
    pub(crate) open: Box<Open>,
}

impl Reader {
    pub(crate) fn of(open: impl Fn(&Path) -> Option<String> + 'static) -> Reader {
        Reader {
            named: BTreeSet::new(),
            read: BTreeSet::new(),
            tests: BTreeSet::new(),
            open: Box::new(open),
        }
    }

    /// Whether a file is no code of the product.
    pub(crate) fn is_test(&self, path: &Path) -> bool {
        self.tests.iter().any(|test| path.starts_with(test))
    }

    /// Reads a file and those of the modules that it declares; `children` is the folder of these.
    pub(crate) fn file(&mut self, path: &Path, module: &[String], children: &Path) {
        let text = (self.open)(path).unwrap_or_else(|| panic!("{}: not there", path.display()));
        let file =
            syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        self.read.insert(path.to_owned());
        self.items(&file.items, path, module, children);
    }

    fn items(&mut self, items: &[syn::Item], path: &Path, module: &[String], children: &Path) {
        let mut names = BTreeMap::new();
        let mut imports = Vec::new();
        for item in items.iter().filter(|item| !is_test(attributes(item))) {
            if let syn::Item::Use(item) = item {
                flatten(&item.tree, &mut Vec::new(), &mut imports);
            }
        }
        for (segments, alias) in imports {
            names.insert(alias, absolute(&segments, module, &BTreeMap::new()));
        }
        for item in items {
            if is_test(attributes(item)) {
                if let syn::Item::Mod(inner) = item {
                    let folder = children.join(inner.ident.to_string());
                    self.tests.insert(folder.with_extension("rs"));
                    self.tests.insert(folder);
                }
                continue;
            }
            if let syn::Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                let below = [module, std::slice::from_ref(&name)].concat();
                let folder = children.join(&name);
                if let Some((_, items)) = &inner.content {
                    self.items(items, path, &below, &folder);
                } else {
                    let flat = children.join(format!("{name}.rs"));
                    let file = match (self.open)(&flat) {
                        Some(_) => flat,
                        None => folder.join("mod.rs"),
                    };
                    self.file(&file, &below, &folder);
                }
                continue;
            }
            let mut walk = Walk {
                path,
                item: item_name(item),
                module,
                names: &names,
                named: &mut self.named,
            };
            walk.visit_item(item);
        }
    }
}

/// The paths that an item names.
struct Walk<'a> {
    path: &'a Path,
    item: Option<String>,
    module: &'a [String],
    /// What `use` gave a name to.
    names: &'a BTreeMap<String, Vec<String>>,
    named: &'a mut BTreeSet<Named>,
}

impl Walk<'_> {
    fn note(&mut self, what: String, line: usize) {
        let mut module = match self.module {
            [] if self.path.ends_with("main.rs") => vec!["main".to_owned()],
            [] => vec!["lib".to_owned()],
            module => module.to_vec(),
        };
        module.extend(self.item.clone());
        self.named.insert(Named {
            module: module.join("::"),
            what,
            place: format!("{}:{line}", self.path.display()),
        });
    }

    fn segments(&mut self, segments: &[String], line: usize) {
        let what = absolute(segments, self.module, self.names).join("::");
        self.note(what, line);
    }

    /// The paths that stand in a macro's arguments, which no parser but the macro's own can read.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        let mut colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Ident(ident) => {
                    if ident == "unsafe" {
                        self.note(UNSAFE.to_owned(), ident.span().start().line);
                    }
                    if colons < 2 {
                        self.end(&mut path, line);
                        line = ident.span().start().line;
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                other => {
                    self.end(&mut path, line);
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                }
            }
        }
        self.end(&mut path, line);
    }

    fn end(&mut self, path: &mut Vec<String>, line: usize) {
        if path.len() > 1 {
            self.segments(path, line);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Walk<'_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut imports = Vec::new();
        flatten(&item.tree, &mut Vec::new(), &mut imports);
        for (segments, _) in imports {
            let what = absolute(&segments, self.module, &BTreeMap::new()).join("::");
            self.note(what, item.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.segments(&segments, path.span().start().line);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        visit::visit_macro(self, call);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        // `derive(…)` and such name what they need; the paths of lints are no code.
        if attribute.path().is_ident("derive")
            && let syn::Meta::List(list) = &attribute.meta
        {
            self.tokens(list.tokens.clone());
        }
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.note(UNSAFE.to_owned(), block.span().start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        if signature.unsafety.is_some() {
            self.note(UNSAFE.to_owned(), signature.span().start().line);
        }
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        if item.unsafety.is_some() {
            self.note(UNSAFE.to_owned(), item.span().start().line);
        }
        visit::visit_item_impl(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.note(UNSAFE.to_owned(), item.span().start().line);
        visit::visit_item_foreign_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }
}

/// Every path that a `use` brings in, with the name that it gets.
fn flatten(tree: &syn::UseTree, prefix: &mut Vec<String>, out: &mut Vec<(Vec<String>, String)>) {
    let whole = |prefix: &[String], last: &str| -> Vec<String> {
        let mut path = prefix.to_vec();
        if last != "self" || path.is_empty() {
            path.push(last.to_owned());
        }
        path
    };
    match tree {
        syn::UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, out);
            prefix.pop();
        }
        syn::UseTree::Name(name) => {
            let path = whole(prefix, &name.ident.to_string());
            let alias = path.last().cloned().unwrap_or_default();
            out.push((path, alias));
        }
        syn::UseTree::Rename(rename) => {
            let path = whole(prefix, &rename.ident.to_string());
            out.push((path, rename.rename.to_string()));
        }
        syn::UseTree::Glob(_) => out.push((whole(prefix, "*"), "*".to_owned())),
        syn::UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, prefix, out);
            }
        }
    }
}

/// A path as it would be written from anywhere.
fn absolute(
    segments: &[String],
    module: &[String],
    names: &BTreeMap<String, Vec<String>>,
) -> Vec<String> {
    let mut here = module.to_vec();
    let mut rest = segments;
    let mut relative = false;
    while let [first, more @ ..] = rest {
        match first.as_str() {
            "super" => {
                here.pop();
            }
            "self" => {}
            _ => break,
        }
        relative = true;
        rest = more;
    }
    if relative {
        return [&["crate".to_owned()], here.as_slice(), rest].concat();
    }
    match segments {
        // The library's name, as the program's own file writes it.
        [first, rest @ ..] if first == "driftgate" => [&["crate".to_owned()], rest].concat(),
        [first, rest @ ..] if names.contains_key(first) => [&names[first], rest].concat(),
        _ => segments.to_vec(),
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn item_name(item: &syn::Item) -> Option<String> {
    match item {
        syn::Item::Enum(item) => Some(item.ident.to_string()),
        syn::Item::Fn(item) => Some(item.sig.ident.to_string()),
        syn::Item::Struct(item) => Some(item.ident.to_string()),
        _ => None,
    }
}

/// `#[cfg(test)]`, alone or in an `all(…)`; a `not(test)` is code.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<TokenStream>().is_ok_and(says_test)
    })
}

fn says_test(tokens: TokenStream) -> bool {
    let mut all = false;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if ident == "test" => return true,
            TokenTree::Ident(ident) => all = ident == "all",
            TokenTree::Group(group) if all && says_test(group.stream()) => return true,
            _ => {}
        }
    }
    false
}
