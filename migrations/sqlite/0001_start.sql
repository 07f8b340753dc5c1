-- The tables. See migrations/README.md for the rules of columns.

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    reference TEXT,
    created_at BIGINT NOT NULL
);

-- One delegated token. `sealed` is destroyed when the user leaves or connects again.
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    scopes TEXT NOT NULL,
    key_id TEXT,
    sealed BLOB,
    created_at BIGINT NOT NULL,
    reauth_at BIGINT,
    gone_at BIGINT
);

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    environment TEXT NOT NULL CHECK (environment IN ('paper', 'live')),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    number TEXT NOT NULL,
    connected_at BIGINT NOT NULL
);

CREATE TABLE subscriptions (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    strategy TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    last_rebalanced_at BIGINT
);
CREATE UNIQUE INDEX one_active_subscription_per_account ON subscriptions (account_id) WHERE ended_at IS NULL;
CREATE INDEX subscriptions_by_strategy ON subscriptions (strategy) WHERE ended_at IS NULL;

-- Every version of a strategy that was ever loaded, so that each run can be explained.
CREATE TABLE strategies (
    version TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    seen_at BIGINT NOT NULL
);

-- How far each strategy's schedule has been looked at.
CREATE TABLE slot_ledger (
    strategy TEXT NOT NULL PRIMARY KEY,
    evaluated_until BIGINT NOT NULL
);

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    subscription_id TEXT NOT NULL REFERENCES subscriptions (id),
    account_id TEXT NOT NULL REFERENCES accounts (id),
    environment TEXT NOT NULL CHECK (environment IN ('paper', 'live')),
    strategy TEXT NOT NULL,
    version TEXT,
    slot BIGINT NOT NULL,
    trigger_kind TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('due', 'running', 'closed')),
    reason TEXT,
    epoch BIGINT NOT NULL,
    lease_until BIGINT,
    claimed_at BIGINT,
    traded_at BIGINT,
    closed_at BIGINT,
    outcome TEXT,
    outcome_reason TEXT,
    outcome_detail TEXT,
    drift_before TEXT,
    drift_after TEXT,
    turnover TEXT,
    decision TEXT,
    CONSTRAINT one_run_per_slot UNIQUE (subscription_id, slot)
);
CREATE UNIQUE INDEX one_running_run_per_account ON runs (account_id) WHERE state = 'running';
CREATE INDEX runs_open ON runs (state, slot) WHERE state <> 'closed';
CREATE INDEX runs_by_slot ON runs (slot);
CREATE INDEX runs_traded ON runs (account_id, traded_at) WHERE traded_at IS NOT NULL;

CREATE TABLE intents (
    id TEXT NOT NULL PRIMARY KEY,
    run_id TEXT NOT NULL REFERENCES runs (id),
    account_id TEXT NOT NULL,
    environment TEXT NOT NULL,
    phase TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    client_order_id TEXT NOT NULL,
    symbol TEXT NOT NULL,
    qty TEXT,
    notional TEXT,
    limit_price TEXT,
    value TEXT NOT NULL,
    state TEXT NOT NULL,
    order_id TEXT,
    filled_qty TEXT NOT NULL,
    filled_avg_price TEXT,
    note TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    settled_at BIGINT,
    CONSTRAINT one_intent_per_client_order_id UNIQUE (client_order_id),
    CONSTRAINT one_attempt_per_leg UNIQUE (run_id, phase, symbol, attempt),
    CONSTRAINT qty_or_notional CHECK ((qty IS NULL) <> (notional IS NULL))
);
CREATE INDEX intents_unsettled ON intents (run_id) WHERE settled_at IS NULL;

CREATE TABLE halts (
    id TEXT NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    pulled_by TEXT NOT NULL,
    pulled_at BIGINT NOT NULL,
    released_at BIGINT,
    released_by TEXT
);
CREATE INDEX halts_in_force ON halts (pulled_at) WHERE released_at IS NULL;

CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL,
    account_id TEXT,
    strategy TEXT,
    version TEXT,
    text_hash TEXT,
    bound TEXT,
    granted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT
);

-- Started connections; only hashes, used once.
CREATE TABLE oauth_states (
    hash TEXT NOT NULL PRIMARY KEY,
    browser_hash TEXT NOT NULL,
    strategy TEXT,
    environment TEXT,
    reference TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- The audit: append-only, hash-chained.
CREATE TABLE events (
    sequence BIGINT NOT NULL PRIMARY KEY,
    happened_at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    account_id TEXT NOT NULL,
    run_id TEXT NOT NULL,
    facts TEXT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE chain_head (
    id TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO chain_head (id, sequence, hash)
VALUES ('head', 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER events_are_never_removed BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;

-- Ends absorb (S14).
CREATE TRIGGER settled_intents_stay BEFORE UPDATE ON intents WHEN OLD.settled_at IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a settled intent never changes'); END;
CREATE TRIGGER closed_runs_stay BEFORE UPDATE ON runs WHEN OLD.state = 'closed'
BEGIN SELECT RAISE(ABORT, 'a closed run never changes'); END;

CREATE VIEW report_runs AS
SELECT id, account_id, environment, strategy, strftime('%Y-%m-%dT%H:%M:%SZ', slot / 1000000, 'unixepoch') AS slot,
       state, outcome, outcome_reason AS reason, outcome_detail AS detail,
       CAST(drift_before AS REAL) AS drift_before, CAST(drift_after AS REAL) AS drift_after,
       CAST(turnover AS REAL) AS turnover,
       strftime('%Y-%m-%dT%H:%M:%SZ', closed_at / 1000000, 'unixepoch') AS closed_at
FROM runs;

CREATE VIEW report_orders AS
SELECT client_order_id, run_id, account_id, environment, symbol, phase AS side, state,
       CAST(qty AS REAL) AS qty, CAST(notional AS REAL) AS notional, CAST(value AS REAL) AS value,
       CAST(filled_qty AS REAL) AS filled_qty, CAST(filled_avg_price AS REAL) AS filled_avg_price, note,
       strftime('%Y-%m-%dT%H:%M:%SZ', recorded_at / 1000000, 'unixepoch') AS recorded_at,
       strftime('%Y-%m-%dT%H:%M:%SZ', settled_at / 1000000, 'unixepoch') AS settled_at
FROM intents;
