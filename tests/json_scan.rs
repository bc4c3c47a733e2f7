//! JSON is read eight bytes at a time, and large values once: at every place of a word, and wherever a field is looked for.

#![allow(clippy::unwrap_used, reason = "a test may be blunt")]

use everlink::wire::json::{Message, Problem, Raw};
use serde_json::{Value, json};

#[test]
fn what_ends_a_string_is_found_at_every_place() {
    for before in 0..40 {
        for letter in ["a", "é", "\u{7f}", " ", "!", "#", "[", "]", "~", "\u{80}", "\u{10ffff}"] {
            let plain = letter.repeat(before);
            let text = format!("\"{plain}\"");
            assert_eq!(Raw::new(&text).unwrap().text().unwrap().as_str(), Some(&*plain));
            // More after the end is no part of it.
            let error = Raw::new(&format!("{text}aaaaaaaaaaaaaaaa")).unwrap_err();
            assert_eq!((error.at, error.problem), (text.len(), Problem::Syntax));
            for control in ["\0", "\u{1}", "\n", "\u{1f}"] {
                let error = Raw::new(&format!("\"{plain}{control}aaaaaaaaaaaaaaaa\"")).unwrap_err();
                assert_eq!((error.at, error.problem), (1 + plain.len(), Problem::Syntax), "{plain:?}");
            }
            let escaped = format!("\"{plain}\\\"{plain}\\u00e9\"");
            let found = Raw::new(&escaped).unwrap().text().unwrap();
            assert_eq!((found.as_str(), found.to_string()), (None, format!("{plain}\"{plain}é")));
            let error = Raw::new(&format!("\"{plain}\\x\"")).unwrap_err();
            assert_eq!(error.at, 2 + plain.len());
            let error = Raw::new(&text[..text.len() - 1]).unwrap_err();
            assert_eq!((error.at, error.problem), (1 + plain.len(), Problem::Truncated));
        }
    }
}

/// All fields of all objects in it, and nothing else.
fn compare(raw: Raw<'_>, value: &Value) {
    assert_eq!(&serde_json::from_str::<Value>(raw.as_str()).unwrap(), value);
    assert_eq!(raw.as_str().trim(), raw.as_str());
    for (key, value) in value.as_object().into_iter().flatten() {
        compare(raw.field(key).unwrap(), value);
    }
    assert_eq!(raw.field("no such key"), None);
}

#[test]
fn a_field_is_found_wherever_it_is_and_whatever_comes_behind_it() {
    let odd = json!({"}": "]{", "\"": ["}", {"a": "\\\""}], "[": -1.5e-7, "": {}, "last": {"x": [[[]], {}]}});
    let values = [
        json!(1),
        json!("a } b"),
        json!("\\"),
        json!([]),
        json!({}),
        json!([1, [2, "3]"], null, true]),
        odd.clone(),
        json!({"a": odd.clone(), "b": [odd], "c": 0.25}),
    ];
    for first in &values {
        for last in &values {
            let value = json!({"first": first, "inner": {"one": last, "two": first}, "last": last});
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                // White space in front of braces, too.
                let spaced = text.replace('\n', " \t\r\n ");
                for text in [&text, &spaced] {
                    compare(Raw::new(text).unwrap(), &value);
                    let frame = format!(
                        r#"{{"type":"event","id":"1","payload":{{"data":{text},"event":"e","data" : {text} }}}}"#
                    );
                    let Message::Request { form, payload, .. } = Message::decode(frame.as_bytes()).unwrap()
                    else {
                        unreachable!("{frame}")
                    };
                    let (name, data) = payload.named(form).unwrap();
                    assert_eq!(name.as_str(), Some("e"));
                    compare(data.unwrap(), &value);
                }
            }
        }
    }
}

#[test]
fn of_fields_with_one_name_the_last_counts_also_if_it_is_not_the_last_of_all() {
    let find = |text: &str| Raw::new(text).unwrap().field("a").unwrap().to_string();
    assert_eq!(find(r#"{"a":[1],"a":[2]}"#), "[2]");
    assert_eq!(find(r#"{"a":[1],"a":[2],"b":[3]}"#), "[2]");
    assert_eq!(find("{ \"b\" : 1 , \"a\" :\n \"x\" \n}"), "\"x\"");
    assert_eq!(find(r#"{"a":1}"#), "1");
    // An object in a list has no last field of the list.
    assert_eq!(Raw::new(r#"[{"b":1,"a":2}]"#).unwrap().field("a"), None);
}

#[test]
fn numbers_are_written_in_all_their_digits() {
    for number in [0, 1, 9, 10, 99, 100, 12_345, 1_700_000_000_000, u64::MAX - 1, u64::MAX] {
        let auth = Message::Auth { id: 7.into(), timestamp: Some(number), payload: None };
        assert_eq!(auth.to_string(), format!(r#"{{"id":"7","type":"auth","timestamp":{number}}}"#));
        let read = Raw::new(&number.to_string()).unwrap().integer();
        assert_eq!(read, Some(number));
    }
    for none in ["18446744073709551616", "100000000000000000000", "1.0", "-1", "1e3"] {
        assert_eq!(Raw::new(none).unwrap().integer(), None, "{none}");
    }
    let longest = Message::Auth { id: u32::MAX.into(), timestamp: None, payload: None };
    assert_eq!(longest.to_string(), r#"{"id":"4294967295","type":"auth"}"#);
}
