//! A secret has no plain copy, no text form and no JSON form.

use rebalanced::model::secret::Secret;

fn printed(secret: &Secret) -> String {
    format!("{secret}")
}

fn cloned(secret: &Secret) -> Secret {
    secret.clone()
}

fn serialised(secret: &Secret) -> String {
    serde_json::to_string(secret).unwrap()
}

fn main() {}
