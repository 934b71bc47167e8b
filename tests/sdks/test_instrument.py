"""Patching and unpatching: import orders, idempotence, other versions, other patchers, threads."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
import textwrap
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import anthropic
import litellm
import openai
import pytest
import wrapt
from google.genai import chats, models

from allowance import sdks
from allowance.calls.sdk_call import SdkCall
from allowance.sdks import current
from allowance.sdks.points import AttributePoint, CellPoint, MissingPointError, metered
from allowance.sdks.registry import _SDKS

from .recorder import Recorder, on
from .server import Provider

if TYPE_CHECKING:
    from collections.abc import Callable


def original_cell(name: str) -> Any:
    function = getattr(litellm.main, name)
    return function.__closure__[function.__code__.co_freevars.index("original_function")].cell_contents


def originals() -> list[Any]:
    """What every patch point holds now."""
    classes = (
        openai._base_client.SyncAPIClient,
        openai._base_client.AsyncAPIClient,
        anthropic._base_client.SyncAPIClient,
        anthropic._base_client.AsyncAPIClient,
    )
    held = [vars(cls)["request"] for cls in classes]
    for cls in (models.Models, models.AsyncModels):
        names = ("_generate_content", "_generate_content_stream", "generate_content_stream", "_embed_content")
        held += [vars(cls)[name] for name in names]
    held += [vars(cls)["send_message_stream"] for cls in (chats.Chat, chats.AsyncChat)]
    held += [original_cell(name) for name in ("completion", "acompletion", "embedding", "text_completion")]
    return held


def test_uninstrument_puts_the_very_same_functions_back() -> None:
    before = originals()
    sdks.instrument(Recorder())
    assert all(now is not then for now, then in zip(originals(), before, strict=True))
    sdks.uninstrument()
    assert all(now is then for now, then in zip(originals(), before, strict=True))
    sdks.uninstrument()


def test_instrumenting_twice_patches_once_and_takes_the_new_meter(provider: Provider) -> None:
    first, second = Recorder(), Recorder()
    sdks.instrument(first)
    patched = originals()
    sdks.instrument(second)
    assert all(now is then for now, then in zip(originals(), patched, strict=True))
    with openai.OpenAI(api_key="k", base_url=provider.url) as client:
        client.embeddings.create(model="m", input="hi")
    assert (len(first.calls), len(second.calls)) == (0, 1)


def test_many_threads_at_once_patch_once() -> None:
    before = originals()
    threads = [threading.Thread(target=sdks.instrument, args=(Recorder(),)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(now.__wrapped__ is then for now, then in zip(originals(), before, strict=True))


def test_where_no_budget_is_in_force_calls_go_straight_through(provider: Provider) -> None:
    recorder = Recorder()
    sdks.instrument(recorder)
    on.set(False)
    try:
        with openai.OpenAI(api_key="k", base_url=provider.url) as client:
            client.embeddings.create(model="m", input="hi")
    finally:
        on.set(True)
    assert len(provider.posts) == 1
    assert recorder.calls == []


def test_somebody_elses_patch_on_top_is_left_alone_and_ours_passes_on(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def spy(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        seen.append(1)
        return wrapped(*args, **kwargs)

    recorder = Recorder()
    owner = openai._base_client.SyncAPIClient
    plain = vars(owner)["request"]
    sdks.instrument(recorder)
    theirs = wrapt.FunctionWrapper(vars(owner)["request"], spy)
    owner.request = theirs  # type: ignore[method-assign]
    try:
        with openai.OpenAI(api_key="k", base_url=provider.url) as client:
            client.embeddings.create(model="m", input="hi")
            sdks.uninstrument()
            assert vars(owner)["request"] is theirs
            client.embeddings.create(model="m", input="hi")
            assert (len(seen), len(recorder.calls)) == (2, 1)
            sdks.instrument(recorder)
            client.embeddings.create(model="m", input="hi")
            assert (len(seen), len(recorder.calls)) == (3, 2)
    finally:
        owner.request = theirs.__wrapped__  # type: ignore[method-assign]
        sdks.uninstrument()
    assert vars(owner)["request"] is plain


def test_coverage_tells_versions_and_what_is_never_metered() -> None:
    assert all(not each.covered and "instrumented" in each.detail for each in sdks.coverage())
    sdks.instrument(Recorder())
    report = {each.sdk: each for each in sdks.coverage()}
    later = {"groq", "boto3", "mistralai", "ollama", "cohere"}
    assert set(report) == {"openai", "anthropic", "google-genai", "litellm"} | later
    assert all(report[sdk].covered for sdk in ("openai", "anthropic", "google-genai", "litellm")), report
    assert report["openai"].version == openai.__version__
    assert "realtime" in report["openai"].detail


def test_a_version_without_a_place_is_told_once_and_breaks_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(models.Models, "_generate_content")
    monkeypatch.delattr(models.Models, "segment_image")
    caplog.set_level(logging.DEBUG, "allowance.sdks")
    sdks.instrument(Recorder())
    sdks.instrument(Recorder())
    told = [(record.levelname, record.getMessage().split()[0]) for record in caplog.records]
    assert sorted(told) == [
        ("DEBUG", "google.genai.models.Models.segment_image"),
        ("WARNING", "google.genai.models.Models._generate_content"),
    ]
    report = {each.sdk: each for each in sdks.coverage()}
    assert not report["google-genai"].covered
    assert "Models._generate_content" in report["google-genai"].detail
    assert report["openai"].covered
    sdks.uninstrument()


def test_every_point_that_is_named_exists_in_the_installed_sdks() -> None:
    import litellm.google_genai.main
    import litellm.llms.anthropic.pass_through.messages.handler  # noqa: F401

    sdks.instrument(Recorder())
    missing = [
        (point.module, point.name)
        for sdk in _SDKS.values()
        for point in sdk.points
        if point.module in sys.modules and not _applied(point)
    ]
    assert missing == []


def _applied(point: Any) -> bool:
    try:
        point.apply(sys.modules[point.module])
    except MissingPointError:
        return False
    return bool(point._patched._patches)


def read(function: Any, instance: Any, args: Any, kwargs: Any) -> SdkCall:
    return SdkCall("test", function, args, kwargs, kwargs)


def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    library, user = ModuleType("library"), ModuleType("user")
    monkeypatch.setitem(sys.modules, "library", library)
    monkeypatch.setitem(sys.modules, "user", user)

    def complete(**kwargs: Any) -> Any:
        return kwargs

    library.complete = decorated(complete)  # type: ignore[attr-defined]
    user.ask = library.complete  # type: ignore[attr-defined]
    return library


def test_a_cell_is_refilled_behind_every_reference(library: ModuleType) -> None:
    captured = library.complete
    point = CellPoint("library", "complete", "function", lambda _: read, essential=True)
    recorder = Recorder()
    current.set_meter(recorder)
    point.apply(library)
    point.apply(library)
    captured(model="m")
    assert len(recorder.calls) == 1
    point.undo()
    captured(model="m")
    assert len(recorder.calls) == 1


def test_without_a_cell_every_modules_name_is_bound_anew_and_back(library: ModuleType) -> None:
    plain = library.complete
    point = CellPoint("library", "complete", "original_function", lambda _: read, essential=True)
    recorder = Recorder()
    current.set_meter(recorder)
    point.apply(library)
    point.apply(library)
    user = sys.modules["user"]
    user.ask(model="m")
    library.complete(model="m")
    assert len(recorder.calls) == 2
    point.undo()
    assert library.complete is plain
    assert user.ask is plain


def test_an_object_of_a_patched_class_is_pickled_and_copied_as_before() -> None:
    module = ModuleType("module")
    module.Client = Client  # type: ignore[attr-defined]
    point = AttributePoint("module", "Client.request", lambda original: metered(original, read))
    recorder = Recorder()
    current.set_meter(recorder)
    point.apply(module)
    try:
        client = Client()
        for twin in (client, copy.copy(client), copy.deepcopy(client), pickle.loads(pickle.dumps(client))):
            assert twin.request(model="m") == {"model": "m"}
        assert len(recorder.calls) == 4
    finally:
        point.undo()


@pytest.mark.parametrize("names", [("old",), ("new", "old")])
def test_where_the_newer_place_is_missing_the_older_one_is_patched(names: tuple[str, ...]) -> None:
    class Models:
        pass

    for name in names:
        setattr(Models, name, lambda self, **kwargs: kwargs)
    module = ModuleType("module")
    module.Models = Models  # type: ignore[attr-defined]
    point = AttributePoint(
        "module", "Models.new", lambda original: metered(original, read), before="Models.old"
    )
    recorder = Recorder()
    current.set_meter(recorder)
    point.apply(module)
    getattr(Models(), names[0])(model="m")
    assert len(recorder.calls) == 1
    point.undo()
    getattr(Models(), names[0])(model="m")
    assert len(recorder.calls) == 1


class Client:
    def request(self, **kwargs: Any) -> Any:
        return kwargs


PROGRAM = """
import os, sys
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
sys.path.insert(0, {root!r})
from tests.sdks.recorder import Recorder
from allowance import sdks
recorder = Recorder()
{steps}
print(len(recorder.calls), recorder.calls[0].sdk)
"""

OPENAI = "client = openai.OpenAI(api_key='k', base_url=url)"
ASK_OPENAI = f"{OPENAI}; client.chat.completions.create(model='gpt-4o', messages=[])"
ASK_ANTHROPIC = (
    "anthropic.Anthropic(api_key='k', base_url=root).messages.create(model='m', max_tokens=1, messages=[])"
)
ASK_GENAI = (
    "client = genai.Client(api_key='k', http_options={'base_url': root});"
    "client.models.generate_content(model='gemini-2.5-flash', contents='hi')"
)
ASK_LITELLM = "completion(model='openai/gpt-4o', messages=[], api_key='k', api_base=url)"
INSTRUMENT = "sdks.instrument(recorder)"

ORDERS = {
    "openai before": ["import openai", INSTRUMENT, ASK_OPENAI],
    "openai after": [INSTRUMENT, "import openai", ASK_OPENAI],
    "openai by name": ["from openai import OpenAI", "import openai", OPENAI, INSTRUMENT, ASK_OPENAI],
    "a client made before": [
        "import openai",
        OPENAI,
        INSTRUMENT,
        "client.chat.completions.create(model='gpt-4o', messages=[])",
    ],
    "anthropic before": ["import anthropic", INSTRUMENT, ASK_ANTHROPIC],
    "anthropic after": [INSTRUMENT, "import anthropic", ASK_ANTHROPIC],
    "google-genai before": ["from google import genai", INSTRUMENT, ASK_GENAI],
    "google-genai after": [INSTRUMENT, "from google import genai", ASK_GENAI],
    "litellm before, by name": ["from litellm import completion", INSTRUMENT, ASK_LITELLM],
    "litellm after, by name": [INSTRUMENT, "from litellm import completion", ASK_LITELLM],
    "switched off and on around the import": [
        INSTRUMENT,
        "sdks.uninstrument()",
        "import openai",
        "assert not any(each.covered for each in sdks.coverage())",
        INSTRUMENT,
        ASK_OPENAI,
    ],
}


@pytest.mark.parametrize("order", ORDERS)
def test_it_does_not_matter_when_an_sdk_is_imported(
    order: str, provider: Provider, pytestconfig: pytest.Config
) -> None:
    steps = [f"root = {provider.url!r}; url = root + '/v1'", *ORDERS[order]]
    program = textwrap.dedent(PROGRAM).format(root=str(pytestconfig.rootpath), steps="\n".join(steps))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", order.split()[0] if order.split()[0] in _SDKS else "openai"]
    assert len(provider.posts) == 1


def test_instrumenting_imports_no_sdk() -> None:
    program = (
        "import sys; from allowance import sdks; sdks.instrument(None); sdks.coverage();"
        "print([n for n in ('openai', 'anthropic', 'google.genai', 'litellm', 'httpx') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
