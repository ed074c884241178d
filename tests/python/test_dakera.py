"""Dakera's own SDK, unchanged, against Quiver."""

import dakera
import pytest

from conftest import start, stop


@pytest.fixture
def client(server):
    with dakera.DakeraClient(server.url) as client:
        yield client


def fill(client, namespace):
    client.create_namespace(namespace, dimensions=3, distance="euclidean")
    rows = [{"id": f"v{n}", "values": [n, 0, 0], "metadata": {"n": n}} for n in range(5)]
    assert client.upsert(namespace, rows)["upserted_count"] == 5


def test_namespaces(client, namespace):
    info = client.create_namespace(namespace, dimensions=3)
    assert (info.name, info.dimensions) == (namespace, 3)
    assert namespace in [listed.name for listed in client.list_namespaces()]
    client.delete_namespace(namespace)
    with pytest.raises(dakera.NotFoundError):
        client.get_namespace(namespace)


def test_rows(client, namespace):
    fill(client, namespace)
    assert client.get_namespace(namespace).vector_count == 5
    assert client.count_vectors(namespace)["count"] == 5
    assert client.delete(namespace, ids=["v0", "v1", "nope"])["deleted_count"] == 2
    exported = client.export_vectors(namespace)
    assert [row["id"] for row in exported["vectors"]] == ["v2", "v3", "v4"]
    assert exported["vectors"][0]["values"] == [2, 0, 0]
    assert exported["total_count"] == exported["returned_count"] == 3


def test_queries(client, namespace):
    fill(client, namespace)
    found = client.query(namespace, [3, 0, 0], top_k=2, include_values=True)
    assert [hit.id for hit in found.results] == ["v3", "v2"]
    assert found.results[0].score == 0 and found.results[0].metadata == {"n": 3}
    both = client.batch_query(namespace, [{"vector": [n, 0, 0], "top_k": 1} for n in (4, 1)])
    assert [result.results[0].id for result in both] == ["v4", "v1"]


def test_errors(client, namespace, tmp_path):
    with pytest.raises(dakera.NotFoundError):
        client.query("missing", [1, 2, 3])
    fill(client, namespace)
    with pytest.raises(dakera.ValidationError):
        client.upsert(namespace, [{"id": "x", "values": [1, 2]}])
    digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"  # sha256("foo")
    (tmp_path / "quiver.toml").write_text(
        f'[[auth.keys]]\nname = "t"\nsha256 = "{digest}"\nscope = "read"\n'
    )
    guarded = start(tmp_path)
    try:
        with dakera.DakeraClient(guarded.url) as stranger, pytest.raises(dakera.AuthenticationError):
            stranger.list_namespaces()
        with dakera.DakeraClient(guarded.url, api_key="foo") as reader:
            assert reader.list_namespaces() == []
            with pytest.raises(dakera.AuthorizationError):
                reader.create_namespace("n", dimensions=2)
    finally:
        stop(guarded)
