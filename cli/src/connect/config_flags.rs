//! A flag for every number of the configuration, made from the configuration itself: `--heartbeat.interval 15s`.
//!
//! The default configuration as a TOML table is a tree; each leaf is a flag, named by its path, in the type of its default.

use std::sync::LazyLock;

use clap::builder::TypedValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgMatches, Command, FromArgMatches};
use everlink::link::Config;
use everlink::wire::Wire;
use toml::{Table, Value};

use super::config_words::words;
use super::defaults::defaults;

/// One number of the configuration.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Such as `heartbeat.interval`.
    pub(super) path: String,
    /// Of its part, in the help.
    heading: String,
    default: Value,
}

/// All of them, in the order of the configuration's fields, those outside of any part first.
pub(super) static LEAVES: LazyLock<Vec<Leaf>> = LazyLock::new(|| {
    let mut leaves = Vec::new();
    collect("", table_of(&defaults()), &mut leaves);
    // Each wire has numbers of its own; the default has those of one.
    for wire in [Wire::Native(Default::default()), Wire::Json(Default::default())] {
        let config = Config { wire, ..Config::default() };
        if let Some(Value::Table(wire)) = table_of(&config).remove("wire") {
            collect("wire", wire, &mut leaves);
        }
    }
    leaves.sort_by_key(|leaf| leaf.path.contains('.'));
    leaves
});

/// A configuration as a TOML table. Every configuration is one: each of its fields is a text, a number or a list.
pub(super) fn table_of(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

fn collect(prefix: &str, table: Table, leaves: &mut Vec<Leaf>) {
    for (name, value) in table {
        let path = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(part) => collect(&path, part, leaves),
            default => {
                let part = path.split_once('.').map_or("link", |(part, _)| part);
                leaves.push(Leaf { heading: format!("Configuration: {part}"), path, default });
            }
        }
    }
}

impl Leaf {
    /// The text on the command line as a value of the type that the default has; else as text, for words such as `forever`, and so
    /// that the configuration's own error says what it wanted; else as a number, where the default is such a word.
    fn parse(&self, text: &str) -> Result<Value, String> {
        let number = text.parse().ok().map(Value::Integer);
        let value = typed(&self.default, text).unwrap_or_else(|| Value::String(text.to_owned()));
        self.fits(&value).or_else(|error| match number {
            Some(number) => self.fits(&number).map_err(|_| error),
            None => Err(error),
        })
    }

    /// This value, if the configuration takes it here.
    fn fits(&self, value: &Value) -> Result<Value, String> {
        let mut table = Table::new();
        set(&mut table, &self.path, value.clone());
        match table.try_into::<Config>() {
            Ok(_) => Ok(value.clone()),
            Err(error) => Err(error.message().to_owned()),
        }
    }

    fn value_name(&self) -> &'static str {
        match &self.default {
            Value::Integer(_) => "NUMBER",
            Value::Boolean(_) => "BOOL",
            Value::Array(_) => "LIST",
            Value::String(text) if text == "off" || crate::flags::duration(text).is_ok() => "TIME",
            _ => "VALUE",
        }
    }

    fn shown(&self) -> String {
        match &self.default {
            Value::String(text) => text.clone(),
            Value::Array(items) => items.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            other => other.to_string(),
        }
    }

    fn arg(&'static self) -> Arg {
        Arg::new(self.path.as_str())
            .long(self.path.as_str())
            .value_name(self.value_name())
            .value_parser(Parser(self))
            .allow_hyphen_values(true)
            .hide_short_help(true)
            .help(format!("{} [default: {}]", words(&self.path), self.shown()))
            .help_heading(self.heading.as_str())
    }
}

fn typed(like: &Value, text: &str) -> Option<Value> {
    match like {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(items) => {
            let like = items.first();
            let item = |text: &str| {
                let text = text.trim();
                like.and_then(|like| typed(like, text)).unwrap_or_else(|| Value::String(text.to_owned()))
            };
            Some(Value::Array(text.split(',').filter(|text| !text.trim().is_empty()).map(item).collect()))
        }
        Value::String(_) | Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// Sets what is at `path`, making the tables on the way.
pub(super) fn set(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => drop(table.insert(path.to_owned(), value)),
        Some((part, rest)) => {
            let part = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(part) = part {
                set(part, rest, value);
            }
        }
    }
}

/// Overrides what is in `table` by what is in `over`.
pub(super) fn merge(table: &mut Table, over: Table) {
    for (name, value) in over {
        match (table.get_mut(&name), value) {
            (Some(Value::Table(below)), Value::Table(over)) => merge(below, over),
            (_, value) => drop(table.insert(name, value)),
        }
    }
}

#[derive(Clone, Copy)]
struct Parser(&'static Leaf);

impl TypedValueParser for Parser {
    type Value = Value;

    fn parse_ref(
        &self,
        command: &Command,
        _: Option<&Arg>,
        text: &std::ffi::OsStr,
    ) -> Result<Value, clap::Error> {
        let text = text.to_string_lossy();
        self.0.parse(&text).map_err(|problem| {
            let flag = format!("--{}", self.0.path);
            let mut error = clap::Error::raw(
                ErrorKind::ValueValidation,
                format!("invalid value '{}' for '{flag}': {problem}\n", text.escape_debug()),
            )
            .with_cmd(command);
            error.insert(ContextKind::InvalidArg, ContextValue::String(flag));
            error
        })
    }
}

/// The flags that were given, as a table like that of a configuration file.
#[derive(Debug, Default)]
pub(super) struct ConfigFlags(pub(super) Table);

impl clap::Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        command.args(LEAVES.iter().map(Leaf::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        ConfigFlags::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<ConfigFlags, clap::Error> {
        let mut table = Table::new();
        for leaf in LEAVES.iter() {
            if let Some(value) = matches.get_one::<Value>(&leaf.path) {
                set(&mut table, &leaf.path, value.clone());
            }
        }
        Ok(ConfigFlags(table))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        merge(&mut self.0, ConfigFlags::from_arg_matches(matches)?.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_flag_that_reads_its_own_default_and_is_documented() {
        assert!(LEAVES.len() > 40, "{}", LEAVES.len());
        for leaf in LEAVES.iter() {
            assert_eq!(leaf.parse(&leaf.shown()).as_ref(), Ok(&leaf.default), "{}", leaf.path);
            assert!(!words(&leaf.path).is_empty(), "{} has no words", leaf.path);
        }
    }

    #[test]
    fn words_that_stand_for_numbers_are_read() {
        let leaf = |path| LEAVES.iter().find(|leaf| leaf.path == path).unwrap();
        assert!(leaf("backoff.attempts").parse("forever").is_ok());
        assert_eq!(leaf("backoff.attempts").parse("3"), Ok(Value::Integer(3)));
        assert!(
            leaf("backoff.attempts").parse("some").unwrap_err().contains("a whole number or \"forever\"")
        );
        assert!(leaf("outbox.age").parse("off").is_ok());
        assert!(leaf("backoff.ratio").parse("3/2").is_ok());
        assert!(leaf("retry.final_close").parse("").is_ok());
        assert!(leaf("retry.final_close").parse("1002,x").is_err());
        assert!(leaf("heartbeat.interval").parse("15").unwrap_err().contains("a duration with its unit"));
    }
}
