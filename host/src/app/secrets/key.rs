//! Where the key of the secrets comes from: a file of the host, or a command that knows it, such as the client of a key management service.

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::seal::{KEY_BYTES, SecretKey};
use crate::app::{AppError, AppResult};
use crate::config::SecretKeySource;
use crate::files::{PrivateFile, read_private_file, write_private_file};

/// Longest text of a key: its digits, and line ends of any kind.
const TEXT_BYTES_MAX: u64 = 1_024;
/// How long a command may take to print it.
const COMMAND_MAX: Duration = Duration::from_secs(30);
/// How often is looked whether it has ended.
const PAUSE: Duration = Duration::from_millis(20);

/// What becomes of a key file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing: what was sealed was sealed elsewhere.
    Fails,
    /// A new key is made.
    IsMade,
}

/// Reads the key. Blocks.
pub(super) fn read(source: &SecretKeySource, missing: Missing) -> AppResult<Arc<SecretKey>> {
    let text = match source {
        SecretKeySource::File(path) => of_file(path, missing)?,
        SecretKeySource::Command(command) => of_command(command)?,
    };
    let bytes = digits(&text).ok_or_else(|| {
        let place = match source {
            SecretKeySource::File(path) => format!("in `{}`", path.display()),
            SecretKeySource::Command(_) => "that the command of --secret-key-command printed".to_owned(),
        };
        AppError::invalid(format!("the key of the secrets {place} is none"))
            .with_hint("a key has 64 hexadecimal digits, as `openssl rand -hex 32` prints them")
    })?;
    Ok(Arc::new(SecretKey::new(&bytes)?))
}

fn of_file(path: &Path, missing: Missing) -> AppResult<Vec<u8>> {
    let shown = path.display();
    let unusable = |cause: String, hint: &str| AppError::Invalid {
        what: format!("the key of the secrets in `{shown}` cannot be used"),
        causes: vec![cause],
        hint: Some(hint.to_owned()),
    };
    let found = read_private_file(path, TEXT_BYTES_MAX)
        .map_err(|error| unusable(error.to_string(), "--secret-key-file names another file"))?;
    match (found, missing) {
        (PrivateFile::Kept(text), _) => Ok(text),
        (PrivateFile::Exposed, _) => Err(unusable(
            "others have rights to it, so that it may be known to them".to_owned(),
            "take these rights away (chmod 600); if somebody else may have read it, set the secrets anew under another key",
        )),
        (PrivateFile::Absent, Missing::Fails) => Err(unusable(
            "there is no such file".to_owned(),
            "copy the key of the host on which the secrets were set, or set them anew",
        )),
        (PrivateFile::Absent, Missing::IsMade) => {
            let mut bytes = [0; KEY_BYTES];
            SystemRandom::new()
                .fill(&mut bytes)
                .map_err(|error| AppError::unexpected("no key of the secrets was made", error))?;
            let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).chain(["\n".to_owned()]).collect();
            write_private_file(path, text.as_bytes())
                .map_err(|error| unusable(error.to_string(), "--secret-key-file names another file"))?;
            // Somebody else may have been faster, and then theirs counts.
            of_file(path, Missing::Fails)
        }
    }
}

fn of_command(command: &str) -> AppResult<Vec<u8>> {
    let failed = |cause: String| AppError::Unreachable {
        what: "the command of --secret-key-command did not print the key of the secrets".to_owned(),
        hint: Some("it is run by `sh -c`, and prints 64 hexadecimal digits within 30 seconds".to_owned()),
        source: Some(Arc::new(std::io::Error::other(cause))),
    };
    let started = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = started.map_err(|error| failed(error.to_string()))?;
    for _ in 0..COMMAND_MAX.as_millis() / PAUSE.as_millis() {
        let Some(status) = child.try_wait().map_err(|error| failed(error.to_string()))? else {
            std::thread::sleep(PAUSE);
            continue;
        };
        if !status.success() {
            return Err(failed(status.to_string()));
        }
        let mut text = Vec::new();
        if let Some(printed) = child.stdout.take() {
            printed.take(TEXT_BYTES_MAX).read_to_end(&mut text).map_err(|error| failed(error.to_string()))?;
        }
        return Ok(text);
    }
    // It may have ended by now; either way there is nobody to wait for.
    drop(child.kill());
    drop(child.wait());
    Err(failed("it did not end".to_owned()))
}

fn digits(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if text.len() != 2 * KEY_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; KEY_BYTES];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> SecretKeySource {
        SecretKeySource::Command(text.to_owned())
    }

    #[test]
    fn a_command_prints_the_key_and_what_is_none_is_refused_without_being_shown() {
        let digits = "0123456789abcdef".repeat(4);
        read(&command(&format!("echo {digits}")), Missing::Fails).expect("a key");
        for wrong in
            ["echo hunter2", "exit 3", "true", "echo +f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f+f"]
        {
            let error = read(&command(wrong), Missing::IsMade).expect_err("no key");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
