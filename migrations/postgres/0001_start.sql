-- The whole memory of the daemon. Twin of migrations/sqlite/0001_start.sql: the same tables, columns and rules.
-- Moments are microseconds since 1970 in UTC; amounts are exact decimal texts; codes are the stable codes of the program.

CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    reference TEXT,
    created_at BIGINT NOT NULL
);

-- One delegated token. `sealed` is empty once the token is destroyed.
CREATE TABLE grants (
    id TEXT NOT NULL PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    scopes TEXT NOT NULL,
    key_id TEXT,
    sealed BYTEA,
    granted_at BIGINT NOT NULL,
    reauth_at BIGINT,
    reauth_why TEXT,
    gone_at BIGINT,
    CHECK ((sealed IS NULL) = (key_id IS NULL)),
    CHECK (gone_at IS NULL OR sealed IS NULL)
);

-- The planner's statistics are copies of values: a token that was destroyed would live on in them.
ALTER TABLE grants ALTER COLUMN sealed SET STATISTICS 0;

CREATE TABLE accounts (
    id TEXT NOT NULL PRIMARY KEY,
    environment TEXT NOT NULL CHECK (environment IN ('paper', 'live')),
    number TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id),
    grant_id TEXT NOT NULL REFERENCES grants (id),
    connected_at BIGINT NOT NULL,
    disconnected_at BIGINT
);
CREATE INDEX accounts_by_grant ON accounts (grant_id);

CREATE TABLE subscriptions (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    strategy TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    last_rebalanced_at BIGINT
);
CREATE UNIQUE INDEX one_active_subscription ON subscriptions (account) WHERE ended_at IS NULL;
CREATE INDEX subscriptions_by_strategy ON subscriptions (strategy, ended_at);

-- A started connection: hashes only, used once.
CREATE TABLE oauth_states (
    hash TEXT NOT NULL PRIMARY KEY,
    browser_hash TEXT NOT NULL,
    strategy TEXT,
    environment TEXT CHECK (environment IN ('paper', 'live')),
    reference TEXT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE strategies (
    version TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    first_seen_at BIGINT NOT NULL
);

-- How far each strategy's schedule has been evaluated, and the version for which runs were made last, as new.
CREATE TABLE ledger (
    strategy TEXT NOT NULL PRIMARY KEY,
    evaluated_until BIGINT NOT NULL,
    version TEXT
);

-- Signed messages that asked for runs: an id asks once.
CREATE TABLE hooks (
    id TEXT NOT NULL PRIMARY KEY,
    strategy TEXT NOT NULL,
    account TEXT,
    received_at BIGINT NOT NULL
);

CREATE TABLE runs (
    id TEXT NOT NULL PRIMARY KEY,
    subscription TEXT NOT NULL REFERENCES subscriptions (id),
    account TEXT NOT NULL REFERENCES accounts (id),
    environment TEXT NOT NULL CHECK (environment IN ('paper', 'live')),
    strategy TEXT NOT NULL,
    version TEXT,
    slot BIGINT NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('schedule', 'manual', 'new_version', 'webhook')),
    slot_reason TEXT NOT NULL DEFAULT 'scheduled',
    turn BIGINT NOT NULL DEFAULT 0,
    begin_until BIGINT,
    new_version TEXT,
    hook TEXT REFERENCES hooks (id),
    state TEXT NOT NULL CHECK (state IN ('due', 'running', 'closed')),
    epoch BIGINT NOT NULL,
    lease_until BIGINT,
    reason TEXT,
    made_at BIGINT NOT NULL,
    claimed_at BIGINT,
    closed_at BIGINT,
    outcome TEXT,
    outcome_reason TEXT,
    outcome_detail TEXT,
    drift_before TEXT,
    drift_after TEXT,
    turnover TEXT,
    decision TEXT,
    UNIQUE (subscription, slot),
    CHECK ((state = 'running') = (lease_until IS NOT NULL)),
    CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CHECK ((state = 'closed') = (outcome IS NOT NULL))
);
CREATE UNIQUE INDEX one_running_run ON runs (account) WHERE state = 'running';
CREATE UNIQUE INDEX one_run_of_new_version ON runs (subscription, new_version) WHERE new_version IS NOT NULL;
CREATE INDEX runs_by_hook ON runs (hook) WHERE hook IS NOT NULL;
CREATE INDEX runs_by_state ON runs (state, turn, id);
CREATE INDEX runs_by_account ON runs (account, state, turn);

