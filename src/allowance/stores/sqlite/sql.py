"""The statements. Each is a constant, so that SQLite's prepared ones are found again; values are bound."""

from __future__ import annotations

from typing import Final

CLOCK: Final = "SELECT clock FROM meta WHERE id = 1"
KEEP_CLOCK: Final = "UPDATE meta SET clock = ? WHERE id = 1"

_ACCOUNT: Final = """
    SELECT id, project, kind, name, label, base_limit, duration, align, timezone, uncapped, models, declared,
           created_at, window_start, window_end, spent, held, version, extras
    FROM account"""
ACCOUNT_ID: Final = "SELECT id FROM account WHERE project = ? AND kind = ? AND name = ? AND label = ?"
ACCOUNT: Final = f"{_ACCOUNT} WHERE project = ? AND kind = ? AND name = ? AND label = ?"
FAMILY: Final = f"{_ACCOUNT} WHERE project = ? AND kind = ? AND name = ? ORDER BY label"
ACCOUNTS_AFTER: Final = f"""{_ACCOUNT}
    WHERE (project, kind, name, label) > (?, ?, ?, ?) ORDER BY project, kind, name, label LIMIT ?
"""
ACCOUNTS_OF_PROJECT_AFTER: Final = f"""{_ACCOUNT}
    WHERE project = ? AND (kind, name, label) > (?, ?, ?) ORDER BY kind, name, label LIMIT ?
"""
ADD_ACCOUNT: Final = """
    INSERT INTO account (project, kind, name, label, base_limit, duration, align, timezone, uncapped, models,
                         declared, created_at, window_start, window_end, spent, held, version, extras)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
KEEP_ACCOUNT: Final = """
    UPDATE account
    SET base_limit = ?, duration = ?, align = ?, timezone = ?, uncapped = ?, models = ?, declared = ?,
        created_at = ?, window_start = ?, window_end = ?, spent = ?, held = ?, version = ?, extras = ?
    WHERE id = ?
"""
RENAME: Final = "UPDATE account SET project = ?, kind = ?, name = ?, label = ? WHERE id = ?"
PROJECTS: Final = """
    SELECT DISTINCT project FROM account WHERE kind = ? AND name = ? ORDER BY project LIMIT 20
"""

COSTS: Final = """
    SELECT model, sum(amount) FROM entry WHERE account = ? AND at >= ? AND (? IS NULL OR at < ?)
    GROUP BY model
"""
MODEL_COSTS: Final = "SELECT nullif(model, 0), amount FROM cost WHERE account = ? AND window_start = ?"
ADD_COST: Final = """
    INSERT INTO cost (account, model, window_start, amount) VALUES (?, coalesce(?, 0), ?, ?)
    ON CONFLICT DO UPDATE
    SET amount = excluded.amount + iif(window_start = excluded.window_start, amount, 0),
        window_start = excluded.window_start
"""
DROP_COSTS: Final = "DELETE FROM cost WHERE account = ?"

_HOLD: Final = """
    SELECT hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at, charged,
           shrunk, clamped, replaced, content, tags, owner
    FROM hold"""
HOLD: Final = f"{_HOLD} WHERE hold_id = ?"
DUE: Final = f"{_HOLD} WHERE state = 'held' AND expires_at <= ? ORDER BY expires_at, hold_id"
SOONEST: Final = "SELECT coalesce(min(expires_at), 9223372036854775807) FROM hold WHERE state = 'held'"
OPEN: Final = f"{_HOLD} WHERE state = 'held'"
EXPIRED: Final = f"{_HOLD} WHERE state = 'expired'"
ADD_HOLD: Final = """
    INSERT INTO hold (hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at,
                      charged, shrunk, clamped, replaced, content, tags, owner)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
KEEP_HOLD: Final = "UPDATE hold SET state = ?, expires_at = ?, charged = ? WHERE hold_id = ?"
KEEP_WINDOWS: Final = "UPDATE hold SET windows = ? WHERE hold_id = ?"

ADD_ENTRY: Final = """
    INSERT INTO entry (account, kind, amount, at, posted_at, window_start, hold_id, model,
                       input_tokens, output_tokens, unconfirmed, counted, reason, tags)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ENTRY_NUMBERS: Final = "SELECT seq FROM entry WHERE account = ? AND at >= ? AND (? IS NULL OR at < ?)"
_ENTRY: Final = """
    SELECT seq, project, account.kind, name, label, entry.kind, amount, at, posted_at, entry.window_start,
           hold_id, model, input_tokens, output_tokens, unconfirmed, counted, reason, tags
    FROM entry JOIN account ON account.id = account"""
ENTRIES: Final = f"""{_ENTRY}
    WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq
"""  # noqa: S608  no value is put in
ENTRIES_AFTER: Final = f"""{_ENTRY}
    WHERE seq > ? AND (? IS NULL OR at >= ?) AND (? IS NULL OR at < ?) ORDER BY seq LIMIT ?
"""

HOLDS_AFTER: Final = f"{_HOLD} WHERE hold_id > ? ORDER BY hold_id LIMIT ?"
FORGET_HOLD: Final = "DELETE FROM hold WHERE hold_id = ?"
LINES_OF_HOLD: Final = f"{_ENTRY} WHERE entry.account = ? AND at = ? AND hold_id = ?"
OLD_LINES: Final = f"""{_ENTRY}
    WHERE entry.account = ? AND at >= ? AND (at > ? OR seq > ?) AND at < ?
          AND NOT EXISTS (SELECT 1 FROM hold WHERE hold.hold_id = entry.hold_id)
    ORDER BY at, seq LIMIT ?
"""  # noqa: S608  no value is put in
DROP_LINES: Final = "DELETE FROM entry WHERE seq IN (SELECT value FROM json_each(?))"
CARRY_LINE: Final = """
    INSERT INTO entry (seq, account, kind, amount, at, posted_at, window_start, hold_id, model,
                       input_tokens, output_tokens, unconfirmed, counted, reason, tags)
    VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, 0, 0, ?, NULL)
"""
UNGUARD: Final = "DROP TRIGGER entry_is_never_deleted"

ADJUSTMENT: Final = """
    SELECT project, kind, name, label, amount, until FROM adjustment JOIN account ON account.id = account
    WHERE adjustment_id = ?
"""
ADD_ADJUSTMENT: Final = "INSERT INTO adjustment (adjustment_id, account, amount, until) VALUES (?, ?, ?, ?)"

MISPOSTED: Final = """
    SELECT hold_id, sum(entry.amount), charged FROM entry JOIN hold USING (hold_id)
    WHERE kind <> 'adjustment' GROUP BY hold_id, account HAVING sum(entry.amount) <> charged
"""
UNPOSTED: Final = """
    SELECT hold_id FROM hold WHERE state IN ('settled', 'expired') EXCEPT SELECT hold_id FROM entry
"""
INTEGRITY: Final = "PRAGMA integrity_check(20)"
