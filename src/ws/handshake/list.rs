//! Values that are lists: `chat, superchat`, `permessage-deflate; client_max_window_bits, x-other`.

/// The items of a list, each with its parameters as they stand. Quoted strings are kept whole; empty items are skipped.
#[derive(Clone, Debug)]
pub struct Items<'b> {
    rest: &'b [u8],
}

impl<'b> Items<'b> {
    /// The items of a value.
    #[must_use]
    pub const fn of(value: &'b [u8]) -> Items<'b> {
        Items { rest: value }
    }
}

impl<'b> Iterator for Items<'b> {
    /// A name, and what follows its first semicolon. An item that is not ASCII has an empty name.
    type Item = (&'b str, &'b str);

    fn next(&mut self) -> Option<(&'b str, &'b str)> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let (item, rest) = cut(self.rest, b',');
            self.rest = rest;
            let (name, parameters) = cut(item, b';');
            let name = name.trim_ascii();
            if !name.is_empty() || !parameters.is_empty() {
                let text = |bytes: &'b [u8]| str::from_utf8(bytes.trim_ascii()).unwrap_or_default();
                return Some((text(name), text(parameters)));
            }
        }
    }
}

/// What is before and what is behind the first separator outside quotes.
pub(super) fn cut(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let (mut quoted, mut escaped) = (false, false);
    let end = bytes.iter().position(|&byte| {
        if escaped {
            escaped = false;
        } else {
            match byte {
                b'"' => quoted = !quoted,
                b'\\' => escaped = quoted,
                _ => return byte == separator && !quoted,
            }
        }
        false
    });
    match end.and_then(|end| bytes.split_at_checked(end)) {
        Some((before, behind)) => (before, behind.get(1..).unwrap_or_default()),
        None => (bytes, &[]),
    }
}
