"""Refreshing the catalogue from LiteLLM's map and from genai-prices' data."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from allowance.errors import ConfigurationError
from allowance.prices import Catalogue
from allowance.prices.data import PriceData, read_data
from allowance.prices.refresh import refresh
from allowance.replies.usage import Usage

if TYPE_CHECKING:
    from pathlib import Path


def litellm_map(tmp_path: Path, **entries: Any) -> Path:
    path = tmp_path / "map.json"
    held = {name: {"litellm_provider": "openai", "mode": "chat", **entry} for name, entry in entries.items()}
    path.write_text(json.dumps({"sample_spec": {"litellm_provider": "x", "input_cost_per_token": 1}, **held}))
    return path


def entries_of(tmp_path: Path, **entry: Any) -> dict[str, Any]:
    data, _ = refresh(litellm_map(tmp_path, m=entry), current=None)
    held = data.entries["m"]
    assert isinstance(held, dict)
    return {name: value for name, value in held.items() if name not in {"provider", "mode"}}


def test_floats_lose_their_noise_and_become_plain_digits(tmp_path: Path) -> None:
    assert entries_of(tmp_path, input_cost_per_token=1.2500000000000002e-06, output_cost_per_token=3e-10) == {
        "input": "1.25",
        "output": "0.0003",
    }


def test_tiers_and_contexts_become_variants(tmp_path: Path) -> None:
    entry = entries_of(
        tmp_path,
        input_cost_per_token=1e-06,
        input_cost_per_token_priority=2e-06,
        input_cost_per_token_batches=5e-07,
        input_cost_per_token_above_200k_tokens=3e-06,
        input_cost_per_token_above_200k_tokens_priority=6e-06,
        cache_creation_input_token_cost_above_1hr=2e-06,
        cache_creation_input_token_cost_above_1hr_above_200k_tokens=4e-06,
        search_context_cost_per_query={
            "search_context_size_low": 0.01, "search_context_size_medium": 0.02,
            "search_context_size_high": 0.02,
        },
        provider_specific_entry={"us": 1.1, "fast": 2, "schema": "x"},
        regional_processing_uplift_multiplier_eu=1.2,
    )  # fmt: skip
    assert entry == {
        "input": "1",
        "cache_write_1h": "2",
        "search": "0.02",
        "search_low": "0.01",
        "variants": [
            {"tier": "priority", "input": "2"},
            {"tier": "batch", "input": "0.5"},
            {"above": 200_000, "input": "3", "cache_write_1h": "4"},
            {"above": 200_000, "tier": "priority", "input": "6"},
        ],
        "multipliers": {"eu": "1.2", "us": "1.1", "fast": "2"},
    }


def test_xais_context_tier_begins_at_its_threshold(tmp_path: Path) -> None:
    costs = {"input_cost_per_token": 1e-06, "input_cost_per_token_above_200k_tokens": 2e-06}
    assert entries_of(tmp_path, **costs, litellm_provider="xai")["variants"] == [
        {"above": 199_999, "input": "2"}
    ]


def test_an_off_peak_window_is_told_in_utcs_weekdays(tmp_path: Path) -> None:
    windows = [{"hours_utc": ["10:00-00:00", "22:00-02:00"], "weekdays": [1]}]
    block = {"input_cost_per_token": 1e-06, "weekday_timezone": "Asia/Shanghai", "windows": windows}
    entry = entries_of(tmp_path, input_cost_per_token=2e-06, off_peak_pricing=block)
    assert entry["variants"] == [
        {
            "hours": [
                "mon 10:00-16:00", "sun 16:00-24:00",  # Monday begins in Shanghai at 16:00 UTC on Sunday
                "sun 22:00-24:00", "mon 00:00-02:00",
            ],
            "input": "1",
        }
    ]  # fmt: skip


def test_what_is_priced_by_other_units(tmp_path: Path) -> None:
    assert entries_of(tmp_path, mode="rerank", input_cost_per_query=0.002) == {"request": "0.002"}
    assert entries_of(tmp_path, mode="ocr", ocr_cost_per_page=0.003) == {"page": "0.003"}
    second = entries_of(
        tmp_path, mode="audio_transcription", input_cost_per_second=0.0001, output_cost_per_second=0.0
    )
    assert second["second"] == "0.0001"
    sized = entries_of(
        tmp_path, mode="image_generation", output_cost_per_image=0.08, output_cost_per_image_4K=0.16
    )
    assert sized == {"image": "0.08", "variants": [{"size": "4k", "image": "0.16"}]}
    path = litellm_map(
        tmp_path, **{"hd/10-x-20/dall": {"mode": "image_generation", "input_cost_per_pixel": 1e-05}}
    )
    assert dict(refresh(path, current=None)[0].entries["hd/10-x-20/dall"])["image"] == "0.002"  # type: ignore[arg-type]  # an entry


def test_pictures_of_every_size_and_quality_are_gathered_under_their_model(tmp_path: Path) -> None:
    def picture(cost: float) -> dict[str, Any]:
        return {"mode": "image_generation", "output_cost_per_image": cost}

    tokens = {"mode": "image_generation", "output_cost_per_image_token": 4e-05}
    sizes = {"low/10-x-10/pic": picture(0.01), "high/10-x-10/pic": picture(0.2), "10-x-20/pic": picture(0.03)}
    data, _ = refresh(litellm_map(tmp_path, pic=tokens, **sizes), current=None)
    entry = data.entries["pic"]
    assert isinstance(entry, dict)
    assert entry["image"] == "0.2"
    assert entry["variants"] == [
        {"size": "10x10", "quality": "low", "image": "0.01"},
        {"size": "10x10", "quality": "high", "image": "0.2"},
        {"size": "10x20", "image": "0.03"},
    ]
    assert {"low/10-x-10/pic", "high/10-x-10/pic", "10-x-20/pic"} < data.entries.keys()


def test_a_price_of_one_tier_alone_is_not_free_in_the_others(tmp_path: Path) -> None:
    assert entries_of(tmp_path, input_cost_per_token_priority=2e-06)["input"] == "2"


@pytest.mark.parametrize("cost", [-1e-06, 1.0, "much", True, math.inf])
def test_what_is_not_to_be_believed_is_refused_and_listed(tmp_path: Path, cost: Any) -> None:
    data, report = refresh(litellm_map(tmp_path, m={"input_cost_per_token": cost}), current=None)
    assert "m" not in data.entries
    assert list(report.refused) == ["m"]


def test_a_model_without_a_price_stays_unknown(tmp_path: Path) -> None:
    data, report = refresh(litellm_map(tmp_path, m={"max_tokens": 5}), current=None)
    assert (dict(data.entries), report.unpriced) == ({}, ["m"])


def test_a_tenfold_jump_is_refused_and_listed_unless_allowed(tmp_path: Path) -> None:
    before = {name: {"input_cost_per_token": 2e-06} for name in ("up", "down", "gone", "near")}
    current, _ = refresh(litellm_map(tmp_path, **before), current=None, as_of="2026-01-01")
    costs = {"up": 2e-05, "down": 2e-07, "gone": 0, "near": 1.9e-05}
    path = litellm_map(tmp_path, **{name: {"input_cost_per_token": cost} for name, cost in costs.items()})

    data, report = refresh(path, current=current, as_of="2026-02-02")
    assert report.jumped == {"up": "input 2 -> 20", "down": "input 2 -> 0.2", "gone": "input 2 -> 0"}
    assert report.changed == ["near"]
    assert {name: entry["input"] for name, entry in data.entries.items()} == {  # type: ignore[index]  # no aliases
        "up": "2", "down": "2", "gone": "2", "near": "19",
    }  # fmt: skip
    assert data.as_of == "2026-02-02"

    allowed, report = refresh(path, current=current, allow_jumps=True)
    assert {name: entry["input"] for name, entry in allowed.entries.items()} == {  # type: ignore[index]  # no aliases
        "up": "20", "down": "0.2", "gone": "0", "near": "19",
    }  # fmt: skip
    assert sorted(report.changed) == ["down", "gone", "near", "up"]


def test_a_model_that_is_retired_keeps_its_price(tmp_path: Path) -> None:
    current, _ = refresh(litellm_map(tmp_path, old={"input_cost_per_token": 1e-06}), current=None)
    data, report = refresh(litellm_map(tmp_path, new={"input_cost_per_token": 1e-06}), current=current)
    assert sorted(data.entries) == ["new", "old"]
    assert (report.added, report.kept) == (["new"], ["old"])


GENAI = [
    {
        "id": "openai",
        "models": [
            {"id": "known", "match": {"equals": "known"}, "prices": {"input_mtok": 99}},
            {
                "id": "old",
                "match": {"or": [{"equals": "old-0613"}, {"starts_with": "old-"}, {"starts_with": "ft:old"}]},
                "context_window": 8000,
                "prices": {
                    "input_mtok": {"base": 1.5, "tiers": [{"start": 100, "price": 3}]},
                    "output_mtok": 2,
                    "web_searches_kcount": 10,
                },
                "price_variants": [{"when": {"processing": "batch"}, "prices": {"input_mtok": 0.75}}],
            },
            {"id": "free", "match": {"equals": "free"}, "prices": {}},
            {"id": "odd", "match": {"equals": "odd"}, "prices": {"input_mtok": -1}},
            {"id": "old-audio", "match": {"equals": "old-audio"}, "prices": {"input_mtok": 1}},
        ],
    },
    {
        "id": "x-ai",
        "models": [
            {
                "id": "dated",
                "match": {"equals": "dated"},
                "prices": [
                    {"prices": {"input_mtok": 1}},
                    {"constraint": {"start_date": "2026-01-01"}, "prices": {"input_mtok": 2}},
                    {"constraint": {"start_date": "2026-06-01"}, "prices": {"input_mtok": 3}},
                    {
                        "constraint": {"start_time": "22:00:00Z", "end_time": "02:00:00Z"},
                        "prices": {"input_mtok": 4},
                    },
                ],
            }
        ],
    },
]


def test_genai_prices_add_what_is_missing_and_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps(GENAI))
    current = PriceData(as_of="2026-01-01", sources=("LiteLLM",), entries={"known": {"input": "1"}})
    data, report = refresh(path, current=current, source="genai-prices", as_of="2026-02-02")
    assert data.sources == ("LiteLLM", "genai-prices")
    assert report.added == ["old", "old-0613", "xai/dated"]
    assert report.unpriced == ["free"]
    assert sorted(report.refused) == ["odd", "old-audio"]
    assert data.entries["known"] == {"input": "1"}
    assert data.entries["old-0613"] == "old"
    assert data.entries["old"] == {
        "input": "1.5", "output": "2", "search": "0.01",
        "variants": [{"above": 100, "input": "3"}, {"tier": "batch", "input": "0.75"}],
        "provider": "openai", "source": "genai-prices", "max_input_tokens": 8000,
    }  # fmt: skip
    assert data.entries["xai/dated"]["variants"] == [  # type: ignore[index]  # an entry
        {"valid_from": "2026-01-01", "valid_until": "2026-06-01", "input": "2"},
        {"valid_from": "2026-06-01", "input": "3"},
        {"hours": ["22:00-24:00", "00:00-02:00"], "input": "4"},
    ]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    data, _ = refresh(litellm_map(tmp_path, m={"input_cost_per_token": 1e-06}), current=None, source="a map")
    again = read_data(data.dump(), "it")
    assert again == data
    assert Catalogue(lambda: again).find("m").cost(Usage(input_tokens=1)) == 1000


@pytest.mark.parametrize("text", ["", "nonsense", "5", "[]", "{}", '{"a": 1}', '[{"id": "openai"}]'])
def test_a_file_that_is_neither_list_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"data\.json"):
        refresh(path, current=None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        refresh(tmp_path / "none", current=None)
