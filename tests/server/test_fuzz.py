"""Requests made up from the server's own description find no error of the server, and no hidden answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.server.running import Inside, inside

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with inside(f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/a.db") as server:
        scope = {"key": ["p", "user", "a"], "declared": {"limit": 10**15, "creates": True}}
        body = {"hold_id": "h", "scopes": [scope], "amount": 5, "ttl": 900_000_000}
        assert server.ask("/v1/reserve", body, key=server.admin_key).status == 200
        yield server


def operations() -> list[tuple[str, str]]:
    """Every operation that is described."""
    from tests.server.test_routes import ROUTES

    return [(method, path) for method, path, need in ROUTES if need != "page"]


@pytest.mark.parametrize(("method", "path"), operations())
def test_made_up_requests_find_nothing(server: Inside, method: str, path: str) -> None:
    schema = schemathesis.openapi.from_dict(server.app.openapi())
    schema.config.update(base_url=server.url)
    operation = schema[path][method]
    cases: Any = st.one_of(
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
    )
    if method == "GET":
        cases = operation.as_strategy()

    @seed(5)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def run(case: Any) -> None:
        headers = {"Authorization": f"Bearer {server.admin_key}"}
        case.call_and_validate(base_url=server.url, headers=headers, checks=CHECKS)

    run()


def test_the_books_balance_after_all_that(server: Inside) -> None:
    assert server.store.audit() == []
