//! From the words of the process to the arguments of a command, where clap alone would mislead somebody:
//!
//! * An environment variable that is set to nothing counts as not set.
//! * A value that begins with a minus and a digit is a value, so that whoever reads it can say what is wrong with it.
//! * A wrong value that came from the environment is told with the name of its variable.

use std::ffi::{OsStr, OsString};

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command, Error, FromArgMatches};

/// Arguments that fit their command.
pub(super) struct Parsed {
    command: Command,
    matches: ArgMatches,
}

/// Reads the words that the process was started with, and its environment.
///
/// # Errors
/// Clap's, to be printed; help and version are among them.
pub(super) fn parse(command: Command) -> Result<Parsed, Error> {
    let mut command = without_empty_variables(command);
    let words = with_joined_negatives(std::env::args_os());
    match command.try_get_matches_from_mut(words.clone()) {
        Ok(matches) => Ok(Parsed { command, matches }),
        Err(error) => Err(with_variable(error, &command, &words)),
    }
}

impl Parsed {
    /// The arguments as a type that was derived for them.
    pub(super) fn into<T: FromArgMatches>(mut self) -> Result<T, Error> {
        T::from_arg_matches_mut(&mut self.matches).map_err(|error| error.format(&mut self.command))
    }
}

fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|arg| {
            let is_empty = arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
            if is_empty { arg.env(None::<&'static str>) } else { arg }
        })
        .mut_subcommands(without_empty_variables)
}

/// `--interval -5s` becomes `--interval=-5s`, which clap does not take for a flag of the name `-5`.
fn with_joined_negatives(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut words = words.into_iter();
    for word in words.by_ref() {
        if word == "--" {
            joined.push(word);
            break;
        }
        let is_negative = matches!(word.as_encoded_bytes(), [b'-', b'0'..=b'9', ..]);
        match joined.last_mut().filter(|flag| is_negative && is_open_flag(flag)) {
            Some(flag) => {
                flag.push("=");
                flag.push(word);
            }
            None => joined.push(word),
        }
    }
    joined.extend(words);
    joined
}

/// `--name` without a value.
fn is_open_flag(word: &OsStr) -> bool {
    let bytes = word.as_encoded_bytes();
    bytes.starts_with(b"--") && bytes.len() > 2 && !bytes.contains(&b'=')
}

/// The error, with the variable that the faulty value came from, where it came from one.
fn with_variable(mut error: Error, command: &Command, words: &[OsString]) -> Error {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (Some(usage), Some(value)) = (named(ContextKind::InvalidArg), named(ContextKind::InvalidValue)) else {
        return error;
    };
    let Some(flag) = usage.split([' ', '=']).next().filter(|flag| flag.starts_with("--")) else { return error };
    let is_typed = words.iter().any(|word| {
        let rest = word.as_encoded_bytes().strip_prefix(flag.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
    });
    let argument = find(command, &flag[2..]);
    let delimiter = argument.and_then(Arg::get_value_delimiter);
    let variable = argument
        .and_then(Arg::get_env)
        .filter(|name| std::env::var_os(name).is_some_and(|found| found == *value || lists(&found, delimiter, value)));
    if let Some(variable) = variable.filter(|_| !is_typed) {
        let tip = format!("the value comes from the environment variable {}", variable.to_string_lossy());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
    error
}

/// Whether a variable that holds a list has this value in it.
fn lists(found: &OsStr, delimiter: Option<char>, value: &str) -> bool {
    delimiter.zip(found.to_str()).is_some_and(|(delimiter, found)| found.split(delimiter).any(|part| part == value))
}

/// The argument of that long name, in the command or one inside of it.
fn find<'a>(command: &'a Command, long: &str) -> Option<&'a Arg> {
    let own = command.get_arguments().find(|arg| arg.get_long() == Some(long) && arg.get_env().is_some());
    own.or_else(|| command.get_subcommands().find_map(|inner| find(inner, long)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_negative_value_is_joined_to_its_flag_and_nothing_else_is() {
        let joined = |words: &str| {
            with_joined_negatives(words.split(' ').map(OsString::from)).join(OsStr::new(" ")).into_string()
        };
        for (words, expected) in [
            ("host schedule t --interval -5s", "host schedule t --interval=-5s"),
            ("host submit t --priority -5 --json", "host submit t --priority=-5 --json"),
            ("host submit t --arg=n -5", "host submit t --arg=n -5"),
            ("host submit t --json -v", "host submit t --json -v"),
            ("host jobs -n -5", "host jobs -n -5"),
            ("host submit -- --interval -5s", "host submit -- --interval -5s"),
        ] {
            assert_eq!(joined(words), Ok(expected.into()), "{words}");
        }
    }
}
