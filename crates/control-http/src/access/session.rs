//! Who is signed in. Only fingerprints are kept, in memory.

use super::token::{Fingerprint, same};

/// Longest life of a session, in seconds, used or not.
pub(super) const LONGEST: f64 = 30.0 * 86_400.0;
/// A session that nobody uses ends after so many seconds.
const LONGEST_UNUSED: f64 = 7.0 * 86_400.0;
/// Most sessions; the one that was not used for longest makes room.
const MOST: usize = 64;

/// The open sessions. Times are seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

#[derive(Debug)]
struct Session {
    fingerprint: Fingerprint,
    began: f64,
    used: f64,
}

impl Sessions {
    /// Opens one.
    pub(super) fn open(&mut self, fingerprint: Fingerprint, now: f64) {
        self.expire(now);
        if self.0.len() >= MOST {
            let oldest = self.0.iter().enumerate().min_by(|(_, one), (_, other)| one.used.total_cmp(&other.used));
            if let Some((index, _)) = oldest {
                self.0.swap_remove(index);
            }
        }
        self.0.push(Session { fingerprint, began: now, used: now });
    }

    /// Whether this is one that is open; it counts as used now.
    pub(super) fn is_open(&mut self, fingerprint: &Fingerprint, now: f64) -> bool {
        self.expire(now);
        let mut found = None;
        for session in &mut self.0 {
            if same(&session.fingerprint, fingerprint) {
                found = Some(session);
            }
        }
        found.map(|session| session.used = now).is_some()
    }

    /// Ends one.
    pub(super) fn close(&mut self, fingerprint: &Fingerprint) {
        self.0.retain(|session| !same(&session.fingerprint, fingerprint));
    }

    /// Ends all.
    pub(super) fn close_all(&mut self) {
        self.0.clear();
    }

    /// Ends those whose time has come; how many those were.
    pub(super) fn expire(&mut self, now: f64) -> usize {
        let before = self.0.len();
        self.0.retain(|session| now - session.began < LONGEST && now - session.used < LONGEST_UNUSED);
        before - self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_unused_after_a_week_and_in_any_case_after_a_month() {
        let day = 86_400.0;
        let mut sessions = Sessions::default();
        sessions.open([1; 32], 0.0);
        sessions.open([2; 32], 0.0);
        assert!(!sessions.is_open(&[3; 32], 1.0));
        for days in 1..5 {
            assert!(sessions.is_open(&[1; 32], f64::from(days) * 6.0 * day - 1.0), "{days}");
        }
        assert!(!sessions.is_open(&[2; 32], 24.0 * day));
        assert!(sessions.is_open(&[1; 32], 29.9 * day));
        assert!(!sessions.is_open(&[1; 32], 30.0 * day));
    }

    #[test]
    fn the_least_used_makes_room() {
        let mut sessions = Sessions::default();
        for index in 0..=64_u8 {
            sessions.open([index; 32], f64::from(index));
            sessions.is_open(&[0; 32], f64::from(index) + 0.5);
        }
        assert!(sessions.is_open(&[0; 32], 70.0));
        assert!(!sessions.is_open(&[1; 32], 70.0));
        assert!(sessions.is_open(&[64; 32], 70.0));
        sessions.close(&[64; 32]);
        assert!(!sessions.is_open(&[64; 32], 70.0));
    }
}
