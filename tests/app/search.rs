//! A search for secrets in everything that came out of the service, in every form in which one could be hidden.

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Everything that came out of the service, by where it was seen.
#[derive(Default)]
pub struct Seen {
    pub texts: Vec<(String, Vec<u8>)>,
}

impl Seen {
    pub fn note(&mut self, place: &str, text: impl AsRef<[u8]>) {
        self.texts.push((place.to_owned(), text.as_ref().to_vec()));
    }
}

/// Every form in which a secret could be hidden in a text.
pub fn forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex::encode(secret), hex::encode_upper(secret)];
    for shift in 0..3 {
        // Whatever stands before it moves the letters; the first and the last may belong to a neighbour.
        let shifted: Vec<u8> = std::iter::repeat_n(b'x', shift).chain(secret.bytes()).collect();
        for encoded in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            let from = if shift == 0 { 0 } else { shift + 1 };
            forms.push(encoded[from..encoded.len() - 2].to_owned());
        }
    }
    let each = |write: &dyn Fn(u8) -> String| secret.bytes().map(write).collect::<String>();
    forms.extend([
        each(&|b| format!("%{b:02X}")),
        each(&|b| format!("%{b:02x}")),
        each(&|b| format!("\\u{b:04x}")),
        each(&|b| format!("\\u{b:04X}")),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        serde_json::to_string(secret).unwrap().trim_matches('"').to_owned(),
    ]);
    forms.sort();
    forms.dedup();
    forms
}

/// Which secrets are found where.
pub fn hits(secrets: &[String], seen: &Seen) -> Vec<String> {
    let needles: Vec<(usize, String)> = secrets
        .iter()
        .enumerate()
        .flat_map(|(place, secret)| forms(secret).into_iter().map(move |form| (place, form)))
        .collect();
    let machine = AhoCorasick::new(needles.iter().map(|(_, form)| form.as_bytes())).unwrap();
    let mut hits = Vec::new();
    for (place, text) in &seen.texts {
        for found in machine.find_overlapping_iter(text).take(3) {
            let around =
                String::from_utf8_lossy(&text[found.start().saturating_sub(120)..(found.end() + 40).min(text.len())])
                    .into_owned();
            hits.push(format!(
                "{place}: secret {} as `{}`: ...{around}...",
                needles[found.pattern()].0,
                needles[found.pattern()].1
            ));
        }
    }
    hits
}

#[test]
fn d4_the_search_finds_a_secret_in_every_form() {
    let secret = "c4nary+/=\"&-\u{e9}";
    for form in forms(secret) {
        let mut seen = Seen::default();
        seen.note("a haystack", format!("hay {form} hay"));
        assert!(!hits(&[secret.to_owned()], &seen).is_empty(), "{form}");
    }
    for before in ["", "a", "ab"] {
        let mut seen = Seen::default();
        seen.note("a haystack", STANDARD_NO_PAD.encode(format!("{before}{secret} and more")));
        assert!(!hits(&[secret.to_owned()], &seen).is_empty(), "base64 after {before:?}");
    }
    let mut seen = Seen::default();
    seen.note("a haystack", "nothing of the kind");
    assert!(hits(&[secret.to_owned()], &seen).is_empty());
}
