-- A wish of another kind: the year that a glide path ends with.
-- Twin of migrations/sqlite/0006_target_year.sql.

ALTER TABLE overrides DROP CONSTRAINT overrides_kind_check;

ALTER TABLE overrides ADD CONSTRAINT overrides_kind_check CHECK (kind IN
    ('exclude', 'do_not_sell', 'do_not_buy', 'cash', 'cap', 'target_year', 'withdraw'));

ALTER TABLE overrides DROP CONSTRAINT overrides_check;

ALTER TABLE overrides ADD CONSTRAINT overrides_check CHECK (
    (symbol = '') = (kind IN ('cash', 'cap', 'target_year', 'withdraw')));
