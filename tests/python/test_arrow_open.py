"""The log in a bucket opens with pyarrow alone."""

import io
import urllib.request

import pyarrow as pa


def post(url, body, content_type):
    request = urllib.request.Request(url, body, {"Content-Type": content_type})
    return urllib.request.urlopen(request).read()


def test_log_objects_are_arrow_streams(server, namespace):
    url = f"{server.url}/v1/namespaces/{namespace}/vectors"
    post(url, b'{"vectors":[{"id":"a","values":[1,2],"metadata":{"k":1}}]}', "application/json")
    table = pa.table(
        {
            "id": ["b", "c/../d"],
            "values": pa.array([[3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
            "metadata": [None, '{"x":"y"}'],
        }
    )
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    post(url, sink.getvalue(), "application/vnd.apache.arrow.stream")
    post(f"{url}/delete", b'{"ids":["a"]}', "application/json")

    objects = sorted((server.folder / "data" / "namespaces" / namespace).glob("*/log/*"))
    entries = [pa.ipc.open_stream(path.read_bytes()).read_all() for path in objects]
    assert [entry.column_names for entry in entries] == [["op", "id", "vector", "metadata", "expires_at"]] * 3
    assert entries[0].to_pylist() == [
        {"op": 0, "id": "a", "vector": [1, 2], "metadata": '{"k":1}', "expires_at": None}
    ]
    assert entries[1]["id"].to_pylist() == ["b", "c/../d"]
    assert entries[1]["vector"].to_pylist() == [[3, 4], [5, 6]]
    assert (entries[2]["op"].to_pylist(), entries[2]["id"].to_pylist()) == ([1], ["a"])
    headers = [entry.schema.metadata for entry in entries]
    assert [header[b"quiver.seq"] for header in headers] == [b"1", b"2", b"3"]
    assert headers[0][b"quiver.dimension"] == b"2" and b"quiver.dimension" not in headers[1]
    assert len({header[b"quiver.entry_id"] for header in headers}) == 3
