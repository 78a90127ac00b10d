//! TeslaMate's access token, fetched from its database.
//!
//! Only the column `access` is asked for. The refresh token stays where it is: whoever uses it makes TeslaMate's own copy
//! worthless. The token is TeslaMate's, so it reads, and commands nothing on cars that want signed commands.

use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cell::{self, CellError};

/// TWCManager's rhythm. TeslaMate renews a token of eight hours after about six, so that this always finds a good one.
const EVERY: Duration = Duration::from_secs(3600);
/// After a failure, doubling up to the rhythm.
const FIRST_RETRY: Duration = Duration::from_secs(60);
/// Asked to look again, it looks at most this often.
const AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// TeslaMate's database, and the key of its tokens. `Debug` shows neither password nor key.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// Host.
    pub host: String,
    /// Port, 5432 usually.
    pub port: u16,
    /// Database, `teslamate` usually.
    pub name: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
    /// TeslaMate's `ENCRYPTION_KEY`.
    pub encryption_key: String,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({}:***@{}:{}/{})", self.user, self.host, self.port, self.name)
    }
}

/// An access token. `Debug` prints stars.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    token: String,
    /// When it ends, as it says itself.
    pub expires_at: Option<SystemTime>,
}

impl AccessToken {
    fn new(token: String) -> Self {
        let expires_at = expiry(&token);
        AccessToken { token, expires_at }
    }

    /// The token itself, for the one place that has to send it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.token
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(***)")
    }
}

/// `exp` of a JSON web token.
fn expiry(token: &str) -> Option<SystemTime> {
    let body = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&body).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(claims.get("exp")?.as_u64()?))
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The sample's key, or none.
    #[error(
        "vehicle.TeslaMate.encryption_key is missing or still the sample's; copy ENCRYPTION_KEY from TeslaMate's \
         docker-compose.yml or environment, or set vehicle.TeslaMate.syncTokens to false"
    )]
    NoKey,
    /// The database does not answer, or wants TLS.
    #[error(
        "TeslaMate's database at {address} cannot be used: {detail}; look at vehicle.TeslaMate.db_host and db_port, and \
         whether its port is open to this computer (in docker-compose.yml: `ports: [\"5432:5432\"]`)"
    )]
    Unreachable {
        /// Host and port.
        address: String,
        /// What went wrong.
        detail: String,
    },
    /// User or password.
    #[error(
        "TeslaMate's database refuses vehicle.TeslaMate.db_user and db_pass; take them from its docker-compose.yml"
    )]
    Denied,
    /// Not TeslaMate's.
    #[error(
        "there is no table of TeslaMate's tokens in the database: {0}; look at vehicle.TeslaMate.db_name and the rights of db_user"
    )]
    NotTeslaMate(String),
    /// Nobody signed in.
    #[error("TeslaMate has no login to Tesla; sign in on TeslaMate's own page")]
    NotSignedIn,
    /// The cell.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// Built without the client.
    #[error("this build cannot speak to databases of TeslaMate; set vehicle.TeslaMate.syncTokens to false")]
    NotBuilt,
}

/// Fetches the access token. Blocks for some seconds at most when the database hangs.
///
/// # Errors
/// [`TokenError`].
pub fn fetch(database: &Database) -> Result<AccessToken, TokenError> {
    // "chanegme" is how TWCManager's sample spells it.
    if ["", "chanegme", "changeme", "secretkey"].contains(&database.encryption_key.trim()) {
        return Err(TokenError::NoKey);
    }
    let cell = fetch_cell(database)?;
    Ok(AccessToken::new(cell::decrypt(&cell, &database.encryption_key)?))
}

#[cfg(not(feature = "database"))]
fn fetch_cell(_: &Database) -> Result<Vec<u8>, TokenError> {
    Err(TokenError::NotBuilt)
}

