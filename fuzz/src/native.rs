//! Frames of the native wire: no harm, and what was read is the same when it is written and read again.

use everlink::wire::native::{Envelope, Item, Limits, Reader, tag};

/// Any frame, under wide limits and narrow ones.
pub fn native(data: &[u8]) {
    read(data, &Limits::default());
    read(data, &Limits { envelope: 40, name: 5, credentials: 9 });
}

fn read(data: &[u8], limits: &Limits) {
    let mut reader = Reader::new(data, limits);
    let mut at = 0;
    while let Some(item) = reader.next() {
        match item {
            Ok(Item::Envelope(envelope)) => {
                assert!(reader.byte() - at >= 2);
                assert!(envelope.payload().len() <= limits.envelope as usize);
                again(&envelope);
            }
            Ok(Item::Skipped { tag }) => assert!(!tag::must_be_known(tag)),
            Err(error) => {
                assert!((at..data.len()).contains(&error.at), "{error}");
                assert_eq!(reader.next(), None);
                return;
            }
        }
        at = reader.byte();
    }
    assert_eq!(at, data.len());
}

fn again(envelope: &Envelope<'_>) {
    let mut out = vec![0; envelope.encoded_len()];
    assert_eq!(envelope.encode(&mut out), Ok(out.len()), "{envelope:?}");
    let wide = Limits::default();
    let mut reader = Reader::new(&out, &wide);
    assert_eq!(reader.next(), Some(Ok(Item::Envelope(*envelope))));
    assert_eq!(reader.next(), None);
}
