"""The common case of a reserve and of a settle, in the database's own tongue: one round trip each.

They say what `allowance.ledger.verbs` says, for calls about accounts that exist, in windows that are not
over, under terms that are as the store has them, by ids that are new (a reserve) or open (a settle). For
anything else they change nothing and answer ``slow``: then the verbs themselves are run. Tests lead both ways
through the same histories.

**Locks.** Whatever writes takes the locks of all families that it touches first, in ascending order, and
keeps them to the end of its transaction; so there is no deadlock, and what is read after the locks stays
true. They are advisory, for a family that does not exist yet must be locked too. Each statement in these
functions sees what was committed before it began: after the locks, that is all there is.

Their settings keep plans as they are meant to be: planned once, and by index, also while tables are small.

A crowd of operations has a way of its own, which answers the same: see `crowd`.
"""

from __future__ import annotations

from typing import Final, LiteralString

from allowance.stores.postgres.crowd import CROWD

__all__ = ["FUNCTIONS"]

_TIME: Final[LiteralString] = """
-- The store's time, which is never earlier than what a transaction saw before (R15). Where the server's clock
-- is used the mark follows in steps of 10 ms: not each reader writes; `seen` keeps each account exact.
CREATE FUNCTION allowance.tick(given bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    mark bigint;
    latest bigint := coalesce(given, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'allowance needs read committed' USING ERRCODE = 'ALW01';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- what is acknowledged is on the disk
    END IF;
    SELECT last_value INTO mark FROM allowance.clock;
    IF latest > mark + (CASE WHEN given IS NULL THEN 10000 ELSE 0 END) THEN
        PERFORM setval('allowance.clock', latest);
    END IF;
    RETURN greatest(latest, mark);
END $$;

-- The time, if no hold's term is over; else -1: the sweep comes first, whatever is asked (R6).
CREATE FUNCTION allowance.present(given bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    present bigint := allowance.tick(given);
BEGIN
    RETURN CASE WHEN allowance.due(present) THEN -1 ELSE present END;
END $$;

CREATE FUNCTION allowance.due(present bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    RETURN EXISTS (SELECT FROM allowance.hold WHERE state = 'held' AND expires_at <= present);
END $$;

CREATE FUNCTION allowance.take(stripes integer[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('lock_timeout', '3s', true);
    PERFORM pg_advisory_xact_lock(1634496375, stripe) FROM unnest(stripes) AS stripe;
END $$;

-- How each transaction of the verbs themselves begins: the locks, in the order given, and then the time.
CREATE FUNCTION allowance.enter(stripes integer[], given bigint, earliest bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '10s', true);
    PERFORM allowance.take(stripes);
    RETURN greatest(allowance.tick(given), earliest);
END $$;

-- The locks of those who hold these ids.
CREATE FUNCTION allowance.stripes_of(hold_ids text[]) RETURNS integer[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN ARRAY(
        SELECT DISTINCT account.stripe
        FROM allowance.hold JOIN allowance.account ON account.id = ANY (accounts)
        WHERE hold_id = ANY (hold_ids)
    );
END $$;
"""

_COLUMNS: Final[LiteralString] = """
    account.id, project, kind, name, label, base_limit, duration, align, timezone, uncapped, models, declared,
    created_at, window_start, window_end, spent, held, version, extras"""

_REPLY: Final[LiteralString] = """
-- One row for each account of an operation, as it stands after it. An operation that is slow has none.
CREATE TYPE allowance.reply AS (
    number integer, status text, amount bigint, clamped boolean, temporary boolean, bound boolean,
    expires_at bigint, place integer,
    id bigint, project text, kind text, name text, label text,
    base_limit bigint, duration text, align text, timezone text, uncapped text, models text, declared text,
    created_at bigint, window_start bigint, window_end bigint, spent bigint, held bigint, version bigint,
    extras text
);
"""

