"""The statements of the verbs themselves. Each is a constant; values are bound."""

from __future__ import annotations

from typing import Final, LiteralString

PERFORM: Final = "SELECT * FROM allowance.perform(%s, %s, %s, %s, %s)"
RENEW: Final = "SELECT allowance.renew(%s, %s, %s)"
PRESENT: Final = "SELECT allowance.present(%s)"
ENTER: Final = "SELECT allowance.enter(%s, %s, %s)"
STRIPES_OF: Final = "SELECT allowance.stripes_of(%s)"

_ACCOUNT: Final[LiteralString] = """
    SELECT id, project, kind, name, label, base_limit, duration, align, timezone, uncapped, models, declared,
           created_at, window_start, window_end, spent, held, version, extras, seen
    FROM allowance.account"""
ACCOUNT_ID: Final = (
    "SELECT id FROM allowance.account WHERE project = %s AND kind = %s AND name = %s AND label = %s"
)
ACCOUNT: Final[LiteralString] = f"{_ACCOUNT} WHERE project = %s AND kind = %s AND name = %s AND label = %s"
FAMILY: Final[LiteralString] = f"{_ACCOUNT} WHERE project = %s AND kind = %s AND name = %s ORDER BY label"
ACCOUNTS_AFTER: Final[LiteralString] = f"""{_ACCOUNT}
    WHERE (project, kind, name, label) > (%s, %s, %s, %s) ORDER BY project, kind, name, label LIMIT %s
"""
ACCOUNTS_OF_PROJECT_AFTER: Final[LiteralString] = f"""{_ACCOUNT}
    WHERE project = %s AND (kind, name, label) > (%s, %s, %s) ORDER BY kind, name, label LIMIT %s
"""
ADD_ACCOUNT: Final = """
    INSERT INTO allowance.account (
        project, kind, name, label, stripe, base_limit, duration, align, timezone, uncapped, models, declared,
        created_at, window_start, window_end, spent, held, version, extras, extra, extra_until, seen)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING id
"""
KEEP_ACCOUNT: Final = """
    UPDATE allowance.account
    SET base_limit = %s, duration = %s, align = %s, timezone = %s, uncapped = %s, models = %s, declared = %s,
        created_at = %s, window_start = %s, window_end = %s, spent = %s, held = %s, version = %s, extras = %s,
        extra = %s, extra_until = %s, seen = %s
    WHERE id = %s
"""
RENAME: Final = """
    UPDATE allowance.account SET project = %s, kind = %s, name = %s, label = %s, stripe = %s WHERE id = %s
"""
PROJECTS: Final = """
    SELECT DISTINCT project FROM allowance.account WHERE kind = %s AND name = %s ORDER BY project LIMIT 20
"""

COSTS: Final = """
    SELECT model, sum(amount)::bigint FROM allowance.entry
    WHERE account = %s AND at >= %s AND (%s::bigint IS NULL OR at < %s) GROUP BY model
"""
MODEL_COSTS: Final = """
    SELECT CASE WHEN model <> '' THEN substr(model, 2) END, amount FROM allowance.cost
    WHERE account = %s AND window_start = %s
"""
ADD_COST: Final = """
    INSERT INTO allowance.cost (account, model, window_start, amount) VALUES (%s, %s, %s, %s)
    ON CONFLICT (account, model) DO UPDATE
    SET amount = excluded.amount
            + CASE WHEN cost.window_start = excluded.window_start THEN cost.amount ELSE 0 END,
        window_start = excluded.window_start
"""
DROP_COSTS: Final = "DELETE FROM allowance.cost WHERE account = %s"

_HOLD: Final[LiteralString] = """
    SELECT hold_id, state, amount, expected, bound,
           (SELECT json_agg(json_build_array(project, kind, name, label, start) ORDER BY place)::text
            FROM unnest(accounts, starts) WITH ORDINALITY AS named (account, start, place)
            JOIN allowance.account ON account.id = named.account),
           model, reserved_at, expires_at, charged, shrunk, clamped, replaced, content, tags, owner
    FROM allowance.hold"""
HOLD: Final[LiteralString] = f"{_HOLD} WHERE hold_id = %s"
DUE: Final[LiteralString] = (
    f"{_HOLD} WHERE state = 'held' AND expires_at <= %s ORDER BY expires_at, hold_id LIMIT 500"
)
UNSETTLED: Final[LiteralString] = f"""
    {_HOLD} WHERE state = 'held' UNION ALL {_HOLD} WHERE state = 'expired' ORDER BY reserved_at, hold_id
"""
"""Each half by an index of its own: the holds that are settled are not read."""
HELD: Final = """
    SELECT coalesce(sum(amount), 0)::bigint FROM allowance.hold
    WHERE state = 'held' AND %s = ANY (accounts) AND reserved_at >= %s
      AND (%s::bigint IS NULL OR reserved_at < %s)
"""
ADD_HOLD: Final = """
    INSERT INTO allowance.hold (
        hold_id, state, amount, expected, bound, accounts, starts, model, reserved_at, expires_at, charged,
        shrunk, clamped, replaced, content, tags, owner)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
KEEP_HOLD: Final = "UPDATE allowance.hold SET state = %s, expires_at = %s, charged = %s WHERE hold_id = %s"

ADD_ENTRY: Final = """
    INSERT INTO allowance.entry (account, kind, amount, at, posted_at, window_start, hold_id, model,
                                 input_tokens, output_tokens, unconfirmed, counted, reason, tags)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
