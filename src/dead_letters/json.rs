//! JSON, as far as it has to be written: one object on one line. Texts are escaped, and nothing here can fail.

use std::fmt::Write;

/// An object that is being written. Each value is appended to what [`key`](Self::key) gives back.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

impl<'a> Object<'a> {
    pub(crate) fn open(out: &'a mut String) -> Self {
        out.push('{');
        Object { out, is_empty: true }
    }

    /// The place for the value under this key.
    pub(crate) fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(',');
        }
        push_text(self.out, key);
        self.out.push(':');
        self.out
    }

    pub(crate) fn text(&mut self, key: &str, text: &str) {
        push_text(self.key(key), text);
    }

    pub(crate) fn text_or_null(&mut self, key: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(key, text),
            None => self.key(key).push_str("null"),
        }
    }

    pub(crate) fn number_or_null(&mut self, key: &str, number: Option<u64>) {
        let place = self.key(key);
        match number {
            Some(number) => push_number(place, number),
            None => place.push_str("null"),
        }
    }

    pub(crate) fn close(self) {
        self.out.push('}');
    }
}

fn push_number(out: &mut String, number: u64) {
    // Writing into a String cannot fail.
    let _ = write!(out, "{number}");
}

/// A text in quotes. What must be escaped is; all else stands as it is, in UTF-8.
pub(crate) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Base64 with padding (RFC 4648, section 4).
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let is_there = digit <= chunk.len();
            text.push(if is_there { char::from(DIGITS[group >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, text);
        out
    }

    /// Another way to the same end: bit by bit.
    fn decoded(text: &str) -> Vec<u8> {
        let value = |c: char| match c {
            'A'..='Z' => c as u32 - 'A' as u32,
            'a'..='z' => c as u32 - 'a' as u32 + 26,
            '0'..='9' => c as u32 - '0' as u32 + 52,
            '+' => 62,
            '/' => 63,
            other => panic!("{other:?} is no digit"),
        };
        let digits = text.trim_end_matches('=').chars().map(value);
        let bits: Vec<_> = digits.flat_map(|value| (0..6).rev().map(move |bit| value >> bit & 1 == 1)).collect();
        bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
    }

    #[test]
    fn every_character_of_the_first_page_and_the_odd_ones_read_back() {
        let odd = ['\u{7f}', '\u{2028}', '\u{2029}', '\u{feff}', '\u{fffd}', '\u{10ffff}', '"', '\\', '/'];
        for c in (0..0x100).filter_map(char::from_u32).chain(odd) {
            let line = written(&format!("a{c}b"));
            assert_eq!(serde_json::from_str::<String>(&line).unwrap(), format!("a{c}b"), "{line}");
            assert!(!line.contains('\n'), "one line");
        }
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let vectors = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        for (len, expected) in vectors.into_iter().enumerate() {
            assert_eq!(base64(&b"foobar"[..len]), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    proptest! {
        #[test]
        fn any_text_reads_back_as_itself(text: String) {
            let line = written(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), text);
            prop_assert!(line.chars().all(|c| c >= ' '), "{:?} is not on one line", line);
        }

        #[test]
        fn any_object_reads_back_as_itself(
            texts in proptest::collection::btree_map(".*", proptest::option::of(".*"), 0..5),
            number in proptest::option::of(any::<u64>()),
        ) {
            let mut out = String::new();
            let mut object = Object::open(&mut out);
            let mut expected = serde_json::Map::new();
            for (key, text) in &texts {
                object.text_or_null(key, text.as_deref());
                expected.insert(key.clone(), text.clone().into());
            }
            object.number_or_null("a number\n", number);
            expected.insert("a number\n".into(), number.into());
            object.close();
            let read: serde_json::Value = serde_json::from_str(&out).unwrap();
            prop_assert_eq!(read, serde_json::Value::Object(expected));
        }

        #[test]
        fn any_bytes_in_base64_read_back_as_themselves(bytes: Vec<u8>) {
            let text = base64(&bytes);
            prop_assert_eq!(text.len() % 4, 0);
            prop_assert_eq!(decoded(&text), bytes);
        }
    }
}
