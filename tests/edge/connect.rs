//! The code flow: what is asked of the user, what is sent for the token, and what never shows.

use rebalanced::edge::alpaca::Error;
use rebalanced::model::environment::Kind;
use rebalanced::model::secret::Secret;

use crate::script::{CLIENT_SECRET, Said, Stage, TOKEN, lost, ok, says};

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

#[test]
fn the_consent_page_is_asked_with_exactly_the_documented_parameters() {
    let stage = Stage::new([]);
    let url = stage.client.authorize_url(&secret("st&te"), Some(Kind::Paper), &secret("v"));
    assert_eq!(
        url.as_str(),
        "https://app.example/oauth/authorize?response_type=code&client_id=the-app&redirect_uri=https%3A%2F%2F\
         rebalance.example&state=st%26te&scope=account%3Awrite+trading+data&env=paper"
    );
    assert!(!stage.client.authorize_url(&secret("s"), None, &secret("v")).as_str().contains("env="));
}

#[tokio::test]
async fn a_code_is_exchanged_at_the_live_host_with_the_secret_in_the_body() {
    let body = format!(r#"{{"access_token":"{TOKEN}","token_type":"bearer","scope":"account:write trading"}}"#);
    let stage = Stage::new([ok(body)]);
    let granted = stage.client.exchange_code(&secret("co de"), &secret("v")).await.unwrap();
    assert_eq!(granted.token.expose(), TOKEN);
    assert_eq!(granted.scopes, ["account:write", "trading"], "as granted, not as asked");
    assert_eq!(stage.asked(), ["POST https://live.example/oauth/token"]);
    assert_eq!(stage.header(0, "authorization"), None, "not HTTP Basic");
    assert_eq!(stage.header(0, "content-type").unwrap(), "application/x-www-form-urlencoded");
    let sent = stage.body(0);
    let mut fields: Vec<&str> = sent.split('&').collect();
    fields.sort_unstable();
    let client_secret = format!("client_secret={CLIENT_SECRET}");
    assert_eq!(
        fields,
        [
            "client_id=the-app",
            client_secret.as_str(),
            "code=co+de",
            "grant_type=authorization_code",
            "redirect_uri=https%3A%2F%2Frebalance.example",
        ]
    );
    let silent = format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer"}}"#);
    let granted = Stage::new([ok(silent)]).client.exchange_code(&secret("c"), &secret("v")).await.unwrap();
    assert_eq!(granted.scopes, ["account:write", "trading", "data"]);
}

#[tokio::test]
async fn what_the_token_endpoint_answers_is_never_shown() {
    let exchanged = async |said: Said| {
        let error = Stage::new([said])
            .client
            .exchange_code(&secret("canary-code"), &secret("canary-verifier"))
            .await
            .unwrap_err();
        let shown = format!("{error} {error:?}");
        for canary in [TOKEN, "canary-code", "canary-verifier", CLIENT_SECRET] {
            assert!(!shown.contains(canary), "{shown}");
        }
        error
    };
    let denied = r#"{"error":"invalid_grant","error_description":"the code has expired"}"#;
    let error = exchanged(says(400, denied)).await;
    assert_eq!(error, Error::Refused { status: 400, code: None, message: "the code has expired".to_owned() });
    assert!(matches!(exchanged(says(401, r#"{"code":40110000,"message":"no"}"#)).await, Error::Refused { .. }));
    assert!(matches!(exchanged(says(403, "forbidden")).await, Error::Refused { .. }));
    assert!(matches!(exchanged(says(502, "<html>")).await, Error::Lost { .. }));
    assert!(matches!(exchanged(lost("reset")).await, Error::Lost { .. }));
    assert!(matches!(exchanged(says(429, "")).await, Error::Throttled { .. }));
    assert!(matches!(exchanged(says(302, "")).await, Error::Nonsense { .. }));
    for body in
        [format!(r#"{{"access_token":"{TOKEN}""#), format!("<html>{TOKEN}"), format!(r#"["{TOKEN}"]"#), String::new()]
    {
        assert!(matches!(exchanged(ok(body)).await, Error::Nonsense { .. }));
    }
}

#[tokio::test]
async fn where_it_is_switched_on_the_code_is_bound_to_a_proof_that_only_the_browser_can_make() {
    // The verifier and the challenge of RFC 7636, appendix B.
    let verifier = secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let body = format!(r#"{{"access_token":"{TOKEN}","token_type":"bearer"}}"#);
    let stage = Stage::with_pkce([ok(body)]);
    let url = stage.client.authorize_url(&secret("state"), None, &verifier);
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let of = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(of("code_challenge"), Some("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
    assert_eq!(of("code_challenge_method"), Some("S256"));
    stage.client.exchange_code(&secret("c"), &verifier).await.unwrap();
    assert!(stage.body(0).split('&').any(|field| field == "code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
}
