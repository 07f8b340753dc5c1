-- An order that had ended, and of which the broker's own rows say something else since: its executions were taken back or
-- corrected, or there are more of them (docs/execution.md). To be disputed is the one way out of an end, and only the state and
-- its note change: what we had counted stays as it was.
-- Twin of migrations/postgres/0005_disputed.sql.

-- SQLite cannot change the rule of a column: the table is made anew, with its indexes, triggers and view.
DROP VIEW report_orders;

CREATE TABLE intents_new (
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
        ('recorded', 'unknown', 'open', 'filled', 'ended', 'rejected', 'withdrawn', 'quarantined',
        'disputed')),
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

INSERT INTO intents_new (
    id, run, place, account, environment, phase, attempt, client_order_id, symbol, qty, notional,
    limit_price, reckoned_value, state, order_id, filled_qty, filled_avg_price, note, recorded_at, settled_at
)
SELECT
    id, run, place, account, environment, phase, attempt, client_order_id, symbol, qty, notional,
    limit_price, reckoned_value, state, order_id, filled_qty, filled_avg_price, note, recorded_at, settled_at
FROM intents;

DROP TABLE intents;

ALTER TABLE intents_new RENAME TO intents;

CREATE INDEX intents_by_run ON intents (run, recorded_at, place);
CREATE INDEX intents_by_account ON intents (account, recorded_at);
CREATE INDEX intents_by_state ON intents (state);
CREATE INDEX intents_by_order ON intents (account, order_id);

CREATE TRIGGER intents_that_ended_are_never_replaced BEFORE INSERT ON intents
WHEN EXISTS (
    SELECT 1 FROM intents WHERE (rowid = NEW.rowid OR id = NEW.id OR client_order_id = NEW.client_order_id
            OR (run = NEW.run AND phase = NEW.phase AND symbol = NEW.symbol AND attempt = NEW.attempt))
        AND state NOT IN ('recorded', 'unknown', 'open'))
BEGIN
    SELECT RAISE(ABORT, 'an intent that has ended never changes');
END;

CREATE TRIGGER intents_that_ended_absorb BEFORE UPDATE ON intents
WHEN OLD.state NOT IN ('recorded', 'unknown', 'open')
        AND NOT (OLD.state IN ('filled', 'ended', 'rejected', 'withdrawn') AND NEW.state = 'disputed'
            AND NEW.id IS NOT DISTINCT FROM OLD.id
            AND NEW.run IS NOT DISTINCT FROM OLD.run
            AND NEW.place IS NOT DISTINCT FROM OLD.place
            AND NEW.account IS NOT DISTINCT FROM OLD.account
            AND NEW.environment IS NOT DISTINCT FROM OLD.environment
            AND NEW.phase IS NOT DISTINCT FROM OLD.phase
            AND NEW.attempt IS NOT DISTINCT FROM OLD.attempt
            AND NEW.client_order_id IS NOT DISTINCT FROM OLD.client_order_id
            AND NEW.symbol IS NOT DISTINCT FROM OLD.symbol
            AND NEW.qty IS NOT DISTINCT FROM OLD.qty
            AND NEW.notional IS NOT DISTINCT FROM OLD.notional
            AND NEW.limit_price IS NOT DISTINCT FROM OLD.limit_price
            AND NEW.reckoned_value IS NOT DISTINCT FROM OLD.reckoned_value
            AND NEW.order_id IS NOT DISTINCT FROM OLD.order_id
            AND NEW.filled_qty IS NOT DISTINCT FROM OLD.filled_qty
            AND NEW.filled_avg_price IS NOT DISTINCT FROM OLD.filled_avg_price
            AND NEW.recorded_at IS NOT DISTINCT FROM OLD.recorded_at
            AND NEW.settled_at IS NOT DISTINCT FROM OLD.settled_at)
BEGIN
    SELECT RAISE(ABORT, 'an intent that has ended never changes');
END;

CREATE TRIGGER intents_begin_recorded BEFORE INSERT ON intents
WHEN NEW.state <> 'recorded'
BEGIN
    SELECT RAISE(ABORT, 'an intent begins as recorded');
END;

CREATE TRIGGER intents_move_as_listed BEFORE UPDATE OF state ON intents
WHEN NOT (
    OLD.state = NEW.state
    OR (OLD.state IN ('recorded', 'unknown', 'open') AND NEW.state IN ('filled', 'ended', 'rejected', 'quarantined'))
    OR (OLD.state IN ('recorded', 'unknown') AND NEW.state IN ('open', 'withdrawn'))
    OR (OLD.state IN ('recorded', 'open') AND NEW.state = 'unknown')
    OR (OLD.state IN ('filled', 'ended', 'rejected', 'withdrawn') AND NEW.state = 'disputed'))
BEGIN
    SELECT RAISE(ABORT, 'an intent may not move so');
END;

CREATE TRIGGER intents_never_shrink BEFORE UPDATE OF filled_qty ON intents
WHEN CAST(NEW.filled_qty AS NUMERIC) < CAST(OLD.filled_qty AS NUMERIC)
BEGIN
    SELECT RAISE(ABORT, 'what an intent has filled never shrinks');
END;

CREATE VIEW report_orders AS
SELECT
    intents.id AS intent,
    intents.run,
    intents.account,
    intents.environment,
    runs.strategy,
    intents.phase AS side,
    intents.symbol,
    CAST(intents.qty AS REAL) AS qty,
    CAST(intents.notional AS REAL) AS notional,
    CAST(intents.limit_price AS REAL) AS limit_price,
    intents.state,
    intents.client_order_id,
    intents.order_id,
    CAST(intents.filled_qty AS REAL) AS filled_qty,
    CAST(intents.filled_avg_price AS REAL) AS filled_avg_price,
    intents.note,
    strftime('%Y-%m-%dT%H:%M:%fZ', intents.recorded_at / 1000000.0, 'unixepoch') AS recorded_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', intents.settled_at / 1000000.0, 'unixepoch') AS settled_at
FROM intents
JOIN runs ON runs.id = intents.run;
