//! Values that are lists: `chat, superchat`, `permessage-deflate; client_max_window_bits, x-other`.

use super::head::is_token;

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

/// Whether it is a list of one token or more, such as sub-protocols.
pub(super) fn are_tokens(value: &[u8]) -> bool {
    let mut items = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|item| !item.is_empty());
    items.clone().next().is_some() && items.all(is_token)
}

/// Whether it is a list of one extension or more, each with its parameters (RFC 6455, section 9.1).
pub(super) fn are_extensions(value: &[u8]) -> bool {
    let (mut rest, mut some) = (value, false);
    while !rest.is_empty() {
        let (item, behind) = cut(rest, b',');
        rest = behind;
        if !item.trim_ascii().is_empty() {
            if !is_extension(item) {
                return false;
            }
            some = true;
        }
    }
    some
}

fn is_extension(item: &[u8]) -> bool {
    let (name, mut parameters) = cut(item, b';');
    // A semicolon announces a parameter.
    let mut more = name.len() < item.len();
    while more {
        let (parameter, behind) = cut(parameters, b';');
        more = parameter.len() < parameters.len();
        parameters = behind;
        let (key, value) = cut(parameter, b'=');
        let valued = key.len() < parameter.len();
        if !is_token(key.trim_ascii()) || valued && !is_parameter_value(value.trim_ascii()) {
            return false;
        }
    }
    is_token(name.trim_ascii())
}

/// Whether it is a token, or would be one without its quotes and backslashes.
fn is_parameter_value(value: &[u8]) -> bool {
    match value.strip_prefix(b"\"").map(|value| value.strip_suffix(b"\"")) {
        None => is_token(value),
        Some(None) => false,
        Some(Some(quoted)) => {
            let (mut escaped, mut length) = (false, 0_usize);
            for &byte in quoted {
                if byte == b'\\' && !escaped {
                    escaped = true;
                } else if is_token([byte]) {
                    (escaped, length) = (false, length + 1);
                } else {
                    return false;
                }
            }
            length > 0 && !escaped
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
