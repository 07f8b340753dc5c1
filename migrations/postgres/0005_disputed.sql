-- An order that had ended, and of which the broker's own rows say something else since: its executions were taken back or
-- corrected, or there are more of them (docs/execution.md). To be disputed is the one way out of an end, and only the state and
-- its note change: what we had counted stays as it was.
-- Twin of migrations/sqlite/0005_disputed.sql.

ALTER TABLE intents DROP CONSTRAINT intents_state_check;

ALTER TABLE intents ADD CONSTRAINT intents_state_check CHECK (state IN
    ('recorded', 'unknown', 'open', 'filled', 'ended', 'rejected', 'withdrawn', 'quarantined', 'disputed'));

DROP TRIGGER intents_that_ended_absorb ON intents;

CREATE TRIGGER intents_that_ended_absorb BEFORE UPDATE ON intents
FOR EACH ROW WHEN (
    OLD.state NOT IN ('recorded', 'unknown', 'open')
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
            AND NEW.settled_at IS NOT DISTINCT FROM OLD.settled_at))
EXECUTE FUNCTION refuse_change('an intent that has ended never changes');

DROP TRIGGER intents_move_as_listed ON intents;

CREATE TRIGGER intents_move_as_listed BEFORE UPDATE OF state ON intents
FOR EACH ROW WHEN (NOT (
    OLD.state = NEW.state
    OR (OLD.state IN ('recorded', 'unknown', 'open') AND NEW.state IN ('filled', 'ended', 'rejected', 'quarantined'))
    OR (OLD.state IN ('recorded', 'unknown') AND NEW.state IN ('open', 'withdrawn'))
    OR (OLD.state IN ('recorded', 'open') AND NEW.state = 'unknown')
    OR (OLD.state IN ('filled', 'ended', 'rejected', 'withdrawn') AND NEW.state = 'disputed')))
EXECUTE FUNCTION refuse_change('an intent may not move so');
