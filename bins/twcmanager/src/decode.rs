//! `decode HEX...`: explains frames.

use std::fmt::Write;

use gen2_protocol::hex;

/// Explains each argument as one frame; arguments that are single bytes are taken together as one frame.
///
/// Returns the text to print and whether all could be explained.
pub fn explain(arguments: &[String]) -> (String, bool) {
    let frames: Vec<String> = if arguments.iter().all(|argument| argument.trim().len() <= 4) {
        vec![arguments.join(" ")]
    } else {
        arguments.to_vec()
    };
    let mut text = String::new();
    let mut is_fine = true;
    for frame in frames {
        let line = match hex::parse_frame(&frame) {
            Ok(frame) => frame.message().to_string(),
            Err(error) => {
                is_fine = false;
                format!("{frame}: {error}")
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    }
    (text, is_fine)
}

#[cfg(test)]
mod tests {
    use super::explain;

    #[test]
    fn single_bytes_make_one_frame() {
        let bytes: Vec<String> =
            "FD E2 18 39 52 0C 80 00 00 00 00 00 00 00 00 11".split(' ').map(str::to_owned).collect();
        let (text, is_fine) = explain(&bytes);
        assert!(is_fine && text.contains("1839") && text.contains("32"), "{text}");
    }

    #[test]
    fn a_broken_frame_is_explained_and_the_rest_goes_on() {
        let (text, is_fine) = explain(&["FDE218".into(), "FC E1 77 77 77 00 00 00 00 00 00 00 00 46".into()]);
        assert!(!is_fine && text.lines().count() == 2, "{text}");
    }
}
