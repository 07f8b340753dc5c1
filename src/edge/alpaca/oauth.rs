//! Alpaca Connect: the address of the consent page, and the exchange of a code for a token (facts 1.1).
//!
//! The `oauth2` crate speaks the protocol; it has no HTTP client of its own here, its one request goes through the
//! same transport as all others. Code, secret and token never stand in an error or a log.

use bytes::Bytes;
use oauth2::basic::BasicClient;
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, HttpRequest, HttpResponse, RedirectUrl,
    RequestTokenError, TokenResponse, TokenUrl,
};
use url::Url;

use super::transport::Lost;
use super::{Client, Error};
use crate::model::environment::Kind;
use crate::model::secret::Secret;

/// What we ask for: to trade and to read prices. Configurations are not ours to write.
const SCOPES: [&str; 2] = ["trading", "data"];

/// A token, as it was granted.
#[derive(Debug)]
pub struct Granted {
    /// The token.
    pub token: Secret,
    /// The scopes really granted, which may differ from those asked for (facts 1.1).
    pub scopes: Vec<String>,
}

impl Client {
    /// The broker's consent page for one connection.
    pub fn authorize_url(&self, state: &Secret, environment: Option<Kind>) -> Url {
        let mut url = self.0.hosts.authorize.clone();
        {
            let mut query = url.query_pairs_mut();
            query
                .append_pair("response_type", "code")
                .append_pair("client_id", &self.0.app.client_id)
                .append_pair("redirect_uri", &self.0.app.redirect_uri)
                .append_pair("state", state.expose())
                .append_pair("scope", &SCOPES.join(" "));
            if let Some(environment) = environment {
                query.append_pair("env", environment.code());
            }
        }
        url
    }

    /// Exchanges a code for a token.
    ///
    /// # Errors
    /// [`Error::Refused`] when the broker does not accept the code, [`Error::Lost`] when it does not answer,
    /// [`Error::Nonsense`] when it answers something else.
    pub async fn exchange_code(&self, code: &Secret) -> Result<Granted, Error> {
        let nonsense = |error: url::ParseError| Error::Nonsense { why: error.to_string() };
        let hosts = &self.0.hosts;
        let app = &self.0.app;
        let client = BasicClient::new(ClientId::new(app.client_id.clone()))
            .set_client_secret(ClientSecret::new(app.client_secret.expose().to_owned()))
            .set_auth_uri(AuthUrl::new(hosts.authorize.to_string()).map_err(nonsense)?)
            .set_token_uri(TokenUrl::new(hosts.token.to_string()).map_err(nonsense)?)
            .set_redirect_uri(RedirectUrl::new(app.redirect_uri.clone()).map_err(nonsense)?)
            // Client id and secret go into the body, not into a Basic header (facts 1.1).
            .set_auth_type(AuthType::RequestBody);
        // The future must own what it needs: one that borrows is not `Send` for every lifetime, and a server needs that.
        let courier = self.clone();
        let http = move |request: HttpRequest| {
            let courier = courier.clone();
            async move { courier.forward(request).await }
        };
        let answer = client
            .exchange_code(AuthorizationCode::new(code.expose().to_owned()))
            .request_async(&http)
            .await
            .map_err(refused)?;
        let scopes = answer.scopes().map(|scopes| scopes.iter().map(|scope| (**scope).clone()).collect());
        Ok(Granted { token: Secret::new(answer.access_token().secret().clone()), scopes: scopes.unwrap_or_default() })
    }

    async fn forward(&self, request: HttpRequest) -> Result<HttpResponse, Lost> {
        let response = self.0.transport.send(request.map(Bytes::from)).await?;
        Ok(response.map(|body| body.to_vec()))
    }
}

/// Why there is no token. The parser's own words could repeat a part of the body, so they are left out.
fn refused<T>(error: RequestTokenError<Lost, T>) -> Error
where
    T: oauth2::ErrorResponse,
{
    match error {
        RequestTokenError::ServerResponse(_) => {
            let message = "the code or the app's credentials were refused".to_owned();
            Error::Refused { status: 400, code: None, message }
        }
        RequestTokenError::Request(lost) => Error::Lost { why: lost.to_string() },
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            Error::Nonsense { why: "the token endpoint's answer is no token".to_owned() }
        }
    }
}
