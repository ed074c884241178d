"""What is stored is open: pyarrow reads the log's objects without any of our code."""

import io
import json

import pyarrow as pa
import pytest

ARROW = "application/vnd.apache.arrow.stream"
VALUES = [[1.0, -2.5, 0.25], [0.5, 0.0, 3.0]]
METADATA = {"title": "żółw", "n": 7}


def arrow_body() -> bytes:
    table = pa.table(
        {
            "id": pa.array(["a", "b/../c"]),
            "values": pa.array(VALUES, pa.list_(pa.float32(), 3)),
            "metadata": pa.array([json.dumps(METADATA), None]),
            "ttl_seconds": pa.array([None, 3600], pa.int64()),
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def json_body() -> bytes:
    rows = [
        {"id": "a", "values": VALUES[0], "metadata": METADATA},
        {"id": "b/../c", "values": VALUES[1], "ttl_seconds": 3600},
    ]
    return json.dumps({"vectors": rows}).encode()


@pytest.mark.parametrize("kind, body", [("application/json", json_body), (ARROW, arrow_body)])
def test_pyarrow_reads_the_log(server, http, namespace, kind, body):
    path = f"/v1/namespaces/{namespace}/vectors"
    answer = http.post(path, content=body(), headers={"content-type": kind})
    assert (answer.status_code, answer.json()["upserted_count"]) == (200, 2), answer.text
    assert http.delete(f"{path}/a").status_code == 200

    logs = list((server.data / "namespaces" / namespace).glob("*/log"))
    assert len(logs) == 1
    objects = sorted(logs[0].iterdir())
    seqs = [int(entry.name) for entry in objects]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert all(len(entry.name) == 20 for entry in objects)

    rows, entry_ids = [], set()
    for entry in objects:
        content = entry.read_bytes()
        source = io.BytesIO(content)
        with pa.ipc.open_stream(source) as reader:
            header = {key.decode(): value.decode() for key, value in reader.schema.metadata.items()}
            fields = {field.name: field.type for field in reader.schema}
            rows += reader.read_all().to_pylist()
        assert content[source.tell() :], "a trailer follows the stream, and pyarrow did not mind"
        assert set(header) - {"quiver.dimension"} == {
            "quiver.format",
            "quiver.namespace",
            "quiver.incarnation",
            "quiver.seq",
            "quiver.entry_id",
            "quiver.previous",
            "quiver.kind",
            "quiver.committed_at",
        }
        assert header["quiver.namespace"] == namespace
        assert header["quiver.incarnation"] == entry.parent.parent.name
        assert int(header["quiver.seq"]) == int(entry.name)
        assert header.get("quiver.dimension", "3") == "3"
        entry_ids.add(header["quiver.entry_id"])
        assert fields["id"] == pa.string() and fields["metadata"] == pa.string()
        assert fields["op"] == pa.uint8()
        assert fields["vector"].value_type == pa.float32()
        assert pa.types.is_timestamp(fields["expires_at"])
    assert len(entry_ids) == len(objects)

    written = [row for row in rows if row["vector"] is not None]
    assert [(row["id"], row["vector"]) for row in written] == [("a", VALUES[0]), ("b/../c", VALUES[1])]
    assert json.loads(written[0]["metadata"]) == METADATA and written[0]["expires_at"] is None
    assert written[1]["metadata"] is None and written[1]["expires_at"] is not None
    removed = [row for row in rows if row["vector"] is None]
    assert [row["id"] for row in removed] == ["a"]
    assert removed[0]["op"] != written[0]["op"]