#[cfg(feature = "database")]
fn fetch_cell(database: &Database) -> Result<Vec<u8>, TokenError> {
    use postgres::error::SqlState;

    /// To connect, and for the one question.
    const PATIENCE: Duration = Duration::from_secs(5);
    const QUESTION: &str = "SELECT access FROM private.tokens ORDER BY updated_at DESC LIMIT 1";

    let address = format!("{}:{}", database.host, database.port);
    let failed = |error: postgres::Error| {
        let said = error.as_db_error().map(|error| error.message().to_owned());
        match error.code() {
            Some(code)
                if [&SqlState::INVALID_PASSWORD, &SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(&code) =>
            {
                match said {
                    Some(said) if said.contains("pg_hba") => {
                        TokenError::Unreachable { address: address.clone(), detail: said }
                    }
                    _ => TokenError::Denied,
                }
            }
            Some(code)
                if [
                    &SqlState::INVALID_CATALOG_NAME,
                    &SqlState::INVALID_SCHEMA_NAME,
                    &SqlState::UNDEFINED_TABLE,
                    &SqlState::UNDEFINED_COLUMN,
                    &SqlState::INSUFFICIENT_PRIVILEGE,
                ]
                .contains(&code) =>
            {
                TokenError::NotTeslaMate(said.unwrap_or_default())
            }
            _ => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
                TokenError::Unreachable { address: address.clone(), detail: said.unwrap_or(format!("{error}{cause}")) }
            }
        }
    };
    let mut client = postgres::Config::new()
        .host(&database.host)
        .port(database.port)
        .dbname(&database.name)
        .user(&database.user)
        .password(&database.password)
        .application_name("twcmanager")
        .options("-c statement_timeout=5000 -c default_transaction_read_only=on")
        .connect_timeout(PATIENCE)
        .tcp_user_timeout(PATIENCE)
        .connect(postgres::NoTls)
        .map_err(failed)?;
    let row = client.query_opt(QUESTION, &[]).map_err(failed)?.ok_or(TokenError::NotSignedIn)?;
    let cell: Option<Vec<u8>> = row.try_get(0).map_err(failed)?;
    cell.ok_or(TokenError::NotSignedIn)
}

/// Fetches the token again and again, on a thread of its own, and tells each new one and each new failure. Ends with this
/// value, within some seconds.
pub struct Keeper {
    look: Option<SyncSender<()>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeper")
    }
}

impl Keeper {
    /// Starts with a first look. `told` is called on the thread, when the token or the failure differs from the last.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        database: Database,
        told: impl FnMut(Result<AccessToken, TokenError>) + Send + 'static,
    ) -> Result<Self, std::io::Error> {
        let (look, asked) = sync_channel(1);
        std::thread::Builder::new().name("TeslaMate tokens".into()).spawn(move || keep(&database, &asked, told))?;
        Ok(Keeper { look: Some(look) })
    }

    /// Looks again soon: Tesla refused the token. At most once a minute.
    pub fn look_again(&self) {
        if let Some(look) = &self.look {
            // One wish that waits is enough.
            let _ = look.try_send(());
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.look = None;
    }
}

fn keep(database: &Database, asked: &Receiver<()>, mut told: impl FnMut(Result<AccessToken, TokenError>)) {
    let mut last = None;
    let mut retry = FIRST_RETRY;
    loop {
        let looked_at = Instant::now();
        let found = fetch(database);
        let pause = match &found {
            Ok(_) => {
                retry = FIRST_RETRY;
                EVERY
            }
            Err(_) => {
                let pause = retry;
                retry = retry.saturating_mul(2).min(EVERY);
                pause
            }
        };
        if last.as_ref() != Some(&found) {
            last = Some(found.clone());
            told(found);
        }
        match asked.recv_timeout(pause) {
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) => {
                let early = AT_MOST_EVERY.saturating_sub(looked_at.elapsed());
                // Further wishes meanwhile are fulfilled with this one.
                let end = Instant::now() + early;
                while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                    if asked.recv_timeout(left) == Err(RecvTimeoutError::Disconnected) {
                        return;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database(encryption_key: &str) -> Database {
        Database {
            host: "127.0.0.1".into(),
            port: 1,
            name: "teslamate".into(),
            user: "teslamate".into(),
            password: "hunter2-password".into(),
            encryption_key: encryption_key.into(),
        }
    }

    #[test]
    fn nothing_shows_a_secret() {
        let database = database("very-secret-key");
        let token = AccessToken::new("eyJ.access.token".into());
        let shown = format!("{database:?} {token:?} {:?} {}", fetch(&database), fetch(&database).unwrap_err());
        for secret in ["hunter2", "very-secret-key", "eyJ.access"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(token.reveal(), "eyJ.access.token");
    }

    #[test]
    fn a_token_tells_its_end() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"exp": 1735725600}"#);
        let end = AccessToken::new(format!("eyJ.{claims}.sig")).expires_at.unwrap();
        assert_eq!(end.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 1_735_725_600);
        assert_eq!(AccessToken::new("opaque".into()).expires_at, None);
    }

    #[test]
    fn the_samples_key_is_pointed_out_before_anything_is_asked() {
        for key in ["", "chanegme"] {
            assert_eq!(fetch(&database(key)), Err(TokenError::NoKey));
        }
    }

    #[cfg(feature = "database")]
    #[test]
    fn a_database_that_is_away_names_its_keys() {
        let text = fetch(&database("a-key")).unwrap_err().to_string();
        assert!(text.contains("vehicle.TeslaMate.db_host") && text.contains("127.0.0.1:1"), "{text}");
    }
}
