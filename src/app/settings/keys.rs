//! Every key that the configuration knows, and the nearest one to a key that it does not know.
//!
//! A key that is not in [`KEYS`] does not exist; a test holds the list and the commented default file together.

/// What a key holds, as far as showing it is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Something that may be shown.
    Plain,
    /// The path of a file with a secret; `check` shows whether the secret is there.
    SecretFile,
    /// An address that may carry a password.
    SecretAddress,
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its path, with dots.
    pub path: &'static str,
    /// What it holds.
    pub holds: Holds,
}

const fn plain(path: &'static str) -> Key {
    Key { path, holds: Holds::Plain }
}

const fn secret(path: &'static str) -> Key {
    Key { path, holds: Holds::SecretFile }
}

/// All keys, in the order of the default file.
pub const KEYS: &[Key] = &[
    Key { path: "database.url", holds: Holds::SecretAddress },
    secret("database.url_file"),
    plain("alpaca.client_id"),
    secret("alpaca.client_secret_file"),
    plain("alpaca.redirect_uri"),
    plain("alpaca.authorize_url"),
    plain("alpaca.token_url"),
    plain("alpaca.live_url"),
    plain("alpaca.paper_url"),
    plain("alpaca.data_url"),
    plain("alpaca.live_stream_url"),
    plain("alpaca.paper_stream_url"),
    plain("alpaca.trade_updates"),
    plain("alpaca.data_key_id"),
    secret("alpaca.data_secret_file"),
    plain("alpaca.live_trading"),
    plain("alpaca.live_trading_approved"),
    plain("alpaca.developer_account_ids"),
    plain("alpaca.pkce"),
    secret("vault.key_file"),
    secret("vault.previous_key_file"),
    plain("web.public_listen"),
    plain("web.operator_listen"),
    secret("web.operator_token_file"),
    plain("web.connects_per_minute"),
    plain("web.connects_per_minute_and_address"),
    plain("web.consent_note"),
    secret("web.hook_secret_file"),
    plain("web.hooks_per_minute"),
    plain("strategies.dir"),
    plain("clock.url"),
    plain("tests.kill_at"),
    plain("runs.max_in_flight"),
    plain("runs.lease_seconds"),
    plain("runs.order_wait_seconds"),
    plain("runs.stop_wait_seconds"),
    plain("runs.halt_file"),
    secret("audit.key_file"),
    plain("audit.checkpoint_file"),
    plain("approvals.operators_required"),
    plain("limits.max_quote_age_seconds"),
    plain("limits.max_trading_runs_per_day"),
    plain("limits.max_order_notional"),
    plain("limits.max_order_equity_percent"),
    plain("limits.live_market_orders"),
    plain("limits.max_order_volume_percent"),
    plain("limits.max_run_notional"),
    plain("limits.max_day_notional"),
    plain("limits.max_turnover_percent"),
    plain("limits.orders_per_holding"),
    plain("limits.orders_beside"),
    plain("limits.runs_worth_of_orders_per_day"),
    plain("limits.price_collar_percent"),
    plain("limits.confirm_price_above"),
    plain("limits.max_valuation_age_seconds"),
    plain("limits.repeat_minutes"),
    plain("limits.max_equity_drop_percent"),
    plain("log.format"),
    plain("log.level"),
];

/// Whether there is such a key.
pub fn is_known(path: &str) -> bool {
    KEYS.iter().any(|key| key.path == path)
}

/// Whether this is a section, so that a table under it makes sense.
pub fn is_section(path: &str) -> bool {
    KEYS.iter().any(|key| key.path.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
}

/// The known key nearest to one that is not known. A key in the wrong section is found by its last word.
pub fn nearest(path: &str) -> Option<&'static str> {
    let word = |path: &str| path.rsplit('.').next().map(str::to_owned).unwrap_or_default();
    let wanted = word(path);
    KEYS.iter()
        .map(|key| {
            let whole = strsim::damerau_levenshtein(path, key.path);
            let last = strsim::damerau_levenshtein(&wanted, &word(key.path)).saturating_add(1);
            (whole.min(last), whole, key.path)
        })
        .min()
        // Beyond a third of the word it is another word, and naming it would mislead.
        .filter(|(distance, _, known)| *distance <= path.len().max(known.len()).div_ceil(3))
        .map(|(_, _, known)| known)
}
