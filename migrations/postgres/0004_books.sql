-- The books of an account, both ledgers of a run, and the moves that runs and orders may make (docs/execution.md).
-- Twin of migrations/sqlite/0004_books.sql.

ALTER TABLE accounts ADD COLUMN books_at BIGINT;
ALTER TABLE accounts ADD COLUMN books_cash TEXT;
ALTER TABLE accounts ADD COLUMN books_shares TEXT;
ALTER TABLE accounts ADD COLUMN books_counted TEXT;
ALTER TABLE runs ADD COLUMN ledgers TEXT;

CREATE INDEX accounts_by_books ON accounts (books_at);

CREATE TRIGGER intents_begin_recorded BEFORE INSERT ON intents
FOR EACH ROW WHEN (NEW.state <> 'recorded')
EXECUTE FUNCTION refuse_change('an intent begins as recorded');

CREATE TRIGGER intents_move_as_listed BEFORE UPDATE OF state ON intents
FOR EACH ROW WHEN (NOT (
    OLD.state = NEW.state
    OR (OLD.state IN ('recorded', 'unknown', 'open') AND NEW.state IN ('filled', 'ended', 'rejected', 'quarantined'))
    OR (OLD.state IN ('recorded', 'unknown') AND NEW.state IN ('open', 'withdrawn'))
    OR (OLD.state IN ('recorded', 'open') AND NEW.state = 'unknown')))
EXECUTE FUNCTION refuse_change('an intent may not move so');

CREATE TRIGGER intents_never_shrink BEFORE UPDATE OF filled_qty ON intents
FOR EACH ROW WHEN (CAST(NEW.filled_qty AS NUMERIC) < CAST(OLD.filled_qty AS NUMERIC))
EXECUTE FUNCTION refuse_change('what an intent has filled never shrinks');

CREATE TRIGGER runs_begin_due_or_closed BEFORE INSERT ON runs
FOR EACH ROW WHEN (NEW.state NOT IN ('due', 'closed'))
EXECUTE FUNCTION refuse_change('a run begins as due, or as missed');

CREATE TRIGGER runs_move_as_listed BEFORE UPDATE OF state ON runs
FOR EACH ROW WHEN (NOT (OLD.state = NEW.state OR OLD.state = 'due' OR (OLD.state = 'running' AND NEW.state = 'closed')))
EXECUTE FUNCTION refuse_change('a run may not move so');

CREATE TRIGGER runs_count_their_workers BEFORE UPDATE OF epoch ON runs
FOR EACH ROW WHEN (NEW.epoch < OLD.epoch)
EXECUTE FUNCTION refuse_change('the epoch of a run never falls');
