//! The authorization code flow of Alpaca Connect (facts 1.1).
//!
//! The token endpoint is the live host's also for paper grants, takes the app's id and secret in the body, and answers
//! with neither an account nor an environment nor an expiry: those are read from the hosts afterwards. What it answers
//! is never quoted in an error, for it may hold a token.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use oauth2::basic::BasicClient;
use oauth2::{
    AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret, HttpRequest, HttpResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, TokenResponse, TokenUrl,
};
use url::Url;

use super::answer::{Answer, Error};
use super::limiter::Purse;
use super::request::Line;
use crate::model::environment::Kind;
use crate::model::secret::Secret;

/// What the user is asked for: account settings, orders, market data. Reading needs no scope.
pub const SCOPES: &[&str] = &["account:write", "trading", "data"];

/// The app as it is registered with Alpaca.
#[derive(Debug)]
pub struct AppCredentials {
    /// Public.
    pub client_id: String,
    /// Not public.
    pub client_secret: Secret,
    /// Letter for letter as it is registered.
    pub redirect_uri: String,
    /// Whether a proof of possession goes with the code (RFC 7636). Alpaca does not document it (facts 1.1).
    pub pkce: bool,
}

/// What a code was exchanged for.
#[derive(Debug)]
pub struct Granted {
    /// The token.
    pub token: Secret,
    /// The scopes that the user really granted; they may differ from those asked for.
    pub scopes: Vec<String>,
}

/// The consent page for one user. The redirect address is sent as it is registered: a parser would add a slash.
pub(super) fn authorize_url(
    page: &Url,
    app: &AppCredentials,
    (state, verifier): (&Secret, &Secret),
    env: Option<Kind>,
) -> Url {
    let mut url = page.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &app.client_id)
        .append_pair("redirect_uri", &app.redirect_uri)
        .append_pair("state", state.expose())
        .append_pair("scope", &SCOPES.join(" "))
        .extend_pairs(env.map(|kind| ("env", kind.code())));
    if app.pkce {
        let verifier = PkceCodeVerifier::new(verifier.expose().to_owned());
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        url.query_pairs_mut()
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method().as_str());
    }
    url
}

/// Carries the one request of an exchange over the line that all others take.
pub(super) struct Courier(pub(super) Arc<Line>);

impl<'c> AsyncHttpClient<'c> for Courier {
    type Error = Error;
    type Future = BoxFuture<'c, Result<HttpResponse, Error>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        let sent = self.0.carry("token", request.map(Bytes::from), &Purse::None);
        async move { forward(&sent.await.map_err(|why| Error::Lost { why })?) }.boxed()
    }
}

/// Exchanges a code, once: a code whose exchange was lost is lost too, and the user starts again.
pub(super) async fn exchange(
    (app, token_url): (&AppCredentials, &Url),
    (code, verifier): (&Secret, &Secret),
    courier: &Courier,
) -> Result<Granted, Error> {
    let redirect = RedirectUrl::new(app.redirect_uri.clone())
        .map_err(|error| Error::Nonsense { why: format!("our own redirect address is none: {error}") })?;
    let client = BasicClient::new(ClientId::new(app.client_id.clone()))
        .set_client_secret(ClientSecret::new(app.client_secret.expose().to_owned()))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(TokenUrl::from_url(token_url.clone()))
        .set_redirect_uri(redirect);
    let mut request = client.exchange_code(AuthorizationCode::new(code.expose().to_owned()));
    if app.pkce {
        request = request.set_pkce_verifier(PkceCodeVerifier::new(verifier.expose().to_owned()));
    }
    let token = request.request_async(courier).await.map_err(|error| match error {
        RequestTokenError::Request(error) => error,
        _ => Error::Nonsense { why: "the token endpoint's answer is no token".to_owned() },
    })?;
    let scopes = match token.scopes() {
        Some(scopes) => scopes.iter().flat_map(|scope| scope.split_whitespace()).map(str::to_owned).collect(),
        // Silence means: as asked (RFC 6749, section 5.1).
        None => SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
    };
    Ok(Granted { token: Secret::new(token.access_token().secret().clone()), scopes })
}

fn forward(answer: &Answer) -> Result<HttpResponse, Error> {
    match answer.status {
        200 => Ok(http::Response::new(answer.body.to_vec())),
        // The app's own credentials or the code were refused, which says nothing of any token.
        400..=403 => Err(answer.refused()),
        _ => Err(answer.success().err().unwrap_or(Error::Nonsense { why: answer.said() })),
    }
}
