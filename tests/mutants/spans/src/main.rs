//! Where things that can be mutated begin and end: `cargo mutants --list` names an operator's place, but not its operands'.
//!
//! Prints a line for each: its kind, the file, and places as LINE:COLUMN (both from one, columns in characters):
//!
//!     binary FILE OPERATOR OPERATOR-END START END
//!     unary  FILE OPERATOR OPERAND END
//!     arm    FILE START PATTERN-END [GUARD GUARD-END]
//!     field  FILE START NEXT STRUCT STRUCT-END
//!     const  FILE START END NAME
//!
//! What cannot be chosen at run time (a constant's value, conditions with `let`) is left out.

use proc_macro2::{LineColumn, Span};
use std::{env, fs};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

struct Printer {
    file: String,
    /// How many constants we are inside of.
    constants: u32,
}

impl Printer {
    fn print(&self, kind: &str, places: &[LineColumn], name: &str) {
        let places: Vec<_> = places.iter().map(|at| format!("{}:{}", at.line, at.column + 1)).collect();
        println!("{kind} {} {} {name}", self.file, places.join(" "));
    }

    fn inside_constant(&mut self, visit: impl FnOnce(&mut Self)) {
        self.constants += 1;
        visit(self);
        self.constants -= 1;
    }
}

fn ends(span: Span) -> [LineColumn; 2] {
    [span.start(), span.end()]
}

/// Whether a condition binds names.
fn binds(condition: &syn::Expr) -> bool {
    match condition {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(both) => binds(&both.left) || binds(&both.right),
        _ => false,
    }
}

impl<'a> Visit<'a> for Printer {
    fn visit_expr_binary(&mut self, item: &'a syn::ExprBinary) {
        if self.constants == 0 && !binds(&item.left) && !binds(&item.right) {
            let places = [ends(item.op.span()), [item.left.span().start(), item.right.span().end()]];
            self.print("binary", places.as_flattened(), "");
        }
        visit::visit_expr_binary(self, item);
    }

    fn visit_expr_unary(&mut self, item: &'a syn::ExprUnary) {
        if self.constants == 0 {
            let operand = ends(item.expr.span());
            self.print("unary", &[item.op.span().start(), operand[0], operand[1]], "");
        }
        visit::visit_expr_unary(self, item);
    }

    fn visit_arm(&mut self, item: &'a syn::Arm) {
        let mut places = vec![item.span().start(), item.pat.span().end()];
        match &item.guard {
            Some((_, guard)) if binds(guard) => {}
            guard => {
                places.extend(guard.iter().flat_map(|(_, guard)| ends(guard.span())));
                self.print("arm", &places, "");
            }
        }
        visit::visit_arm(self, item);
    }

    fn visit_expr_struct(&mut self, item: &'a syn::ExprStruct) {
        if self.constants == 0 && item.rest.is_some() {
            let whole = ends(item.span());
            for pair in item.fields.pairs() {
                let next = pair.punct().map_or(pair.value().span().end(), |comma| comma.span().end());
                self.print("field", &[pair.value().span().start(), next, whole[0], whole[1]], "");
            }
        }
        visit::visit_expr_struct(self, item);
    }

    fn visit_item_const(&mut self, item: &'a syn::ItemConst) {
        self.inside_constant(|inside| visit::visit_item_const(inside, item));
    }

    fn visit_impl_item_const(&mut self, item: &'a syn::ImplItemConst) {
        self.inside_constant(|inside| visit::visit_impl_item_const(inside, item));
    }

    fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
        self.inside_constant(|inside| visit::visit_item_static(inside, item));
    }

    fn visit_signature(&mut self, item: &'a syn::Signature) {
        if let Some(keyword) = item.constness {
            self.print("const", &ends(keyword.span), &item.ident.to_string());
        }
        visit::visit_signature(self, item);
    }
}

fn main() {
    for file in env::args().skip(1) {
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        Printer { file, constants: 0 }.visit_file(&parsed);
    }
}
