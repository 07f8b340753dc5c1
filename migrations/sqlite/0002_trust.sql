-- Operators, users' wishes, consent texts, raised limits, what was last seen of an account. Twin of migrations/postgres/0002_trust.sql.

-- Who may act, by which token. The token itself is nowhere: only its hash.
CREATE TABLE operators (
    name TEXT NOT NULL PRIMARY KEY,
    token_hash TEXT NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    made_by TEXT NOT NULL,
    made_at BIGINT NOT NULL,
    removed_at BIGINT,
    removed_by TEXT
);

-- What users wish for their accounts, inside what their strategies allow: who said it, why, and until when.
CREATE TABLE overrides (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL CHECK (kind IN ('exclude', 'do_not_sell', 'do_not_buy', 'cash', 'cap', 'withdraw')),
    symbol TEXT NOT NULL,
    amount TEXT,
    left_amount TEXT,
    said_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    said_at BIGINT NOT NULL,
    until_at BIGINT,
    ended_at BIGINT,
    ended_by TEXT,
    CHECK ((symbol = '') = (kind IN ('cash', 'cap', 'withdraw'))),
    CHECK ((amount IS NULL) = (kind IN ('exclude', 'do_not_sell', 'do_not_buy'))),
    CHECK ((left_amount IS NULL) = (kind <> 'withdraw'))
);
CREATE UNIQUE INDEX one_override_of_a_kind ON overrides (account, kind, symbol) WHERE ended_at IS NULL;

-- The broker's rows that were counted towards a withdrawal, each once.
CREATE TABLE withdrawals (
    account TEXT NOT NULL REFERENCES accounts (id),
    activity TEXT NOT NULL,
    wish TEXT NOT NULL REFERENCES overrides (id),
    amount TEXT NOT NULL,
    counted_at BIGINT NOT NULL,
    PRIMARY KEY (account, activity)
);

-- What must hold whatever a configuration says: how many operators must approve. A daemon raises it when it starts; lowering
-- takes the tokens of as many operators as are required.
CREATE TABLE requirements (
    name TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    set_by TEXT NOT NULL,
    set_at BIGINT NOT NULL
);

-- Every text that a user was ever asked to agree to, under its hash.
CREATE TABLE consent_texts (
    hash TEXT NOT NULL PRIMARY KEY,
    text TEXT NOT NULL,
    first_shown_at BIGINT NOT NULL
);

CREATE TRIGGER consent_texts_are_never_changed BEFORE UPDATE ON consent_texts
BEGIN
    SELECT RAISE(ABORT, 'texts that were agreed to are append-only');
END;

CREATE TRIGGER consent_texts_are_never_deleted BEFORE DELETE ON consent_texts
BEGIN
    SELECT RAISE(ABORT, 'texts that were agreed to are append-only');
END;

-- Against INSERT OR REPLACE; the same text again is no fault.
CREATE TRIGGER consent_texts_are_never_replaced BEFORE INSERT ON consent_texts
WHEN EXISTS (SELECT 1 FROM consent_texts WHERE rowid = NEW.rowid OR hash = NEW.hash)
BEGIN
    SELECT RAISE(IGNORE);
END;

-- A started connection: the account it must bring back, if it is to reconnect one, and what its user agreed to.
ALTER TABLE oauth_states ADD COLUMN account TEXT;
ALTER TABLE oauth_states ADD COLUMN text_hash TEXT;
ALTER TABLE oauth_states ADD COLUMN live_agreed BIGINT NOT NULL DEFAULT 0;

-- What was last seen of an account: a world that is suddenly empty is not believed.
ALTER TABLE accounts ADD COLUMN seen_equity TEXT;
ALTER TABLE accounts ADD COLUMN seen_positions BIGINT;
ALTER TABLE accounts ADD COLUMN seen_at BIGINT;

-- The version of the program that decided.
ALTER TABLE runs ADD COLUMN program TEXT;

-- A raised limit is an approval, and a bound may name sides: SQLite cannot change a CHECK, so the table is made anew.
CREATE TABLE approvals_new (
    id TEXT NOT NULL PRIMARY KEY,
    kind TEXT NOT NULL CHECK (kind IN ('consent', 'strategy', 'subscription', 'limits')),
    account TEXT,
    strategy TEXT,
    version TEXT,
    text_hash TEXT,
    symbols TEXT,
    sides TEXT,
    max_order_notional TEXT,
    max_run_notional TEXT,
    raises TEXT,
    granted_by TEXT NOT NULL,
    proven BIGINT NOT NULL DEFAULT 0,
    reason TEXT NOT NULL,
    granted_at BIGINT NOT NULL,
    expires_at BIGINT,
    revoked_at BIGINT,
    revoked_by TEXT
);
INSERT INTO approvals_new (id, kind, account, strategy, version, text_hash, symbols, max_order_notional,
    max_run_notional, granted_by, reason, granted_at, expires_at, revoked_at, revoked_by)
SELECT id, kind, account, strategy, version, text_hash, symbols, max_order_notional,
    max_run_notional, granted_by, reason, granted_at, expires_at, revoked_at, revoked_by
FROM approvals;
DROP TABLE approvals;
ALTER TABLE approvals_new RENAME TO approvals;
CREATE INDEX approvals_by_account ON approvals (account);
CREATE INDEX approvals_by_strategy ON approvals (strategy);
