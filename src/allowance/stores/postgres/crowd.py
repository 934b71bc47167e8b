"""The common case of many reserves and settles at once: a few statements for all of them, not for each.

`allowance.consider` looks at what they would do, in their order, as if each were granted. What is not plain
is *odd*: what is not as it was told, or would not fit at its place, or stands under globs. What is odd, and
whatever shares a lock with it, goes its way one by one (see `functions`), and so in its order. For the others
the order makes no difference any more: `allowance.post` does them together. No id may be among them twice.
"""

from __future__ import annotations

from typing import Final, LiteralString

__all__ = ["CROWD"]

_CONSIDER: Final[LiteralString] = """
-- What each operation would do to each of its accounts, one row for each, in their order.
CREATE TYPE allowance.effect AS (
    number integer, place integer, stripe integer, account bigint, start bigint, spends bigint, holds bigint,
    amount bigint, spent bigint, held bigint, version bigint, asks boolean, bound boolean, expires_at bigint,
    model text, odd boolean
);

CREATE FUNCTION allowance.consider(_ops jsonb, _locked integer[], _now bigint) RETURNS SETOF allowance.effect
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH op AS MATERIALIZED (
        SELECT told.*, hold.hold_id, hold.state, hold.amount AS was, hold.accounts, hold.reserved_at
        FROM ROWS FROM (
            jsonb_to_recordset(_ops) AS (
                id text, families jsonb, amount bigint, ceiling bigint, bounded boolean, ttl bigint,
                model text, replacing text)
        ) WITH ORDINALITY AS told (id, families, amount, ceiling, bounded, ttl, model, replacing, number)
        LEFT JOIN allowance.hold ON hold.hold_id = told.id
    ), touched AS (
        SELECT number, row_number() OVER (PARTITION BY number ORDER BY family.place, label) AS place,
               0::bigint AS spends, op.amount AS holds, op.amount AS amount, true AS asks,
               bounded AND op.amount >= ceiling AS bound, _now + ttl AS expires_at, op.model,
               op.hold_id IS NOT NULL OR op.replacing IS NOT NULL OR account.id IS NULL
               OR account.models IS NOT NULL OR named->>label <> coalesce(declared, '')
               OR (uncapped = 'reserve' AND base_limit IS NOT NULL AND op.amount <> op.ceiling)
               OR (row_number() OVER families = 1 AND label <> '')
               OR count(*) FILTER (WHERE named ? label) OVER (PARTITION BY number, family.place)
                  <> family.count AS odd,
               account.*
        FROM op, ROWS FROM (
            jsonb_to_recordset(op.families) AS (
                project text, kind text, name text, named jsonb, count bigint)
        ) WITH ORDINALITY AS family (project, kind, name, named, count, place)
        LEFT JOIN allowance.account ON account.project = family.project
            AND account.kind = family.kind AND account.name = family.name
        WHERE op.families IS NOT NULL
        WINDOW families AS (PARTITION BY number, family.place ORDER BY label)
        UNION ALL
        SELECT number, named.place, op.amount, -op.was, op.was, false, false, 0::bigint, op.model,
               op.state <> 'held' OR account.id IS NULL OR stripe <> ALL (_locked)
               OR window_start > op.reserved_at,
               account.*
        FROM op
        LEFT JOIN LATERAL unnest(op.accounts) WITH ORDINALITY AS named (account, place) ON true
        LEFT JOIN allowance.account ON account.id = named.account
        WHERE op.families IS NULL
    )
    SELECT number::integer, place::integer, stripe, id, window_start, spends, holds, amount,
           spent + (sum(spends) OVER before)::bigint, held + (sum(holds) OVER before)::bigint,
           version + row_number() OVER before,
           asks, bound, expires_at, model,
           coalesce(odd, false) OR id IS NULL OR seen > _now OR coalesce(window_end <= _now, false)
           OR coalesce(extra_until <= _now, false)
           OR (asks AND coalesce(base_limit + extra - spent - held < sum(spends + holds) OVER before, false))
    FROM touched
    WINDOW before AS (PARTITION BY id ORDER BY number);
END $$;
"""

_POST: Final[LiteralString] = """
-- Do what they would, all of them; none of these is odd.
CREATE FUNCTION allowance.post(_ops jsonb, _effects allowance.effect[], _now bigint)
RETURNS SETOF allowance.reply LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH effect AS MATERIALIZED (
        SELECT * FROM unnest(_effects)
    ), op AS MATERIALIZED (
        SELECT named.*, op.*
        FROM (
            SELECT number, array_agg(account ORDER BY place) AS accounts,
                   array_agg(start ORDER BY place) AS starts, bool_and(bound) AS bound
            FROM effect GROUP BY number
        ) AS named, jsonb_to_record(_ops->(number - 1)) AS op (
            id text, families jsonb, amount bigint, expected bigint, bounded boolean, ttl bigint, model text,
            content text, tags text, owner text, input bigint, output bigint, unconfirmed boolean,
            counted boolean, reason text)
    ), reserved AS (
        INSERT INTO allowance.hold
            SELECT id, 'held', amount, expected, bound, accounts, starts, model, _now,
                   _now + ttl, 0, false, false, false, decode(content, 'hex'), tags, owner
            FROM op WHERE families IS NOT NULL
    ), settled AS (
        UPDATE allowance.hold SET state = 'settled', charged = op.amount
        FROM op WHERE op.families IS NULL AND hold.hold_id = op.id
        RETURNING op.number, hold.accounts, hold.starts, hold.reserved_at, hold.hold_id, op.amount, op.model,
                  input, output, unconfirmed, counted, reason, coalesce(op.tags, hold.tags) AS tags
    ), posted AS (
        INSERT INTO allowance.entry (account, kind, amount, at, posted_at, window_start, hold_id, model,
                                     input_tokens, output_tokens, unconfirmed, counted, reason, tags)
            SELECT account, 'call', amount, reserved_at, _now, start, hold_id, model, input, output,
                   unconfirmed, counted, reason, tags
            FROM settled, unnest(accounts, starts) WITH ORDINALITY AS named (account, start, place)
            ORDER BY number, place
    ), counted AS (
        INSERT INTO allowance.cost (account, model, window_start, amount)
            SELECT account, coalesce('=' || model, ''), start, sum(spends)
            FROM effect WHERE spends > 0 GROUP BY 1, 2, 3
        ON CONFLICT (account, model) DO UPDATE
            SET window_start = excluded.window_start, amount = excluded.amount
                + CASE WHEN cost.window_start = excluded.window_start THEN cost.amount ELSE 0 END
    ), kept AS (
        UPDATE allowance.account
        SET spent = account.spent + changed.spends, held = account.held + changed.holds,
            version = account.version + changed.times, seen = _now
        FROM (
            SELECT account AS id, sum(spends)::bigint AS spends, sum(holds)::bigint AS holds,
                   count(*) AS times
            FROM effect GROUP BY account
        ) AS changed
        WHERE account.id = changed.id
    )
    SELECT number - 1, CASE WHEN asks THEN 'granted' ELSE 'settled' END, amount, false, false, bound,
           expires_at, place, account.id, project, kind, name, label, base_limit, duration, align, timezone,
           uncapped, models, declared, created_at, window_start, window_end, effect.spent, effect.held,
           effect.version, extras
    FROM effect JOIN allowance.account ON account.id = effect.account;
END $$;
"""

CROWD: Final[LiteralString] = _CONSIDER + _POST
