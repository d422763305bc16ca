//! What a guest may do with secrets, call by call.

use std::sync::Arc;

use super::{Refused, Used};
use crate::denials::named;
use crate::model::{SecretName, SecretValue};
use crate::state::Guest;
use crate::work::KV_READ;

impl Guest {
    /// The text that stands for a secret in the headers of requests.
    pub(crate) async fn secret_placeholder(&mut self, name: &str) -> Result<String, Refused> {
        Ok(self.used_secret(name).await?.placeholder.clone())
    }

    /// The value of a secret, if the guest may read it.
    pub(crate) async fn secret_reveal(&mut self, name: &str) -> Result<SecretValue, Refused> {
        let used = self.used_secret(name).await?;
        let (value, may_read) = (used.value.clone(), used.grant.reveal);
        if !may_read {
            return Err(self.denied_secret(format!(
                "reading secret `{name}` is denied; `--allow-secret {name}:reveal` would allow it"
            )));
        }
        self.work.note_bytes(value.reveal().len());
        Ok(value)
    }

    fn denied_secret(&mut self, sentence: String) -> Refused {
        self.denials.refused(sentence.clone());
        Refused::Denied(sentence)
    }

    /// A granted secret, with its value.
    async fn used_secret(&mut self, text: &str) -> Result<&Used, Refused> {
        self.work.note(KV_READ);
        let Some(grant) = self.grants.secret(text).cloned() else {
            let sentence = match SecretName::new(text) {
                Ok(name) => format!("using secret `{name}` is denied; `--allow-secret {name}` would allow it"),
                Err(_) => format!("using `{}` is denied: no secret can have that name", named(text)),
            };
            return Err(self.denied_secret(sentence));
        };
        self.denials.allowed();
        if !self.secrets.used.contains_key(&grant.name) {
            let service = Arc::clone(&self.secrets.service);
            let value = service.value(&grant.name).await?.ok_or_else(|| {
                Refused::Missing(format!("secret `{text}` is not set; `host secrets set {text}` sets it"))
            })?;
            let kept = self.memory.keep(value.reveal().len() as u64).ok_or_else(|| {
                Refused::Unavailable("a secret counts as the task's memory, of which it has none left".to_owned())
            })?;
            self.output.hide(&value);
            let placeholder = self.secrets.placeholder(&grant.name);
            let used = Used { grant: grant.clone(), placeholder, value, _kept: kept };
            self.secrets.used.insert(grant.name.clone(), used);
        }
        // It was put there if it was missing.
        self.secrets.used.get(&grant.name).ok_or_else(|| Refused::Unavailable("the secret is gone".to_owned()))
    }
}
