//! Who may come in at the operators' door: named operators with their own tokens, and whoever holds the one token of the
//! configuration.
//!
//! The database is asked at each request, so a removed operator is out at once; when it cannot be asked, nobody comes in. No
//! token is ever shown or logged.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use crate::app::http::Shared;
use crate::app::http::operator::Refused;
use crate::flow::operators;
use crate::model::operator::{Operator, Scope};
use crate::model::secret::Secret;

/// Who is in, and what they may do.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// An operator, by name.
    Named(Operator),
    /// Whoever holds the token of the configuration: several people may, so each act says by whom it is.
    Configured(BTreeSet<Scope>),
}

impl Caller {
    fn may(&self, scope: Scope) -> bool {
        match self {
            Self::Named(operator) => operator.may(scope),
            Self::Configured(scopes) => scopes.contains(&scope),
        }
    }

    /// Under which name this caller acts. A named operator acts under their own name and under no other.
    pub(super) fn acts_as(&self, said: Option<&str>) -> Result<String, Refused> {
        let said = said.map(str::trim).filter(|name| !name.is_empty());
        match (self, said) {
            (Self::Named(operator), Some(name)) if name != operator.name.as_str() => {
                let why = format!("you are {}; an act in the name of {name} is refused", operator.name);
                Err(Refused(StatusCode::FORBIDDEN, why))
            }
            (Self::Named(operator), _) => Ok(operator.name.to_string()),
            (Self::Configured(_), Some(name)) => Ok(name.to_owned()),
            (Self::Configured(_), None) => {
                Err(Refused(StatusCode::BAD_REQUEST, "`by` is missing: who does this?".to_owned()))
            }
        }
    }
}

/// Lets in whoever shows a token that counts for `scope`.
pub(super) async fn check(
    State((shared, scope)): State<(Shared, Scope)>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let caller = match caller(&shared, &Secret::new(shown.to_owned())).await {
        Ok(Some(caller)) => caller,
        Ok(None) => return unknown(&shared, peer).await,
        Err(refused) => return refused.into_response(),
    };
    if !caller.may(scope) {
        shared.world.metrics.operator_refused("scope");
        let why = format!("this needs the scope `{scope}`, which your token has not");
        return Refused(StatusCode::FORBIDDEN, why).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

async fn caller(shared: &Shared, token: &Secret) -> Result<Option<Caller>, Refused> {
    if let Some(configured) = shared.operator_token.as_ref()
        && bool::from(token.expose().as_bytes().ct_eq(configured.expose().as_bytes()))
    {
        // One token that several people hold proves no name: where two operators must approve, it approves nothing.
        // Another daemon on the same database may have required more since this one started.
        let alone = operators::required(&shared.world.store, shared.world.policy.operators_required).await? < 2;
        let scopes = Scope::ALL.iter().copied().filter(|scope| alone || *scope != Scope::Approve).collect();
        return Ok(Some(Caller::Configured(scopes)));
    }
    if token.expose().is_empty() {
        return Ok(None);
    }
    Ok(operators::who(&shared.world.store, token).await?.map(Caller::Named))
}

/// Nobody we know. Who tries too often is told to wait; whoever has a token comes in all the same.
async fn unknown(shared: &Shared, peer: SocketAddr) -> Response {
    let is_anybody = async || shared.world.store.operators().await.is_ok_and(|all| !all.is_empty());
    if shared.operator_token.is_none() && !is_anybody().await {
        let why = "nobody is an operator yet: make one with `rebalanced operators add`, or set web.operator_token_file";
        return Refused(StatusCode::FORBIDDEN, why.to_owned()).into_response();
    }
    shared.world.metrics.operator_refused("token");
    tracing::warn!(peer = %peer.ip(), "somebody without an operator's token was turned away");
    let mut refusal = if shared.wrong_tokens.admits(peer.ip()) {
        let why = "this needs an operator's token: Authorization: Bearer TOKEN (`rebalanced operators add` makes one)";
        Refused(StatusCode::UNAUTHORIZED, why.to_owned()).into_response()
    } else {
        Refused(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens; wait a minute".to_owned()).into_response()
    };
    refusal.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refusal
}
