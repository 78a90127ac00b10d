//! What changed between two snapshots, as a JSON merge patch (RFC 7396).

use serde_json::{Map, Value};

/// The patch that turns `old` into `new`; `None` when they are equal.
///
/// A value that became `null` is `null` in the patch. RFC 7396 reads that as "remove", and in a snapshot an absent value and
/// `null` mean the same. Lists are sent whole.
pub(super) fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return Some(new.clone()) };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(before) => patch.extend(difference(before, value).map(|value| (key.clone(), value))),
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// RFC 7396, section 2, except that `null` stays, as the page reads it.
    fn apply(target: &mut Value, patch: &Value) {
        let (Value::Object(fields), Value::Object(changes)) = (&mut *target, patch) else {
            *target = patch.clone();
            return;
        };
        for (key, change) in changes {
            apply(fields.entry(key.clone()).or_insert(Value::Null), change);
        }
    }

    #[test]
    fn a_patch_holds_what_changed_and_leads_to_the_new_value() {
        let old = json!({"a": 1, "b": {"c": 2, "d": [1, 2]}, "e": null, "f": {"g": 1}});
        let new = json!({"a": 1, "b": {"c": 3, "d": [1, 3]}, "e": {"x": 1}, "f": null});
        let patch = difference(&old, &new).expect("they differ");
        assert_eq!(patch, json!({"b": {"c": 3, "d": [1, 3]}, "e": {"x": 1}, "f": null}));
        let mut patched = old.clone();
        apply(&mut patched, &patch);
        assert_eq!(patched, new);
        assert_eq!(difference(&new, &new), None);
    }
}
