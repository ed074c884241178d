"""The published Dakera SDK, unchanged, works against this server."""

import re
import subprocess

import dakera
import pytest
from conftest import BINARY, serve
from dakera import exceptions

ROWS = [
    {"id": "x", "values": [1.0, 0.0, 0.0], "metadata": {"n": 1}},
    {"id": "y", "values": [0.0, 1.0, 0.0], "metadata": {"n": 2}},
    {"id": "z", "values": [0.9, 0.1, 0.0]},
]


@pytest.fixture
def client(server):
    return dakera.DakeraClient(server.url, max_retries=1)


@pytest.fixture
def filled(client, namespace):
    assert client.upsert(namespace, ROWS)["upserted_count"] == 3
    return namespace


def test_create_list_describe_and_delete_a_namespace(client, namespace):
    created = client.create_namespace(namespace, dimensions=3, distance="euclidean")
    assert created.name == namespace
    assert created.dimensions == 3
    assert namespace in [found.name for found in client.list_namespaces()]
    client.upsert(namespace, ROWS)
    described = client.get_namespace(namespace)
    assert (described.name, described.dimensions, described.vector_count) == (namespace, 3, 3)
    client.delete_namespace(namespace)
    assert namespace not in [found.name for found in client.list_namespaces()]
    with pytest.raises(exceptions.NotFoundError):
        client.get_namespace(namespace)


def test_query(client, filled):
    found = client.query(filled, [1.0, 0.0, 0.0], top_k=2, include_values=True).results
    assert [hit.id for hit in found] == ["x", "z"]
    assert found[0].score == pytest.approx(1.0)
    assert found[0].score > found[1].score
    assert found[0].metadata == {"n": 1}


def test_batch_query(client, filled):
    queries = [{"vector": [1.0, 0.0, 0.0], "top_k": 1}, {"vector": [0.0, 1.0, 0.0], "top_k": 2}]
    answers = client.batch_query(filled, queries)
    assert [[hit.id for hit in answer.results] for answer in answers] == [["x"], ["y", "z"]]


def test_delete_and_count(client, filled):
    assert client.count_vectors(filled)["count"] == 3
    assert client.delete(filled, ids=["x", "absent"])["deleted_count"] == 1
    assert client.count_vectors(filled)["count"] == 2
    assert [hit.id for hit in client.query(filled, [1.0, 0.0, 0.0]).results] == ["z", "y"]


def test_export_pages_hold_every_row_once(client, filled):
    rows, cursor = [], None
    for _ in range(5):
        page = client.export_vectors(filled, cursor=cursor, limit=2)
        assert page["total_count"] == 3
        rows += page["vectors"]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert cursor is None
    exported = {row["id"]: (row["values"], row.get("metadata")) for row in rows}
    assert len(rows) == 3
    assert exported["x"] == ([1.0, 0.0, 0.0], {"n": 1})
    assert exported["z"][0] == pytest.approx([0.9, 0.1, 0.0])


def test_fetch(client, filled):
    # The SDK has no method of its own for this route; its transport and error handling are used.
    wanted = {"ids": ["y", "absent"], "include_values": True, "include_metadata": True}
    rows = client._request("POST", f"/v1/namespaces/{filled}/fetch", data=wanted)["vectors"]
    assert [row["id"] for row in rows] == ["y"]
    assert rows[0]["values"] == [0.0, 1.0, 0.0]
    assert rows[0]["metadata"] == {"n": 2}