_ENTRY: Final[LiteralString] = """
    SELECT seq, project, account.kind, name, label, entry.kind, amount, at, posted_at, entry.window_start,
           hold_id, model, input_tokens, output_tokens, unconfirmed, counted, reason, tags
    FROM allowance.entry JOIN allowance.account ON account.id = entry.account"""
ENTRY_NUMBERS: Final = (
    "SELECT seq FROM allowance.entry WHERE account = %s AND at >= %s AND at < %s AND seq > %s"
)
ENTRIES: Final[LiteralString] = f"{_ENTRY} WHERE seq = ANY (%s) ORDER BY seq"
ENTRIES_OF_HOLD: Final[LiteralString] = f"""{_ENTRY}
    WHERE entry.account = ANY (%s) AND at = %s AND hold_id = %s ORDER BY seq
"""
ENTRIES_AFTER: Final[LiteralString] = f"""{_ENTRY}
    WHERE seq > %s AND seq <= %s AND at >= %s AND at < %s ORDER BY seq LIMIT %s
"""
LAST_ENTRY: Final = "SELECT coalesce(pg_sequence_last_value('allowance.entry_seq_seq'), 0)"
WRITERS: Final = """
    SELECT DISTINCT virtualtransaction FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 1634496375 AND granted AND pid <> pg_backend_pid()
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
"""The transactions that write now: each of them has locks of ours."""
HOLD_PLACES: Final = "SELECT accounts, reserved_at FROM allowance.hold WHERE hold_id = %s"

HOLDS_AFTER: Final[LiteralString] = f"{_HOLD} WHERE hold_id > %s ORDER BY hold_id LIMIT %s"
FORGET_HOLD: Final = "DELETE FROM allowance.hold WHERE hold_id = %s"
OLD_LINES: Final[LiteralString] = f"""{_ENTRY}
    WHERE entry.account = %s AND at >= %s AND (at > %s OR seq > %s) AND at < %s
          AND NOT EXISTS (SELECT FROM allowance.hold WHERE hold.hold_id = entry.hold_id)
    ORDER BY at, seq LIMIT %s
"""
UNGUARD: Final = "SELECT set_config('allowance.pruning', 'on', true)"
DROP_LINES: Final = "DELETE FROM allowance.entry WHERE seq = ANY (%s)"
CARRY_LINE: Final = """
    INSERT INTO allowance.entry (seq, account, kind, amount, at, posted_at, window_start, hold_id, model,
                                 input_tokens, output_tokens, unconfirmed, counted, reason, tags)
    OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s, %s, %s, %s, NULL, %s, %s, %s, false, false, %s, NULL)
"""

ADJUSTMENT: Final = """
    SELECT project, kind, name, label, amount, until
    FROM allowance.adjustment JOIN allowance.account ON account.id = account WHERE adjustment_id = %s
"""
ADD_ADJUSTMENT: Final = """
    INSERT INTO allowance.adjustment (adjustment_id, account, amount, until) VALUES (%s, %s, %s, %s)
"""

SUSPECTS: Final = """
    SELECT project, kind, name, label FROM allowance.account
    LEFT JOIN LATERAL (
        SELECT coalesce(sum(amount), 0) AS total FROM allowance.entry
        WHERE entry.account = account.id AND at >= window_start AND (window_end IS NULL OR at < window_end)
    ) AS posted ON true
    LEFT JOIN (
        SELECT numbered.id, sum(amount) AS total
        FROM allowance.hold, unnest(accounts) AS named (account_id), allowance.account AS numbered
        WHERE state = 'held' AND numbered.id = account_id AND reserved_at >= window_start
          AND (window_end IS NULL OR reserved_at < window_end)
        GROUP BY numbered.id
    ) AS reserved ON reserved.id = account.id
    WHERE spent <> posted.total OR held <> coalesce(reserved.total, 0) OR EXISTS (
        SELECT FROM (
            SELECT coalesce('=' || model, '') AS model, sum(amount) AS amount FROM allowance.entry
            WHERE entry.account = account.id AND at >= account.window_start
              AND (window_end IS NULL OR at < window_end)
            GROUP BY 1
        ) AS counted
        FULL JOIN (
            SELECT model, amount FROM allowance.cost
            WHERE cost.account = account.id AND cost.window_start = account.window_start
        ) AS kept ON kept.model = counted.model
        WHERE coalesce(counted.amount, 0) <> coalesce(kept.amount, 0)
    )
    ORDER BY project, kind, name, label
"""
"""Accounts whose figures are not what their entries and holds add up to."""
MISPOSTED: Final = """
    SELECT hold_id, sum(entry.amount)::bigint, charged
    FROM allowance.entry JOIN allowance.hold USING (hold_id)
    WHERE kind <> 'adjustment' GROUP BY hold_id, account, charged HAVING sum(entry.amount) <> charged
"""
UNPOSTED: Final = """
    SELECT hold_id FROM allowance.hold WHERE state IN ('settled', 'expired')
    EXCEPT SELECT hold_id FROM allowance.entry
"""
