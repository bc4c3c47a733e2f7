//! JSON frames: no harm, the same when written and read again, and JSON if and only if another parser says so.

use everlink::wire::json::{Message, Raw};
use serde_json::Value;

/// Any frame, taken for a JSON message.
pub fn json(data: &[u8]) {
    match Message::decode(data) {
        Ok(message) => {
            let mut out = vec![0; message.encoded_len()];
            assert_eq!(message.encode(&mut out), Ok(out.len()));
            assert_eq!(Message::decode(&out), Ok(message));
        }
        Err(error) => assert!(error.at <= data.len(), "{error}"),
    }
    let Ok(text) = core::str::from_utf8(data) else { return };
    match (Raw::new(text), serde_json::from_str::<Value>(text)) {
        (Ok(raw), Ok(value)) => compare(raw, &value),
        (Err(error), theirs) => {
            assert!(error.at <= text.len());
            assert!(theirs.is_err(), "{error}");
        }
        (Ok(_), Err(error)) => {
            let error = error.to_string();
            // It takes less: no number that a float cannot hold, no half of a surrogate pair, one level less.
            let known = ["number out of range", "surrogate", "hex escape", "recursion limit"];
            assert!(known.iter().any(|known| error.contains(known)), "{error}");
        }
    }
}

fn compare(raw: Raw<'_>, value: &Value) {
    assert_eq!(raw.text().map(|text| text.to_string()).as_deref(), value.as_str());
    assert_eq!(raw.text().map(|text| text.to_cow().into_owned()).as_deref(), value.as_str());
    for (key, value) in value.as_object().into_iter().flatten().take(8) {
        compare(raw.field(key).expect("it is there"), value);
    }
}
