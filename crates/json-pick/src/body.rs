//! From a whole body to a number: what sources of single values share.

use crate::doc::Doc;
use crate::number::{Measure, parse_number};

/// The number in `body`: plain text with or without a unit, or JSON in which `pick` is its path.
///
/// `None` where the sender says that it has no value now (`null`, `unavailable`, nothing at all).
///
/// # Errors
/// A sentence that says what was found instead.
pub fn number_in(body: &str, pick: Option<&str>) -> Result<Option<f64>, String> {
    if body.trim_start().starts_with('<') {
        return Err("the answer is a web page, not a number; open the address in a browser and look at it".to_owned());
    }
    let measure = match pick {
        None => parse_number(body).map_err(|fault| format!("the answer is not a number: {fault}"))?,
        Some(path) => {
            let value: serde_json::Value =
                serde_json::from_str(body).map_err(|error| format!("the answer is not JSON: {error}"))?;
            Doc::new(&value).measure(path).map_err(|error| error.to_string())?
        }
    };
    measure.map(in_base_unit).transpose()
}

fn in_base_unit(measure: Measure) -> Result<f64, String> {
    match measure.watts() {
        Some(watts) => Ok(watts),
        None if measure.is_in_base_unit() => Ok(measure.value),
        None => Err(format!(
            "the answer has a unit that is neither of power nor percent: `{}`",
            measure.unit.unwrap_or_default()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::number_in as number;

    #[test]
    fn plain_numbers_and_numbers_with_a_unit() {
        assert_eq!(number("1543", None), Ok(Some(1543.0)));
        assert_eq!(number(" 1543.2 W\n", None), Ok(Some(1543.2)));
        assert_eq!(number("1.5 kW", None), Ok(Some(1500.0)));
        assert_eq!(number("-20", None), Ok(Some(-20.0)));
    }

    #[test]
    fn a_number_inside_json() {
        assert_eq!(number(r#"{"data":{"power":"12.5"}}"#, Some("data.power")), Ok(Some(12.5)));
        assert_eq!(number(r#"{"data":{"power":null}}"#, Some("data.power")), Ok(None));
    }

    #[test]
    fn no_value_is_not_zero() {
        assert_eq!(number("unavailable", None), Ok(None));
    }

    #[test]
    fn pages_and_impossible_numbers_are_refused() {
        for body in ["<html>404</html>", "NaN", "inf", "1e308", "twelve"] {
            assert!(!matches!(number(body, None), Ok(Some(_))), "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_gives_a_number_or_a_sentence(body in ".{0,200}", pick in proptest::option::of(".{0,20}")) {
            if let Ok(Some(value)) = number(&body, pick.as_deref()) {
                proptest::prop_assert!(value.is_finite());
            }
        }
    }
}
