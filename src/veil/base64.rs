//! Base64 as it is read from others (RFC 4648 §4 and §5): one text for the same bytes, so that what was read is written again byte for
//! byte. The crate that decodes takes padding in the middle too, as where two texts were put one behind the other.

use data_encoding::{BASE64, BASE64URL, Encoding};

/// Bytes from the standard alphabet with padding (§4). `None` for anything that is not what [`encode`] writes for them.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    whole(&BASE64, text)
}

/// The same from the alphabet for addresses (§5).
pub fn decode_url(text: &str) -> Option<Vec<u8>> {
    whole(&BASE64URL, text)
}

/// The standard alphabet with padding.
pub fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

fn whole(encoding: &Encoding, text: &str) -> Option<Vec<u8>> {
    if text.trim_end_matches('=').contains('=') {
        return None;
    }
    encoding.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn vectors_of_the_standard_and_what_others_would_take() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            assert_eq!((encode(bytes.as_bytes()).as_str(), decode(text).as_deref()), (text, Some(bytes.as_bytes())));
        }
        for other in ["Zg==Zg==", "Zm8=Zm8=", "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9v\n", " Zm9v", "Zm9v=", "Zm9v===="] {
            assert_eq!(decode(other), None, "{other:?}");
        }
        assert_eq!((decode("-_-_"), decode_url("-_-_"), decode_url("+/+/")), (None, Some(vec![0xfb, 0xff, 0xbf]), None));
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_again(text in "[A-Za-b0-1+/=]{0,24}") {
            if let Some(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes), text);
            }
        }
    }
}