def test_errors_map_to_its_exceptions(client, filled):
    with pytest.raises(exceptions.NotFoundError) as caught:
        client.query("never-created", [1.0])
    assert caught.value.status_code == 404
    with pytest.raises(exceptions.ValidationError) as caught:
        client.upsert(filled, [{"id": "short", "values": [1.0]}])
    assert caught.value.status_code == 400
    assert "DIMENSION_MISMATCH" in str(caught.value.code)
    assert client.count_vectors(filled)["count"] == 3


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A server that asks for a key, and the key."""
    directory = tmp_path_factory.mktemp("locked")
    made = subprocess.run([BINARY, "keygen"], check=True, capture_output=True, text=True).stdout
    config = directory / "keys.toml"
    config.write_text(made)
    key = re.search(r"qv_[0-9a-f]+", made).group()
    for server in serve(directory, "--config", str(config)):
        yield server, key


def test_keys(locked, namespace):
    server, key = locked
    for wrong in (None, "qv_wrong"):
        with pytest.raises(exceptions.AuthenticationError) as caught:
            dakera.DakeraClient(server.url, api_key=wrong, max_retries=1).list_namespaces()
        assert caught.value.status_code == 401
    client = dakera.DakeraClient(server.url, api_key=key, max_retries=1)
    assert client.upsert(namespace, ROWS)["upserted_count"] == 3
    assert key not in server.log.read_text()


def test_filters(client, filled):
    found = client.query(filled, [1.0, 0.0, 0.0], filter={"n": {"$gte": 2}}).results
    assert [hit.id for hit in found] == ["y"]
    assert client.count_vectors(filled, filter={"n": {"$exists": True}})["count"] == 2
    page = client.export_vectors(filled, filter={"n": {"$lt": 2}})
    assert ([row["id"] for row in page["vectors"]], page["total_count"]) == (["x"], 1)
    with pytest.raises(exceptions.ValidationError):
        client.count_vectors(filled, filter={"n": {"$what": 1}})


def test_bulk_update_and_delete(client, filled):
    done = client.bulk_update_vectors(filled, {"n": {"$gte": 1}}, {"seen": True, "n": None})
    assert (done["updated"], done["failed"], done["errors"]) == (2, 0, [])
    assert client.count_vectors(filled, filter={"seen": True, "n": {"$exists": False}})["count"] == 2
    done = client.bulk_delete_vectors(filled, {"seen": {"$exists": False}})
    assert (done["deleted"], done["failed"], done["errors"]) == (1, 0, [])
    assert client.delete(filled, filter={"seen": True})["deleted"] == 2
    assert client.count_vectors(filled)["count"] == 0
    with pytest.raises(exceptions.ValidationError):
        client.bulk_delete_vectors(filled, {"n": {"$what": 1}})


def test_conditional_upsert(client, filled):
    # The SDK has no field for conditions; its transport and error handling are used.
    def upsert(version, **condition):
        row = {"id": "x", "values": [1.0, 0.0, 0.0], "metadata": {"n": version}}
        return client._request("POST", f"/v1/namespaces/{filled}/vectors", data={"vectors": [row], **condition})

    assert upsert(2, **{"if": {"n": {"$eq": 1}}}) == {
        "upserted_count": 1, "inserted_count": 0, "skipped_count": 0, "skipped_ids": []
    }
    assert upsert(3, **{"if": {"n": {"$eq": 1}}})["skipped_ids"] == ["x"]
    assert upsert(4, mode="insert")["upserted_count"] == 0
    assert upsert(5, mode="update")["upserted_count"] == 1


def test_multi_vector_search(client, filled):
    answer = client.multi_vector_search(filled, positive=[[1.0, 0.0, 0.0]], negative=[[0.0, 1.0, 0.0]], top_k=2)
    assert [hit["id"] for hit in answer["results"]] == ["x", "z"]
    assert answer["results"][0]["score"] == pytest.approx(0.5)
    answer = client.multi_vector_search(
        filled, positive=[[1.0, 0.0, 0.0]], top_k=2, mmr_lambda=0.5, filter={"n": {"$gte": 1}}
    )
    assert [(hit["id"], hit["mmr_score"]) for hit in answer["results"]] == [("x", 0.5), ("y", 0.0)]


def test_unified_query(client, filled):
    def ids(answer):
        return [hit["id"] for hit in answer["results"]]

    answer = client.unified_query(filled, vector=[1.0, 0.0, 0.0], top_k=2)
    assert ids(answer) == ["x", "z"]
    assert answer["results"][0]["$dist"] == pytest.approx(1.0)
    assert answer["results"][0]["metadata"] == {"n": 1}
    answer = client.unified_query(filled, vector=[1.0, 0.0, 0.0], vector_weight=0.5, filter={"n": {"$gte": 2}})
    assert (ids(answer), answer["results"][0]["$dist"]) == (["y"], pytest.approx(0.0))
    rank_by = ["Sum", [["kNN", [1.0, 0.0, 0.0]], ["Product", 2, ["ANN", [0.0, 1.0, 0.0]]]]]
    assert ids(client.unified_query(filled, rank_by=rank_by)) == ["y", "z", "x"]
    first = client.unified_query(filled, rank_by=["n", "desc"], top_k=2)
    assert ids(first) == ["y", "x"]
    assert first["next_cursor"] is not None
    with pytest.raises(exceptions.ValidationError):
        client.unified_query(filled, rank_by=["Sum", []])


def test_aggregate(client, filled):
    total = client.aggregate(filled, metrics=["count", "sum:n", "avg:n", "max:n"])
    assert total["aggregations"] == {"count": 3, "sum_n": 3, "avg_n": 1.5, "max_n": 2}
    groups = client.aggregate(filled, group_by="n", filter={"n": {"$exists": True}}, limit=1)
    assert groups["aggregation_groups"] == [{"n": 1, "count": 1}]


TEXTS = [
    {"id": "fox", "values": [1.0, 0.0], "metadata": {"text": "The quick brown fox jumps over the lazy dog", "n": 1}},
    {"id": "dog", "values": [0.9, 0.1], "metadata": {"text": "Dogs dream of a quick dog", "n": 2}},
    {"id": "cat", "values": [0.0, 1.0], "metadata": {"text": "A cat sleeps", "n": 3}},
]


@pytest.fixture
def texts(client, namespace):
    client.upsert(namespace, TEXTS)
    # The SDK has no method of its own for this route; its transport and error handling are used.
    client._request("PUT", f"/v1/namespaces/{namespace}/indexes/fulltext", data={"fields": ["text"]})
    return namespace


def test_fulltext_search(client, texts):
    found = client.fulltext_search(texts, "quick dogs", top_k=2)
    assert [hit.id for hit in found] == ["dog", "fox"]
    assert found[0].score > found[1].score > 0
    assert found[0].content == TEXTS[1]["metadata"]["text"]
    assert found[0].highlights == ["<em>Dogs</em> dream of a <em>quick</em> <em>dog</em>"]
    assert found[0].metadata == TEXTS[1]["metadata"]
    assert [hit.id for hit in client.fulltext_search(texts, "dog", filter={"n": 1})] == ["fox"]
    with pytest.raises(exceptions.ValidationError):
        client.fulltext_search(texts, "(dog")


def test_documents_are_indexed(client, namespace):
    answer = client.index_documents(
        namespace,
        [
            {"id": "doc1", "content": "Hello world"},
            dakera.Document(id="doc2", text="Goodbye world", metadata={"n": 2}),
        ],
    )
    assert answer == {"indexed_count": 2, "inserted_count": 2}
    found = client.fulltext_search(namespace, "goodbye world")
    assert [hit.id for hit in found] == ["doc2", "doc1"]
    assert found[0].metadata == {"text": "Goodbye world", "n": 2}
    client.upsert(namespace, [{"id": "v", "values": [1.0, 0.0], "metadata": {"n": 3}}])
    assert client.index_documents(namespace, [{"id": "v", "text": "With a vector"}])["inserted_count"] == 0
    [hit] = client.query(namespace, [1.0, 0.0], top_k=5).results
    assert (hit.id, hit.metadata) == ("v", {"n": 3, "text": "With a vector"})


def test_fulltext_stats_and_delete(client, texts):
    stats = client.fulltext_stats(texts)
    assert (stats.document_count, stats.unique_terms) == (3, 10)
    assert stats.avg_doc_length == pytest.approx((7 + 4 + 2) / 3)
    assert client.fulltext_delete(texts, ["cat", "absent"])["deleted_count"] == 1
    assert client.fulltext_stats(texts).document_count == 2


def test_unified_query_with_words(client, texts):
    def ids(answer):
        return [hit["id"] for hit in answer["results"]]

    words = client.fulltext_search(texts, "quick dogs")
    answer = client.unified_query(texts, text="quick dogs")
    assert [(hit["id"], hit["$dist"]) for hit in answer["results"]] == [
        (hit.id, pytest.approx(hit.score)) for hit in words
    ]
    answer = client.unified_query(texts, vector=[1.0, 0.0], text="dog", vector_weight=100, text_weight=0.5)
    assert ids(answer)[0] == "fox"
    assert ids(client.unified_query(texts, vector=[1.0, 0.0], text="dog", vector_weight=0, text_weight=1))[0] == "dog"
    with pytest.raises(exceptions.ValidationError):
        client.unified_query(texts, rank_by=["title", "BM25", "dog"])


def test_hybrid_search(client, texts):
    found = client.hybrid_search(texts, "sleeping cats?", vector=[1.0, 0.0], top_k=3, vector_weight=0.5)
    assert sorted(hit.id for hit in found) == ["cat", "dog", "fox"]
    scores = {hit.id: (hit.vector_score, hit.text_score) for hit in found}
    assert scores["fox"] == (pytest.approx(1.0), None)
    assert scores["cat"][0] == 0.0 and scores["cat"][1] > 0
    assert {hit.id: hit.content for hit in found}["cat"] == "A cat sleeps"
    assert [hit.id for hit in client.hybrid_search(texts, "dog")] == ["dog", "fox"]
    only = client.hybrid_search(texts, "cat", vector=[1.0, 0.0], vector_weight=1.0, filter={"n": {"$lt": 3}})
    assert [hit.id for hit in only] == ["fox", "dog"]
