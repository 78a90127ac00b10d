//! Topics and filters (MQTT 3.1.1, section 4.7).

/// Longest topic or filter, in bytes.
pub const LONGEST: usize = 65_535;

/// Whether a message can be published to this topic.
pub fn is_topic(topic: &str) -> bool {
    is_text(topic) && !topic.contains(['+', '#'])
}

/// Whether this can be subscribed to: `+` and `#` stand alone in their level, `#` comes last.
pub fn is_filter(filter: &str) -> bool {
    let mut levels = filter.split('/').rev();
    let is_good = |level: &str| level == "+" || !level.contains(['+', '#']);
    is_text(filter) && levels.next().is_some_and(|last| last == "#" || is_good(last)) && levels.all(is_good)
}

/// Whether a topic is one of those a filter asks for.
///
/// ```
/// use mqtt_link::topic::matches;
/// assert!(matches("N/+/system/#", "N/abc/system/0/Serial"));
/// assert!(matches("a/#", "a"));
/// assert!(!matches("#", "$SYS/uptime"));
/// ```
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let (mut filters, mut levels) = (filter.split('/'), topic.split('/'));
    loop {
        match (filters.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn topics_and_filters() {
        for good in ["a", "/", "a//b", "ü/x", "$SYS/x", " a"] {
            assert!(is_topic(good) && is_filter(good), "{good}");
        }
        for good in ["#", "+", "a/#", "+/+", "a/+/b/#", "/+"] {
            assert!(!is_topic(good) && is_filter(good), "{good}");
        }
        for bad in ["", "a#", "#/a", "a+/b", "a/b+", "a/##", "a\0b"] {
            assert!(!is_topic(bad) && !is_filter(bad), "{bad:?}");
        }
        assert!(!is_topic(&"x".repeat(LONGEST + 1)));
    }

    #[test]
    fn the_examples_of_the_specification() {
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+", "/finance", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/monitor/Clients", true),
            ("a", "b", false),
            ("a/b", "a", false),
            ("ü/#", "ü/ä", true),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    proptest! {
        #[test]
        fn any_texts_are_survived(filter in ".{0,12}", topic in ".{0,12}") {
            let _ = (matches(&filter, &topic), is_topic(&topic), is_filter(&filter));
        }

        #[test]
        fn a_topic_matches_itself_and_with_any_level_replaced(levels in proptest::collection::vec("[a-zä]{0,3}", 1..5), at in any::<prop::sample::Index>()) {
            let topic = levels.join("/");
            prop_assert!(matches(&topic, &topic) && matches("#", &topic));
            let mut filter = levels;
            let at = at.index(filter.len());
            filter[at] = "+".into();
            prop_assert!(matches(&filter.join("/"), &topic));
            filter[at] = "#".into();
            filter.truncate(at + 1);
            prop_assert!(matches(&filter.join("/"), &topic));
        }
    }
}
