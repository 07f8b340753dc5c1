-- A wish of another kind: the year that a glide path ends with.
-- Twin of migrations/postgres/0006_target_year.sql.

-- SQLite cannot change the rule of a column: the table is made anew, and the one that refers to it with it.
CREATE TABLE withdrawals_kept AS SELECT account, activity, wish, amount, counted_at FROM withdrawals;

DROP TABLE withdrawals;

CREATE TABLE overrides_new (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (id),
    kind TEXT NOT NULL CHECK (kind IN
        ('exclude', 'do_not_sell', 'do_not_buy', 'cash', 'cap', 'target_year', 'withdraw')),
    symbol TEXT NOT NULL,
    amount TEXT,
    left_amount TEXT,
    said_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    said_at BIGINT NOT NULL,
    until_at BIGINT,
    ended_at BIGINT,
    ended_by TEXT,
    CHECK ((symbol = '') = (kind IN ('cash', 'cap', 'target_year', 'withdraw'))),
    CHECK ((amount IS NULL) = (kind IN ('exclude', 'do_not_sell', 'do_not_buy'))),
    CHECK ((left_amount IS NULL) = (kind <> 'withdraw'))
);

INSERT INTO overrides_new (
    id, account, kind, symbol, amount, left_amount, said_by, reason, said_at, until_at, ended_at, ended_by
)
SELECT id, account, kind, symbol, amount, left_amount, said_by, reason, said_at, until_at, ended_at, ended_by
FROM overrides;

DROP TABLE overrides;

ALTER TABLE overrides_new RENAME TO overrides;

CREATE UNIQUE INDEX one_override_of_a_kind ON overrides (account, kind, symbol) WHERE ended_at IS NULL;

CREATE TABLE withdrawals (
    account TEXT NOT NULL REFERENCES accounts (id),
    activity TEXT NOT NULL,
    wish TEXT NOT NULL REFERENCES overrides (id),
    amount TEXT NOT NULL,
    counted_at BIGINT NOT NULL,
    PRIMARY KEY (account, activity)
);

INSERT INTO withdrawals (account, activity, wish, amount, counted_at)
SELECT account, activity, wish, amount, counted_at FROM withdrawals_kept;

DROP TABLE withdrawals_kept;
