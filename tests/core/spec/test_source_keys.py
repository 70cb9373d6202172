"""`source:` in a metric and `sources:` in the defaults: form, sense, and no secret."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expci.core.model.experiment import from_json, to_json
from expci.core.model.source import MetricSource
from expci.core.spec.parse import Reading, read_defaults, read_experiment

SPEC = """\
version: 1
hypothesis: People spend more.
arms:
  control: {{}}
  treatment: {{env: {{PAGE: new}}}}
metrics:
  - name: {name}
    role: primary
    kind: mean
    direction: increase
    source: {{{source}}}
assignment: {{unit: custom, design: {design}}}
decision: {{promote: never}}
"""
KEYS = {
    "name": "shop",
    "table": "shop.orders",
    "unit": "user_id",
    "at": "paid_at",
    "window": "7d",
    "value": "amount",
}


def reading(keys: dict[str, str], name: str = "spend", design: str = "blocked") -> Reading:
    source = ", ".join(f"{key}: {value}" for key, value in keys.items())
    defaults = read_defaults("version: 1\nsources: {shop: $SHOP_URL}\n")
    text = SPEC.format(source=source, name=name, design=design)
    return read_experiment("page", text, {}, defaults)


def problems(keys: dict[str, str], **changes: str) -> list[str]:
    return [f"{p.path}: {p.message}" for p in reading(keys, **changes).problems]


def test_a_source_is_read_with_the_origin_of_each_key() -> None:
    read = reading(KEYS)
    assert read.problems == ()
    assert read.experiment is not None
    expected = MetricSource("shop", "shop.orders", "user_id", "paid_at", 7 * 86400.0, "amount")
    assert read.experiment.primary.source == expected
    assert read.origins["metrics[0].source.rows"] == "default"
    assert read.origins["metrics[0].source.table"] == "experiments/page/experiment.yml:11"


def test_a_frozen_plan_keeps_it_and_an_older_one_has_none() -> None:
    experiment = reading(KEYS).experiment
    assert experiment is not None
    frozen = to_json(experiment)
    assert from_json(frozen) == experiment
    del frozen["metrics"][0]["source"]
    older = from_json(frozen)
    assert older.primary == replace(experiment.primary, source=None)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"table": "../secrets"}, "table: '../secrets' is no name of a table"),
        ({"table": "'orders.csv'"}, ""),  # the table csv of the schema orders, never a file
        ({"table": "/etc/passwd"}, "table: '/etc/passwd' is no name of a table"),
        (
            {"table": "'orders; DROP TABLE x'"},
            "table: 'orders; DROP TABLE x' is no name of a table",
        ),
        ({"table": "'read_csv(1)'"}, "table: 'read_csv(1)' is no name of a table"),
        ({"table": "a.b.c.d"}, "table: 'a.b.c.d' is no name of a table"),
        ({"name": "shp"}, "name: 'shp' is no source of experiments/expci.yml"),
        ({"rows": "count"}, "value: is not read where rows are counted"),
        ({"window": "400d"}, "window: is more than a year"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, str], problem: str) -> None:
    expected = [f"metrics[0].source.{problem}"] if problem else []
    assert problems(KEYS | change) == expected


@pytest.mark.parametrize("key", ["name", "table", "unit", "at", "window", "value"])
def test_what_is_missing_is_named(key: str) -> None:
    [problem] = problems({name: value for name, value in KEYS.items() if name != key})
    assert problem.startswith(f"metrics[0].source.{key}: is missing")


def test_an_address_belongs_into_the_defaults_file_only() -> None:
    [problem] = problems(KEYS | {"url": "duckdb://x.duckdb"})
    assert problem.startswith("metrics[0].source.url: is an unknown key")


def test_what_trials_measure_themselves_and_pairs_have_no_source() -> None:
    [measured] = problems(KEYS, name="duration_s")
    assert measured == "metrics[0].source: is of duration_s, which trials report themselves"
    [paired] = problems(KEYS, design="paired")
    assert paired.startswith("metrics[0].source: joins by unit, and in pairs")


@pytest.mark.parametrize(
    "address",
    [
        "$SHOP_URL",
        "duckdb://data/shop.duckdb",
        "parquet:///srv/exports",
        "postgres://reader@db.example:5432/shop",
        "postgresql://reader:$PW@db.example/shop?sslmode=require",
        "bigquery://project/dataset",
        "snowflake://ada:$PW@account/db/schema?warehouse=small",
    ],
)
def test_addresses_without_a_secret_are_taken(address: str) -> None:
    read = read_defaults(f'version: 1\nsources: {{shop: "{address}"}}\n')
    assert read.problems == ()
    assert read.sources == {"shop": address}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("postgres://reader:hunter2@db/shop", "holds a password"),
        ("postgres://reader:x$PW@db/shop", "holds a password"),
        ("postgres://a:b:$PW@db/shop", "holds a password"),
        ("postgres://reader@db/shop?password=hunter2", "holds a password"),
        ("postgres://reader@db/shop?sslmode=on&PGPASSWORD=hunter2", "holds a password"),
        ("postgres://reader@db/shop?pass%77ord=hunter2", "holds a password"),
        ("trino://reader@db/shop?auth_token=abc", "holds a password"),
        ("duckdb://x.duckdb?motherduck_token=abc", "holds a password"),
        ("file:///etc/passwd", "is no address of a database"),
        ("sqlite:///etc/passwd", "is no address of a database"),
        ("orders.parquet", "is no address of a database"),
        ("$lower", "is no address of a database"),
        ("https://example.org/x", "is no address of a database"),
    ],
)
def test_secrets_and_what_is_no_database_are_refused(address: str, message: str) -> None:
    [problem] = read_defaults(f'version: 1\nsources: {{shop: "{address}"}}\n').problems
    assert (problem.path, problem.message) == ("sources.shop", message)
    assert "hunter2" not in str(problem)


def test_names_of_sources_are_plain_and_few() -> None:
    [problem] = read_defaults('version: 1\nsources: {"a b": $X}\n').problems
    assert problem.message == "'a b' is no name of a source"
    many = ", ".join(f"s{n}: $X" for n in range(21))
    [problem] = read_defaults(f"version: 1\nsources: {{{many}}}\n").problems
    assert problem.message == "are more than 20"
