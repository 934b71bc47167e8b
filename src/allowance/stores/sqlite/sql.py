"""The statements. Each is a constant, so that SQLite's prepared ones are found again; values are bound."""

from __future__ import annotations

from typing import Final

CLOCK: Final = "SELECT clock FROM meta WHERE id = 1"
KEEP_CLOCK: Final = "UPDATE meta SET clock = ? WHERE id = 1"

ACCOUNT_ID: Final = "SELECT id FROM account WHERE project = ? AND kind = ? AND name = ?"
ACCOUNT: Final = """
    SELECT id, project, kind, name, cap, duration, align, timezone, uncapped, declared,
           created_at, window_start, window_end, spent, held, version
    FROM account WHERE project = ? AND kind = ? AND name = ?
"""
ACCOUNTS_AFTER: Final = """
    SELECT id, project, kind, name, cap, duration, align, timezone, uncapped, declared,
           created_at, window_start, window_end, spent, held, version
    FROM account WHERE (project, kind, name) > (?, ?, ?) AND (? IS NULL OR project = ?)
    ORDER BY project, kind, name LIMIT ?
"""
ADD_ACCOUNT: Final = """
    INSERT INTO account (project, kind, name, cap, duration, align, timezone, uncapped, declared,
                         created_at, window_start, window_end, spent, held, version)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
KEEP_ACCOUNT: Final = """
    UPDATE account
    SET cap = ?, duration = ?, align = ?, timezone = ?, uncapped = ?, declared = ?,
        created_at = ?, window_start = ?, window_end = ?, spent = ?, held = ?, version = ?
    WHERE id = ?
"""
PROJECTS: Final = "SELECT project FROM account WHERE kind = ? AND name = ? ORDER BY project LIMIT 20"

HOLD: Final = """
    SELECT hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at, charged,
           shrunk, clamped, replaced, content
    FROM hold WHERE hold_id = ?
"""
DUE: Final = """
    SELECT hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at, charged,
           shrunk, clamped, replaced, content
    FROM hold WHERE state = 'held' AND expires_at <= ? ORDER BY expires_at, hold_id
"""
OPEN: Final = """
    SELECT hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at, charged,
           shrunk, clamped, replaced, content
    FROM hold WHERE state = 'held'
"""
EXPIRED: Final = """
    SELECT hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at, charged,
           shrunk, clamped, replaced, content
    FROM hold WHERE state = 'expired'
"""
ADD_HOLD: Final = """
    INSERT INTO hold (hold_id, state, amount, expected, bound, windows, model, reserved_at, expires_at,
                      charged, shrunk, clamped, replaced, content)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
KEEP_HOLD: Final = "UPDATE hold SET state = ?, expires_at = ?, charged = ? WHERE hold_id = ?"

SPENT: Final = """
    SELECT coalesce(sum(amount), 0) FROM entry WHERE account = ? AND at >= ? AND (? IS NULL OR at < ?)
"""
ADD_ENTRY: Final = """
    INSERT INTO entry (account, kind, amount, at, posted_at, window_start, hold_id, model,
                       input_tokens, output_tokens, unconfirmed, counted, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ENTRY_NUMBERS: Final = "SELECT seq FROM entry WHERE account = ? AND at >= ? AND (? IS NULL OR at < ?)"
ENTRIES: Final = """
    SELECT seq, project, account.kind, name, entry.kind, amount, at, posted_at, entry.window_start,
           hold_id, model, input_tokens, output_tokens, unconfirmed, counted, reason
    FROM entry JOIN account ON account.id = account
    WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq
"""
ENTRIES_AFTER: Final = """
    SELECT seq, project, account.kind, name, entry.kind, amount, at, posted_at, entry.window_start,
           hold_id, model, input_tokens, output_tokens, unconfirmed, counted, reason
    FROM entry JOIN account ON account.id = account
    WHERE seq > ? AND (? IS NULL OR at >= ?) AND (? IS NULL OR at < ?) ORDER BY seq LIMIT ?
"""

ADJUSTMENT: Final = """
    SELECT project, kind, name, amount FROM adjustment JOIN account ON account.id = account
    WHERE adjustment_id = ?
"""
ADD_ADJUSTMENT: Final = "INSERT INTO adjustment (adjustment_id, account, amount) VALUES (?, ?, ?)"

MISPOSTED: Final = """
    SELECT hold_id, sum(entry.amount), charged FROM entry JOIN hold USING (hold_id)
    WHERE kind <> 'adjustment' GROUP BY hold_id, account HAVING sum(entry.amount) <> charged
"""
UNPOSTED: Final = """
    SELECT hold_id FROM hold WHERE state IN ('settled', 'expired') EXCEPT SELECT hold_id FROM entry
"""
INTEGRITY: Final = "PRAGMA integrity_check(20)"