_RESERVE: Final[LiteralString] = """
CREATE FUNCTION allowance.reserve(_number integer, _op jsonb, _now bigint) RETURNS SETOF allowance.reply
LANGUAGE plpgsql AS $$
DECLARE
    _family jsonb;
    _each record;
    _counts boolean;
    _first boolean;
    _named integer;
    _ids bigint[] := '{}';
    _starts bigint[] := '{}';
    _asked bigint := (_op->>'amount')::bigint;
    _want bigint := _asked;
    _least bigint := (_op->>'floor')::bigint;
    _ceiling bigint := (_op->>'ceiling')::bigint;
    _clamping boolean := false;
    _left bigint;
    _room bigint;
    _unspent bigint;
    _tightest bigint;
    _bound boolean;
    _end bigint := _now + (_op->>'ttl')::bigint;
BEGIN
    IF _op ? 'replacing' OR EXISTS (SELECT FROM allowance.hold WHERE hold_id = _op->>'id') THEN
        RETURN;
    END IF;
    FOR _family IN SELECT jsonb_array_elements(_op->'families') LOOP
        _first := true;
        _named := 0;
        FOR _each IN
            SELECT * FROM allowance.account
            WHERE project = _family->>'project' AND kind = _family->>'kind' AND name = _family->>'name'
            ORDER BY label
        LOOP
            -- Its window and top-ups, the terms that code declares, the globs of its models: all as expected?
            _counts := _each.models IS NULL OR (_family->'globs'->>_each.models)::boolean;
            IF (_first AND _each.label <> '') OR _counts IS NULL OR _each.seen > _now
               OR _each.window_end <= _now OR _each.extra_until <= _now THEN
                RETURN;
            END IF;
            _first := false;
            IF _family->'named' ? _each.label THEN
                _named := _named + 1;
                IF _family->'named'->>_each.label <> coalesce(_each.declared, '') THEN
                    RETURN;
                END IF;
            END IF;
            CONTINUE WHEN NOT _counts;
            _ids := _ids || _each.id;
            _starts := _starts || _each.window_start;
            CONTINUE WHEN _each.base_limit IS NULL;
            -- From here on as `allowance.ledger.holds.admit` has it.
            _left := _each.base_limit + _each.extra - _each.spent - _each.held;
            _unspent := least(_unspent, _left + _each.held);
            IF _room IS NULL OR _left < _room THEN
                _room := _left;
                _tightest := _each.id;
            END IF;
            IF _each.uncapped = 'reserve' THEN
                _want := _ceiling;
                _least := _ceiling;
            ELSIF _each.uncapped = 'refuse' THEN
                _least := greatest(_least, _asked);
            ELSIF _each.uncapped = 'clamp' THEN
                _clamping := true;
            END IF;
        END LOOP;
        IF _first OR _named <> (_family->>'count')::integer THEN
            RETURN;
        END IF;
    END LOOP;
    IF _room IS NOT NULL AND _want > 0 THEN
        IF _room <= 0 OR _room < _least THEN
            RETURN QUERY
                SELECT _number, 'denied', _want, false, _unspent > 0 AND _unspent >= _least, false, _end, 1,
                       COLUMNS
                FROM allowance.account WHERE id = _tightest;
            RETURN;
        END IF;
        _clamping := _clamping AND _room < _want;
        _want := least(_want, _room);
    ELSE
        _clamping := false;
    END IF;
    _bound := (_op->>'bounded')::boolean AND (_want >= _ceiling OR _clamping);
    INSERT INTO allowance.hold VALUES (
        _op->>'id', 'held', _want, (_op->>'expected')::bigint, _bound, _ids, _starts, _op->>'model', _now,
        _end, 0, _want < _asked, _clamping, false, decode(_op->>'content', 'hex'), _op->>'tags', _op->>'owner'
    );
    RETURN QUERY
        UPDATE allowance.account SET held = held + _want, version = version + 1, seen = _now
        WHERE id = ANY (_ids)
        RETURNING _number, 'granted', _want, _clamping, false, _bound, _end, array_position(_ids, id),
                  COLUMNS;
END $$;
"""

_SETTLE: Final[LiteralString] = """
CREATE FUNCTION allowance.settle(_number integer, _op jsonb, _locked integer[], _now bigint)
RETURNS SETOF allowance.reply LANGUAGE plpgsql AS $$
DECLARE
    _hold allowance.hold;
    _amount bigint := (_op->>'amount')::bigint;
    _present bigint;
BEGIN
    SELECT * INTO _hold FROM allowance.hold WHERE hold_id = _op->>'id';
    IF NOT FOUND OR _hold.state <> 'held' THEN
        RETURN;
    END IF;
    -- Those in the windows in which the call was reserved; any other is slow.
    SELECT count(*) INTO _present FROM allowance.account
    WHERE id = ANY (_hold.accounts) AND stripe = ANY (_locked) AND seen <= _now
      AND window_start <= _hold.reserved_at AND (window_end IS NULL OR window_end > _now)
      AND (extra_until IS NULL OR extra_until > _now);
    IF _present <> cardinality(_hold.accounts) THEN
        RETURN;
    END IF;
    UPDATE allowance.hold SET state = 'settled', charged = _amount WHERE hold_id = _hold.hold_id;
    INSERT INTO allowance.entry (account, kind, amount, at, posted_at, window_start, hold_id, model,
                                 input_tokens, output_tokens, unconfirmed, counted, reason, tags)
        SELECT account, 'call', _amount, _hold.reserved_at, _now, start, _hold.hold_id, _op->>'model',
               (_op->>'input')::bigint, (_op->>'output')::bigint, (_op->>'unconfirmed')::boolean,
               (_op->>'counted')::boolean, _op->>'reason', coalesce(_op->>'tags', _hold.tags)
        FROM unnest(_hold.accounts, _hold.starts) WITH ORDINALITY AS named (account, start, place)
        ORDER BY place;
    IF _amount > 0 THEN
        INSERT INTO allowance.cost (account, model, window_start, amount)
            SELECT id, coalesce('=' || (_op->>'model'), ''), window_start, _amount
            FROM allowance.account WHERE id = ANY (_hold.accounts)
        ON CONFLICT (account, model) DO UPDATE
            SET window_start = excluded.window_start, amount = excluded.amount
                + CASE WHEN cost.window_start = excluded.window_start THEN cost.amount ELSE 0 END;
    END IF;
    RETURN QUERY
        UPDATE allowance.account
        SET spent = spent + _amount, held = held - _hold.amount, version = version + 1, seen = _now
        WHERE id = ANY (_hold.accounts)
        RETURNING _number, 'settled', _hold.amount, false, false, false, 0::bigint,
                  array_position(_hold.accounts, id), COLUMNS;
END $$;
"""

