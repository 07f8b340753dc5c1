-- The daemon's own role: it may add events to the audit and do its work, and it cannot change, remove or empty what was
-- recorded, nor touch the tables' rules. Without this, whoever has the daemon's password has the audit too.
--
-- 1. As the owner of the database, bring the tables up to date: `rebalanced migrate` with the owner's database URL. Again
--    after each update of the program, before the daemon starts.
-- 2. As the owner, once and after each migration:
--        psql -v service=rebalanced_service -f deploy/postgres-roles.sql OWNERS_DATABASE_URL
--    and `rebalanced doctor` with the service role's URL: it says whether the role can do all that it must.
--    The role itself is made before: CREATE ROLE rebalanced_service LOGIN PASSWORD '...';
-- 3. Give the daemon the service role's URL. `rebalanced doctor` says whether the role could change events.

REVOKE ALL ON ALL TABLES IN SCHEMA public FROM :"service";
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO :"service";

-- What runs need: rows are added and changed, never removed.
GRANT SELECT, INSERT, UPDATE ON
    users, grants, accounts, subscriptions, strategies, ledger, runs, intents, halts, approvals, operators, requirements,
    chain_head, overrides, withdrawals
    TO :"service";

-- Tokens that were destroyed must leave the table's file, which is written anew for it: that is the right to maintain this one
-- table, or, before PostgreSQL 17, to own it. As its owner the role could also drop it: tokens would be lost, and nothing told.
-- Making it the owner takes a superuser, or an owner of the database who is a member of the service role.
SELECT current_setting('server_version_num')::INT >= 170000 AS can_maintain \gset
\if :can_maintain
    GRANT MAINTAIN ON grants TO :"service";
\else
    GRANT CREATE ON SCHEMA public TO :"service";
    ALTER TABLE grants OWNER TO :"service";
    REVOKE CREATE ON SCHEMA public FROM :"service";
\endif

-- Started connections are taken out once.
GRANT SELECT, INSERT, UPDATE, DELETE ON oauth_states TO :"service";

-- Written once, for good.
GRANT SELECT, INSERT ON events, consent_texts, hooks TO :"service";

-- Which migrations there are; only the owner makes more.
GRANT SELECT ON _sqlx_migrations TO :"service";
