//! Secrets.

use super::jobs::plugin::secrets::{Host, SecretError};
use crate::secrets::Refused;
use crate::state::Guest;

impl From<Refused> for SecretError {
    fn from(refused: Refused) -> SecretError {
        match refused {
            Refused::Denied(text) => SecretError::Denied(text),
            Refused::Missing(text) => SecretError::Missing(text),
            Refused::Unavailable(text) => SecretError::Unavailable(text),
        }
    }
}

impl Host for Guest {
    async fn placeholder(&mut self, name: String) -> Result<String, SecretError> {
        Ok(self.secret_placeholder(&name).await?)
    }

    async fn reveal(&mut self, name: String) -> Result<Vec<u8>, SecretError> {
        Ok(self.secret_reveal(&name).await?.reveal().to_vec())
    }
}
