-- What an account held when a run first looked at it: the second half of the run must find what the first half made of it.
-- Twin of migrations/postgres/0003_held.sql.

ALTER TABLE runs ADD COLUMN held TEXT;
