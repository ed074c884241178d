"""What the comparison with other engines computes from its measurements (benches/peers)."""

import json
import sys

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "benches/peers"))

import dataset
import frontier
import report
from enlarge import enlarge


def point(recall: float, rate: float) -> dict:
    return {"recall": recall, "per_second": rate, "p50_ms": 1.0, "p99_ms": 2.0, "cores": 1.5}


POINTS = [point(0.99, 100.0), point(0.9, 1000.0), point(0.95, 50.0), point(0.94, 900.0)]


def test_a_point_that_another_one_beats_is_not_on_the_frontier():
    assert [p["recall"] for p in frontier.frontier(POINTS)] == [0.9, 0.94, 0.99]


def test_rates_lie_between_those_of_the_neighbours():
    assert frontier.rate_at(POINTS, 0.965) == pytest.approx((900 * 100) ** 0.5)
    assert frontier.rate_at(POINTS, 0.99) == pytest.approx(100)
    assert frontier.rate_at(POINTS, 0.5) == 1000, "more recall than asked for"
    assert frontier.rate_at(POINTS, 0.991) is None, "never beyond what was measured"
    assert frontier.rate_at([], 0.5) is None


def test_enough_is_the_fastest_point_of_the_recall_or_the_best_there_is():
    assert frontier.enough(POINTS, 0.92)["per_second"] == 900
    assert frontier.enough(POINTS, 0.999)["recall"] == 0.99
    assert frontier.enough([], 0.9) is None


def test_exact_answers_obey_the_filters(tmp_path):
    random = np.random.default_rng(1)
    rows = random.standard_normal((1500, 8)).astype(np.float16)
    queries = random.standard_normal((25, 8)).astype(np.float32)
    np.save(tmp_path / "base.f16.npy", rows)
    np.save(tmp_path / "queries.npy", queries)
    truth = dataset.DataSet(tmp_path, tmp_path / "truth.npz").truth
    units = rows.astype(np.float32) / np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True)
    for number, query in enumerate(queries):
        order = np.argsort(-(units @ query), kind="stable")
        assert truth["all"][number].tolist() == order[:10].tolist()
        for field in dataset.FIELDS:
            passing = [row for row in order if dataset.metadata(row)[field] == dataset.wanted(field, number)]
            assert truth[field][number].tolist() == passing[:10]


def test_an_enlarged_set_begins_with_the_real_one_and_repeats_nothing(tmp_path):
    random = np.random.default_rng(1)
    (tmp_path / "real").mkdir()
    real = random.standard_normal((50, 8)).astype(np.float16)
    np.save(tmp_path / "real/base.f16.npy", real)
    np.save(tmp_path / "real/queries.npy", real[:3].astype(np.float32))
    enlarge(tmp_path / "real", tmp_path / "large", 200)
    rows = np.load(tmp_path / "large/base.f16.npy")
    assert (rows[:50] == real).all()
    assert len(np.unique(rows, axis=0)) == len(rows) == 200
    assert len(np.load(tmp_path / "large/queries.npy")) == 3


def test_recall_counts_only_answered_queries_and_only_ten_ids():
    truth = np.arange(20).reshape(2, 10)
    assert dataset.recall([list(range(10)), None], truth) == 1
    assert dataset.recall([[0, 1, 2, 3, 4], list(range(30, 40)) + list(range(10, 20))], truth) == 0.25


def test_the_page_says_what_is_better_and_by_how_much(tmp_path):
    common = {
        "begun": "2026-01-01 00:00",
        "load_before": 0.5,
        "version": "1",
        "index": "some",
        "clients": "4",
        "durability": "some",
        "rows": 10,
        "dimension": 2,
        "memory_mb": 1.0,
        "disk_mb": 1.0,
    }
    ours = common | {"name": "quiver", "sweep": [point(1.0, 500.0)], "filtered": {}, "ingest_seconds": 2.0}
    other = common | {"name": "peer", "sweep": [point(0.97, 1000.0)], "filtered": {}, "ingest_seconds": 8.0}
    (tmp_path / "results").mkdir()
    for result in (ours, other):
        (tmp_path / "results" / f"{result['name']}.json").write_text(json.dumps(result))
    report.write(tmp_path / "results", tmp_path, "")
    page = (tmp_path / "benchmarks-peers.md").read_text()
    assert "| peer | 1,000 | – | – |" in page and "| 0.50 / – / – |" in page
    assert "| peer | 8.0 | 4.00 |" in page
    assert "- **peer**: queries/s @ 0.95 (2.0×)\n" in page
    assert (tmp_path / "recall-qps.svg").read_text().count("<circle") == 2