_PERFORM: Final[LiteralString] = """
-- Operations in their order, under all their locks, in this one transaction. Where one is slow, those after
-- it that touch the same families are too: they wait for it, and are waited for. `_together` is quicker for
-- many at once.
CREATE FUNCTION allowance.perform(
    _ops jsonb, _stripes integer[], _settling text[], _given bigint, _together boolean
)
RETURNS SETOF allowance.reply LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
DECLARE
    _op jsonb;
    _number integer := 0;
    _now bigint;
    _locked integer[];
    _waiting integer[] := '{}';
    _touched integer[];
    _due allowance.reply;
    _effects allowance.effect[];
    _odd integer[] := '{}';  -- which of them are done one by one, where not all are
    _reached integer[];
    _more integer[];
BEGIN
    _locked := ARRAY(SELECT DISTINCT unnest(_stripes || allowance.stripes_of(_settling)) ORDER BY 1);
    PERFORM allowance.take(_locked);
    _now := allowance.tick(_given);
    IF allowance.due(_now) THEN
        _due.status := 'due';
        RETURN NEXT _due;
        RETURN;
    END IF;
    IF _together THEN
        _effects := ARRAY(SELECT effect FROM allowance.consider(_ops, _locked, _now) AS effect);
        _odd := ARRAY(SELECT DISTINCT number FROM unnest(_effects) WHERE odd);
        IF _odd <> '{}' THEN
            _reached := ARRAY(
                SELECT DISTINCT unnest(allowance.touched(_ops->(number - 1))) FROM unnest(_odd) AS number
            );
            LOOP
                _odd := _odd || ARRAY(SELECT number FROM unnest(_effects) WHERE stripe = ANY (_reached));
                _more := ARRAY(
                    SELECT DISTINCT stripe FROM unnest(_effects)
                    WHERE number = ANY (_odd) AND stripe IS NOT NULL AND stripe <> ALL (_reached)
                );
                EXIT WHEN _more = '{}';
                _reached := _reached || _more;
            END LOOP;
            _effects := ARRAY(
                SELECT effect FROM unnest(_effects) AS effect WHERE effect.number <> ALL (_odd)
            );
        END IF;
        RETURN QUERY SELECT * FROM allowance.post(_ops, _effects, _now);
        IF _odd = '{}' THEN
            RETURN;
        END IF;
    END IF;
    FOR _op IN SELECT jsonb_array_elements(_ops) LOOP
        IF _together AND _number + 1 <> ALL (_odd) THEN
            _number := _number + 1;
            CONTINUE;
        END IF;
        IF _waiting <> '{}' THEN
            _touched := allowance.touched(_op);
        END IF;
        IF _waiting <> '{}' AND _touched && _waiting THEN
            _waiting := _waiting || _touched;
        ELSE
            IF _op ? 'families' THEN
                RETURN QUERY SELECT * FROM allowance.reserve(_number, _op, _now);
            ELSE
                RETURN QUERY SELECT * FROM allowance.settle(_number, _op, _locked, _now);
            END IF;
            IF NOT FOUND THEN
                _waiting := _waiting || allowance.touched(_op);
            END IF;
        END IF;
        _number := _number + 1;
    END LOOP;
END $$;

-- The locks of what an operation is about.
CREATE FUNCTION allowance.touched(_op jsonb) RETURNS integer[] LANGUAGE plpgsql AS $$
BEGIN
    RETURN allowance.stripes_of(ARRAY[_op->>'id', _op->>'replacing'])
        || ARRAY(SELECT jsonb_array_elements_text(_op->'stripes')::integer);
END $$;
"""

_RENEW: Final[LiteralString] = """
-- Whether they were renewed; not where a term is over, for the sweep comes first.
CREATE FUNCTION allowance.renew(_ids text[], _ttl bigint, _given bigint) RETURNS boolean LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET jit = off AS $$
DECLARE
    _now bigint;
BEGIN
    PERFORM allowance.take(ARRAY(SELECT unnest(allowance.stripes_of(_ids)) ORDER BY 1));
    _now := allowance.tick(_given);
    IF allowance.due(_now) THEN
        RETURN false;
    END IF;
    UPDATE allowance.hold SET expires_at = _now + _ttl
    WHERE hold_id = ANY (_ids) AND state = 'held' AND expires_at < _now + _ttl;
    RETURN true;
END $$;
"""

FUNCTIONS: Final[LiteralString] = (_TIME + _REPLY + _RESERVE + _SETTLE + CROWD + _PERFORM + _RENEW).replace(
    "COLUMNS", _COLUMNS
)
