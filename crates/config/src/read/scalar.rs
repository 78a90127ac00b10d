//! What a value without quotes means: YAML 1.1's rules, since that is how existing files were read.

use serde_json::{Number, Value};

/// The value of an unquoted word.
///
/// Booleans have eight spellings, `0x10`, `0b11` and `1_000` are numbers, a leading zero means octal. `12:30` stays text
/// (a time), and so do dates and `1e3`; readers of numbers accept the latter as text.
pub(crate) fn plain(word: &str) -> Value {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    match integer(word).or_else(|| float(word)) {
        Some(number) => Value::Number(number),
        None => Value::String(word.to_owned()),
    }
}

fn integer(word: &str) -> Option<Number> {
    let (sign, digits) = match word.strip_prefix(['+', '-']) {
        Some(digits) => (if word.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, word),
    };
    let (radix, digits) = match digits.strip_prefix('0') {
        Some("") => (10, digits),
        Some(rest) => match rest.strip_prefix(['x', 'b']) {
            Some(hex) if rest.starts_with('x') => (16, hex),
            Some(bits) => (2, bits),
            None => (8, rest),
        },
        None => (10, digits),
    };
    if radix == 10 && !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits: String = digits.chars().filter(|&c| c != '_').collect();
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(&digits, radix).ok()?);
    let value = magnitude.checked_mul(sign)?;
    let number = match u64::try_from(value) {
        Ok(value) => Number::from(value),
        Err(_) => Number::from(i64::try_from(value).ok()?),
    };
    Some(number)
}

fn float(word: &str) -> Option<Number> {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        // An exponent without a sign makes it text, as it always did.
        Some((mantissa, exponent)) if exponent.starts_with(['+', '-']) => (mantissa, &exponent[1..]),
        Some(_) => return None,
        None => (unsigned, "0"),
    };
    let (whole, fraction) = mantissa.split_once('.')?;
    let is_digits = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '_');
    let has_digits = whole.starts_with(|c: char| c.is_ascii_digit())
        || (whole.is_empty() && fraction.starts_with(|c: char| c.is_ascii_digit()));
    if !has_digits
        || !is_digits(whole)
        || !is_digits(fraction)
        || exponent.is_empty()
        || !exponent.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let text: String = word.chars().filter(|&c| c != '_').collect();
    text.parse::<f64>().ok().and_then(Number::from_f64)
}

/// The character that a backslash escape of double quotes stands for, with the number of characters read after the backslash.
///
/// `None` for an escape that does not exist. A `\uD83D\uDE00` pair is one character, as in JSON.
pub(crate) fn escape(rest: &[char]) -> Option<(char, usize)> {
    let c = match rest.first()? {
        '0' => '\0',
        'a' => '\u{7}',
        'b' => '\u{8}',
        ' ' => ' ',
        't' => '\t',
        'n' => '\n',
        'v' => '\u{b}',
        'f' => '\u{c}',
        'r' => '\r',
        'e' => '\u{1b}',
        '"' => '"',
        '/' => '/',
        '\\' => '\\',
        'N' => '\u{85}',
        '_' => '\u{a0}',
        'L' => '\u{2028}',
        'P' => '\u{2029}',
        'x' => return char::from_u32(hex(rest, 1, 2)?).map(|c| (c, 3)),
        'u' => {
            let first = hex(rest, 1, 4)?;
            return match first {
                0xD800..=0xDBFF if rest.get(5) == Some(&'\\') && rest.get(6) == Some(&'u') => {
                    let second = hex(rest, 7, 4).filter(|second| (0xDC00..=0xDFFF).contains(second))?;
                    char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)).map(|c| (c, 11))
                }
                _ => char::from_u32(first).map(|c| (c, 5)),
            };
        }
        'U' => return char::from_u32(hex(rest, 1, 8)?).map(|c| (c, 9)),
        _ => return None,
    };
    Some((c, 1))
}

fn hex(rest: &[char], from: usize, count: usize) -> Option<u32> {
    rest.get(from..from + count)?.iter().try_fold(0_u32, |sum, c| sum.checked_mul(16)?.checked_add(c.to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn words_mean_what_they_meant_before() {
        for (word, value) in [
            ("yes", json!(true)),
            ("Off", json!(false)),
            ("y", json!("y")),
            ("~", json!(null)),
            ("012", json!(10)),
            ("08", json!("08")),
            ("0x10", json!(16)),
            ("-0b11", json!(-3)),
            ("1_000", json!(1000)),
            ("0", json!(0)),
            ("+5", json!(5)),
            ("-1", json!(-1)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1.", json!(1.0)),
            ("1.0e+3", json!(1000.0)),
            ("1e3", json!("1e3")),
            ("12:30", json!("12:30")),
            ("2024-01-01", json!("2024-01-01")),
            (".nan", json!(".nan")),
            ("192.168.1.2", json!("192.168.1.2")),
            ("-", json!("-")),
            ("99999999999999999999", json!("99999999999999999999")),
            ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ] {
            assert_eq!(plain(word), value, "{word}");
        }
    }

    #[test]
    fn escapes_of_json_and_yaml_are_known() {
        let read = |text: &str| escape(&text.chars().collect::<Vec<_>>());
        assert_eq!(read("n"), Some(('\n', 1)));
        assert_eq!(read("u00e9"), Some(('é', 5)));
        assert_eq!(read("uD83D\\uDE00"), Some(('😀', 11)));
        assert_eq!(read("uD83Dxx"), None);
        assert_eq!(read("x41"), Some(('A', 3)));
        assert_eq!(read("q"), None);
    }
}
