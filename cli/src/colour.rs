//! Colours on a terminal: whether, and how.

/// Whether the environment has nothing against them: `NO_COLOR` is not there, or empty (<https://no-color.org>).
pub(crate) fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text in a colour, given as the parameters of SGR; or as it is.
pub(crate) fn paint(colours: bool, colour: &str, text: &str) -> String {
    match colours {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
