"""The README's table of what is covered is the matrix: no more, and no less."""

from __future__ import annotations

from pathlib import Path

from allowance.sdks import coverage, registry
from tests.matrix.row import Endpoint, Sdk
from tests.matrix.rows import SDKS
from tests.sdks.versions import TRIED

README = Path(__file__).parents[2] / "README.md"
HEAD = ["| package | calls | not covered |", "|---|---|---|"]
FRAMEWORKS = (
    "| LangChain, LlamaIndex, Pydantic AI, the OpenAI Agents SDK, Instructor | all that they send through "
    "these packages: there is nothing to do | `BudgetExceededError` comes through as it is; Instructor wraps "
    "it in its `InstructorRetryException`, whose cause it is |"
)


def calls(endpoint: Endpoint) -> str:
    forms = ", ".join(row.form for row in endpoint.rows if row.form)
    return f"**{endpoint.name}**" + (f" ({forms})" if forms else "")


def line(sdk: Sdk, not_covered: str) -> str:
    return f"| `{sdk.name}` | {'; '.join(map(calls, sdk.endpoints))} | {not_covered} |"


def table() -> list[str]:
    never = {each.sdk: each.detail.partition("Not metered: ")[2].removesuffix(".") for each in coverage()}
    return [*HEAD, *(line(sdk, never[sdk.name]) for sdk in SDKS), FRAMEWORKS]


def test_the_table_of_the_readme_is_the_matrix() -> None:
    written = README.read_text(encoding="utf-8").splitlines()
    start = written.index(HEAD[0])
    end = next(number for number in range(start, len(written)) if not written[number].startswith("|"))
    assert written[start:end] == table(), "\n".join(table())


def test_the_readme_names_the_versions_that_were_tried() -> None:
    tried = [f"{name} {sdk.oldest} to {sdk.newest}" for name, sdk in registry._SDKS.items()]
    said = " ".join(README.read_text(encoding="utf-8").split())
    assert f"Tested with {', '.join(tried[:-1])} and {tried[-1]}." in said
    for name, sdk in registry._SDKS.items():
        versions = {version for version, *_ in TRIED[name]}
        for edge in (sdk.oldest, sdk.newest):
            assert any(f"{version}.".startswith(f"{edge}.") for version in versions), (name, edge)


def test_every_sdk_that_is_metered_is_in_the_matrix() -> None:
    assert {sdk.name for sdk in SDKS} == {each.sdk for each in coverage()}
    assert len(SDKS) == len({sdk.name for sdk in SDKS})


def test_every_endpoint_has_rows_and_no_row_stands_twice() -> None:
    for sdk in SDKS:
        forms = [(endpoint.name, row.form) for endpoint in sdk.endpoints for row in endpoint.rows]
        assert len(forms) == len(set(forms)), sdk.name
        assert {name for name, _ in forms} == {endpoint.name for endpoint in sdk.endpoints}
