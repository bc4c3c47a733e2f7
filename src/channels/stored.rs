//! Names of channels in a stored state.

use super::SYSTEM;
use crate::store::{Load, Save};

/// Writes these.
pub(crate) fn save_names<'a, I: Iterator<Item = &'a str>>(
    save: &mut Save<impl FnMut(&[u8])>,
    names: impl Fn() -> I,
) {
    save.number(u32::try_from(names().count()).unwrap_or(u32::MAX));
    names().for_each(|name| save.bytes(name.as_bytes()));
}

/// Those that are read next, if they can be such.
pub(crate) fn load_names<'a>(load: &mut Load<'a>) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let count = load.number()?;
    let mut first = load.clone();
    for _ in 0..count {
        name(load)?;
    }
    Some((0..count).map_while(move |_| name(&mut first)))
}

fn name<'a>(load: &mut Load<'a>) -> Option<&'a str> {
    let name = str::from_utf8(load.bytes()?).ok()?;
    (1..=usize::from(u8::MAX)).contains(&name.len()).then_some(name).filter(|name| *name != SYSTEM)
}