CREATE TABLE intents (
    id TEXT NOT NULL PRIMARY KEY,
    run TEXT NOT NULL REFERENCES runs (id),
    place BIGINT NOT NULL,
    account TEXT NOT NULL REFERENCES accounts (id),
    environment TEXT NOT NULL CHECK (environment IN ('paper', 'live')),
    phase TEXT NOT NULL CHECK (phase IN ('sell', 'buy')),
    attempt BIGINT NOT NULL,
    client_order_id TEXT NOT NULL UNIQUE,
    symbol TEXT NOT NULL,
    qty TEXT,
    notional TEXT,
    limit_price TEXT,
    reckoned_value TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
        ('recorded', 'unknown', 'open', 'filled', 'ended', 'rejected', 'withdrawn', 'quarantined')),
    order_id TEXT,
    filled_qty TEXT NOT NULL,
    filled_avg_price TEXT,
    note TEXT NOT NULL,
    recorded_at BIGINT NOT NULL,
    settled_at BIGINT,
    UNIQUE (run, phase, symbol, attempt),
    CHECK ((qty IS NULL) <> (notional IS NULL)),
    CHECK ((settled_at IS NULL) = (state IN ('recorded', 'unknown', 'open')))
);
CREATE INDEX intents_by_run ON intents (run, recorded_at, place);
CREATE INDEX intents_by_account ON intents (account, recorded_at);
CREATE INDEX intents_by_state ON intents (state);
CREATE INDEX intents_by_order ON intents (account, order_id);

CREATE TABLE halts (
    id TEXT NOT NULL PRIMARY KEY,
    scope TEXT NOT NULL CHECK (scope IN ('service', 'account', 'symbol')),
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    pulled_by TEXT NOT NULL,
    pulled_at BIGINT NOT NULL,
    released_at BIGINT,
    released_by TEXT
);
CREATE INDEX halts_by_release ON halts (released_at);

CREATE TABLE approvals (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('consent', 'strategy', 'subscription')),
    account TEXT,
    strategy TEXT,
    version TEXT,
    text_hash TEXT,
    symbols TEXT,
    max_order_notional TEXT,
    max_run_notional TEXT,
    granted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT
);
CREATE INDEX approvals_by_account ON approvals (account);
CREATE INDEX approvals_by_strategy ON approvals (strategy);

-- The audit: append-only, each event holds the hash of the one before it.
CREATE TABLE events (
    sequence BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    kind TEXT NOT NULL,
    account TEXT NOT NULL,
    run TEXT NOT NULL,
    facts TEXT NOT NULL,
    previous TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE
);

-- The end of the chain, one row: whoever appends holds it until the commit.
CREATE TABLE chain_head (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO chain_head (id, sequence, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0];
END;
$$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
FOR EACH ROW EXECUTE FUNCTION refuse_change('events are append-only');

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
FOR EACH ROW EXECUTE FUNCTION refuse_change('events are append-only');

CREATE TRIGGER events_are_never_truncated BEFORE TRUNCATE ON events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change('events are append-only');

CREATE TRIGGER intents_that_ended_absorb BEFORE UPDATE ON intents
FOR EACH ROW WHEN (OLD.state NOT IN ('recorded', 'unknown', 'open'))
EXECUTE FUNCTION refuse_change('an intent that has ended never changes');

CREATE TRIGGER runs_that_closed_absorb BEFORE UPDATE ON runs
FOR EACH ROW WHEN (OLD.state = 'closed')
EXECUTE FUNCTION refuse_change('a run that has closed never changes');

-- For people and reporting tools; the program never reads them.
CREATE VIEW report_runs AS
SELECT
    id AS run,
    account,
    environment,
    strategy,
    version,
    to_timestamp(slot / 1000000.0) AS slot,
    slot_reason,
    cause,
    state,
    reason,
    to_timestamp(claimed_at / 1000000.0) AS claimed_at,
    to_timestamp(closed_at / 1000000.0) AS closed_at,
    outcome,
    outcome_reason,
    outcome_detail,
    CAST(drift_before AS NUMERIC) AS drift_before,
    CAST(drift_after AS NUMERIC) AS drift_after,
    CAST(turnover AS NUMERIC) AS turnover
FROM runs;

CREATE VIEW report_orders AS
SELECT
    intents.id AS intent,
    intents.run,
    intents.account,
    intents.environment,
    runs.strategy,
    intents.phase AS side,
    intents.symbol,
    CAST(intents.qty AS NUMERIC) AS qty,
    CAST(intents.notional AS NUMERIC) AS notional,
    CAST(intents.limit_price AS NUMERIC) AS limit_price,
    intents.state,
    intents.client_order_id,
    intents.order_id,
    CAST(intents.filled_qty AS NUMERIC) AS filled_qty,
    CAST(intents.filled_avg_price AS NUMERIC) AS filled_avg_price,
    intents.note,
    to_timestamp(intents.recorded_at / 1000000.0) AS recorded_at,
    to_timestamp(intents.settled_at / 1000000.0) AS settled_at
FROM intents
JOIN runs ON runs.id = intents.run;
