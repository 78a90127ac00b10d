//! Where unpredictable bytes come from.

/// The source of unpredictable bytes failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the system gave no random bytes, without which nothing can be signed: restart the computer, or update its kernel"
)]
pub struct NoRandomness;

/// A source of unpredictable bytes.
///
/// # For those who implement it
/// Outside tests the bytes must be unpredictable to others and must never repeat: nonces are made of them.
///
/// # For those who call it
/// It may block for a moment right after the computer has started.
pub trait Random {
    /// Fills `bytes`.
    ///
    /// # Errors
    /// When there are none to be had; `bytes` must then not be used.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The system's own source.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(bytes).map_err(|_| NoRandomness)
    }
}

/// An array full of unpredictable bytes.
pub(crate) fn random_array<const N: usize>(random: &mut dyn Random) -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    random.fill(&mut bytes)?;
    Ok(bytes)
}
