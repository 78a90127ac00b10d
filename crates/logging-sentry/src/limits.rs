//! What a server says about its limits.

use std::time::Duration;

/// Longer pauses than a day are taken for a mistake.
const LONGEST: u64 = 86_400;

/// The pause that one `X-Sentry-Rate-Limits` header asks of errors: entries of `seconds:categories:scope…`, where no
/// category means all.
pub(crate) fn pause_for_errors(header: &str) -> Option<Duration> {
    let pause = |entry: &str| {
        let mut parts = entry.trim().split(':');
        let seconds: u64 = parts.next()?.trim().parse().ok()?;
        let categories = parts.next().unwrap_or_default();
        let is_ours =
            categories.is_empty() || categories.split(';').any(|name| matches!(name.trim(), "error" | "default"));
        is_ours.then(|| Duration::from_secs(seconds.min(LONGEST)))
    };
    header.split(',').filter_map(pause).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_of_errors_counts() {
        for (header, expected) in [
            ("60:transaction:key, 2700:default;error;security:organization", Some(2_700)),
            ("60::organization", Some(60)),
            ("60:transaction:key", None),
            ("x:error", None),
            ("", None),
            ("99999999:error", Some(LONGEST)),
        ] {
            assert_eq!(pause_for_errors(header), expected.map(Duration::from_secs), "{header}");
        }
    }
}
