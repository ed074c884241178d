"""The page at /ui, in a real browser: what it shows is what the API says, by mouse, by keyboard and with a key.

`QUIVER_SCREENSHOTS` names a folder for pictures of every view, to be looked at by eye.
"""

import hashlib
import json
import os
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import ROOT, serve
from playwright.sync_api import Page, expect, sync_playwright

BROWSER = ROOT / ".deps" / "chromium" / "chromium"
# As root there is no sandbox; the rest keeps the browser from calling its maker.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
DATA = ROOT / "tests" / "data" / "wordnet"
ROWS = 600
NAMESPACE = "glosses"
HOSTILE = {"id": "a/b ?#%żółw", "html": "<img src=x onerror=window.hurt=1><script>window.hurt=1</script>"}


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A server with two namespaces: glosses, most of them folded, and one with a row that means harm."""
    for server in serve(tmp_path_factory.mktemp("ui"), "--set", "compaction.background=false"):
        with httpx.Client(base_url=f"{server.url}/v1/namespaces", timeout=60) as http:
            vectors = np.load(DATA / "base.f16.npy")[::2][:ROWS].astype(np.float32)
            lines = (DATA / "docs.jsonl").read_text().splitlines()[::2][:ROWS]
            rows = [json.loads(line) for line in lines]
            rows = [{"id": row.pop("id"), "values": vector.tolist(), "metadata": {**row, "length": len(row["text"])}}
                    for row, vector in zip(rows, vectors, strict=True)]
            http.post(f"/{NAMESPACE}/vectors", json={"vectors": rows[:-100]}).raise_for_status()
            http.post(f"/{NAMESPACE}/compact").raise_for_status()
            http.post(f"/{NAMESPACE}/vectors", json={"vectors": rows[-100:]}).raise_for_status()
            http.put(f"/{NAMESPACE}/indexes/fulltext", json={"fields": ["text"]}).raise_for_status()
            hostile = {"id": HOSTILE["id"], "values": [1, 0], "metadata": {HOSTILE["html"]: HOSTILE["html"]}}
            http.post("/hostile/vectors", json={"vectors": [hostile]}).raise_for_status()
        yield server


@pytest.fixture
def page(browser, filled, request):
    """A tab in which nothing may go wrong, and which may talk to nobody but the server."""
    troubles, context = [], browser.new_context(viewport={"width": 1200, "height": 850})
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    expected = request.node.get_closest_marker("refusals")
    tab.on("console", lambda said: troubles.append(said.text) if said.type == "error" and not (
        expected and "status of 4" in said.text) else None)
    tab.on("request", lambda asked: troubles.append(asked.url) if not asked.url.startswith(filled.url) else None)
    yield tab
    if folder := os.environ.get("QUIVER_SCREENSHOTS"):
        tab.screenshot(path=Path(folder) / f"{request.node.name}.png")
    context.close()
    assert not troubles


def show(page: Page, url: str, where: str = "#/"):
    page.goto(f"{url}/ui/index.html{where}")


def says(page: Page, text):
    expect(page.get_by_role("status")).to_contain_text(text)


def ids(page: Page) -> list[str]:
    return page.locator(".hits h3 a").all_inner_texts()


def test_namespaces_are_listed_with_their_rows_and_found_by_keyboard(page, filled):
    page.goto(f"{filled.url}/v1/ui")
    assert page.url == f"{filled.url}/v1/ui/index.html"
    links = page.locator("#namespaces a")
    expect(links).to_have_text([re.compile(f"^{NAMESPACE}{ROWS}$"), re.compile("^hostile1$")])
    page.keyboard.press("/")
    page.keyboard.type("host")
    expect(links).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("hostile")
    expect(page.locator("#namespaces a[aria-current]")).to_have_text(re.compile("hostile"))


def test_the_overview_says_how_far_folds_and_indexes_are(page, filled):
    show(page, filled.url, f"#/ns/{NAMESPACE}")
    main = page.get_by_role("main")
    expect(main).to_contain_text("Rows600")
    expect(main).to_contain_text("1 of 2 entries of the log wait to be folded")
    expect(main).to_contain_text("1 segment with 500 rows")
    expect(main.get_by_role("progressbar").first).to_have_js_property("value", 0.5)
    # Segments as small as this have no index; every row of it is looked at.
    expect(main.get_by_role("row", name=re.compile("^attributes"))).to_have_text("attributesready 100 %06000 B")
    # It follows what happens without being asked to.
    httpx.post(f"{filled.url}/v1/namespaces/hostile/compact").raise_for_status()
    show(page, filled.url, "#/ns/hostile")
    expect(main).to_contain_text("Every entry of the log is folded.")
    httpx.post(f"{filled.url}/v1/namespaces/hostile/vectors", json={"vectors": []}).raise_for_status()
    more = {"vectors": [{"id": "more", "values": [0, 1]}]}
    httpx.post(f"{filled.url}/v1/namespaces/hostile/vectors", json=more).raise_for_status()
    expect(main).to_contain_text("Rows2", timeout=20_000)
    httpx.delete(f"{filled.url}/v1/namespaces/hostile/vectors/more").raise_for_status()


def test_a_search_finds_what_the_api_finds(page, filled):
    api = httpx.Client(base_url=f"{filled.url}/v1/namespaces/{NAMESPACE}")
    row = api.post("/export", json={"limit": 1, "filter": {"pos": "noun"}}).json()["vectors"][0]
    asked = {"vector": row["values"], "top_k": 5, "filter": {"pos": "noun"}, "exact": True}
    found = [hit["id"] for hit in api.post("/query", json=asked).json()["results"]]
    show(page, filled.url, f"#/ns/{NAMESPACE}/search")
    page.get_by_label("Near the row").fill(row["id"])
    page.get_by_label("Filter").fill('{"pos": "noun"}')
    page.get_by_label("Results").fill("5")
    page.get_by_label("Exact").check()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    says(page, "5 results by vector in ")
    assert ids(page) == found and found[0] == row["id"]
    expect(page.locator(".hits li").first).to_contain_text(row["metadata"]["text"])
    # One of the results, searched near with a click.
    page.locator(".hits h3 a").nth(1).click()
    expect(page.get_by_label("Near the row")).to_have_value(found[1])
    says(page, "10 results")
    assert ids(page)[0] == found[1]
    page.get_by_label("Near the row").fill("")
    page.get_by_label("Near the vector").fill(json.dumps(row["values"]))
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".hits h3 a").first).to_have_text(row["id"])


def test_words_are_found_and_marked(page, filled):
    api = httpx.Client(base_url=f"{filled.url}/v1/namespaces/{NAMESPACE}")
    found = [hit["id"] for hit in api.post("/fulltext/search", json={"query": "person -woman"}).json()["results"]]
    show(page, filled.url, f"#/ns/{NAMESPACE}/search")
    expect(page.get_by_label("Words")).to_be_focused()
    page.keyboard.type("person -woman")
    page.keyboard.press("Enter")
    says(page, f"{len(found)} results by words in ")
    assert ids(page) == found and len(found) > 3
    marks = page.locator(".hits mark").all_inner_texts()
    assert len(marks) >= len(found) and all(mark.lower().startswith("person") for mark in marks), marks
    page.get_by_label("Near the row").fill(found[3])
    page.keyboard.press("Enter")
    says(page, "10 results by words and vector")
    assert found[3] in ids(page)
    show(page, filled.url, "#/ns/hostile/search")
    expect(page.get_by_label("Words")).to_be_disabled()


@pytest.mark.refusals
def test_what_is_wrong_with_an_input_stands_beside_it(page, filled):
    show(page, filled.url, f"#/ns/{NAMESPACE}/search")
    search = page.get_by_role("button", name="Search")

    def refused(label: str, value: str, why: str):
        page.get_by_label(label).fill(value)
        search.click()
        says(page, re.compile(why))
        expect(page.locator("#status")).to_have_class("error")
        message = page.get_by_label(label).evaluate("input => input.validationMessage")
        assert re.search(why, message), (label, message)
        page.get_by_label(label).fill("")

    refused("Near the row", "", "Say what to search for")
    refused("Near the row", "nobody", "nobody")
    refused("Words", '"an open phrase', "character|quote|phrase")
    refused("Near the vector", "[1, 2", "JSON|Expected")
    refused("Near the vector", "[1, 2]", "384")
    page.get_by_label("Near the row").fill("00023451n")
    refused("Filter", '{"pos": {"$near": 1}}', r"\$near")
    search.click()
    says(page, "10 results")


def test_metadata_is_text_and_never_markup(page, filled):
    like = "#/ns/hostile/search?like=a%2Fb%20%3F%23%25%C5%BC%C3%B3%C5%82w"
    show(page, filled.url, like)
    expect(page.locator(".hits dd")).to_have_text(HOSTILE["html"])
    expect(page.locator(".hits dt")).to_have_text(HOSTILE["html"])
    assert ids(page) == [HOSTILE["id"]]
    assert page.evaluate("window.hurt") is None
    page.locator(".hits h3 a").click()
    assert page.url.endswith(like)


def test_the_map_shows_rows_in_the_colours_of_a_field(page, filled):
    show(page, filled.url, f"#/ns/{NAMESPACE}/map")
    says(page, f"{ROWS} of {ROWS} rows")
    counts = httpx.post(f"{filled.url}/v1/namespaces/{NAMESPACE}/aggregate", json={
        "aggregate_by": {"rows": ["Count"]}, "group_by": ["pos"]}).json()["aggregation_groups"]
    page.get_by_label("Colour by").select_option("pos")
    expect(page.locator(".legend li")).to_have_text(
        [f"{group['pos']} ({group['rows']})" for group in sorted(counts, key=lambda g: (-g["rows"], g["pos"]))])
    # Every colour of the legend is on the canvas, about as often as there are rows of it.
    colours = page.evaluate("""() => [...document.querySelectorAll(".legend .dot")].map(dot =>
        getComputedStyle(dot).backgroundColor.match(/\\d+/g).map(Number))""")
    pixels = np.array(page.evaluate("""() => { const canvas = document.querySelector("canvas");
        return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data]; }""")).reshape(-1, 4)
    of_colour = [int((pixels[:, :3] == colour).all(axis=1).sum()) for colour in colours]
    assert of_colour == sorted(of_colour, reverse=True) and min(of_colour) > 5, of_colour
    page.get_by_label("Filter").fill('{"pos": "verb"}')
    page.get_by_role("button", name="Draw").click()
    verbs = next(group["rows"] for group in counts if group["pos"] == "verb")
    says(page, f"{verbs} of {verbs} rows")
    page.get_by_label("Colour by").select_option("length")
    expect(page.locator(".legend li")).to_have_count(5)


def test_the_map_is_walked_by_keyboard(page, filled):
    show(page, filled.url, f"#/ns/{NAMESPACE}/map")
    says(page, "rows, drawn by chance")
    page.locator("canvas").focus()
    chosen = page.locator(".chosen h3")
    visited = []
    for key in ["ArrowRight", "ArrowRight", "ArrowRight", "+", "ArrowUp"]:
        page.keyboard.press(key)
        visited.append(chosen.inner_text())
    assert visited[0] != visited[1] != visited[2] == visited[3] != visited[4], visited
    page.keyboard.press("Enter")
    expect(page.get_by_label("Near the row")).to_have_value(visited[-1])


def test_the_plane_is_that_of_the_principal_components(page, filled):
    show(page, filled.url)
    vectors = np.load(DATA / "base.f16.npy")[:200, :64].astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    found = page.evaluate("""vectors => import("./projection.js").then(({ plane }) => plane(vectors, async () => {}))""",
                          vectors.tolist())
    exact = float((sizes[:2] ** 2).sum() / (sizes**2).sum())
    assert exact * 0.97 < found["share"] <= exact + 1e-9
    points = np.array(found["points"])
    first = np.corrcoef(points[:, 0], centred @ axes[0])[0, 1]
    assert abs(first) > 0.95
    same = page.evaluate("""() => import("./projection.js").then(({ plane }) => plane([[1, 1], [1, 1]], async () => {}))""")
    assert same == {"points": [[0, 0], [0, 0]], "share": 1}


def test_charts_follow_the_metrics(page, filled):
    show(page, filled.url)
    chart = page.get_by_role("img", name=re.compile("Requests to this server"))
    expect(chart).to_have_accessible_name(re.compile(r"200 \d"))
    for _ in range(40):
        httpx.get(f"{filled.url}/v1/namespaces/{NAMESPACE}").raise_for_status()
    expect(chart).to_have_accessible_name(re.compile(r"200 [1-9]\d"))
    expect(page.get_by_role("img", name=re.compile(r"Latency of the store: median .*s, p99 "))).to_be_visible()
    figures = page.evaluate("""() => import("./metrics.js").then(({ parse, buckets, quantile, since, totals }) => {
        const text = 't_bucket{le="1.0",a="x"} 10\\nt_bucket{le="2.0",a="x"} 30\\nt_bucket{le="+Inf",a="x"} 40\\n'
            + 't_bucket{le="1.0",a="y"} 0\\nc_total{route="/a\\\\"b",s="1"} 2\\nc_total{route="/c",s="1"} 3\\n# EOF';
        const samples = parse(text), of_x = buckets(samples, "t", ({ a }) => a === "x");
        return [quantile(of_x, 0.5), quantile(of_x, 0.25), quantile(of_x, 0.99), Number.isNaN(quantile([], 0.5)),
            [...totals(samples, "c_total", "s")], samples[4].labels.route,
            since([["x", 5]], [["x", 7], ["y", 1]]), since([["x", 5]], [["x", 2]])];
    })""")
    assert figures == [1.5, 1, 2, True, [["1", 5]], '/a"b', [["x", 2], ["y", 1]], [["x", 2]]]


@pytest.mark.refusals
def test_a_key_is_asked_for_and_forgotten_with_the_tab(browser, tmp_path):
    config = tmp_path / "quiver.toml"
    digest = hashlib.sha256(b"a key of 32 bytes, more or less..").hexdigest()
    config.write_text(f'[[auth.keys]]\nname = "reader"\nsha256 = "{digest}"\nscope = "read"\n'
                      f'[storage.backend]\ntype = "fs"\nroot = "{tmp_path / "data"}"\n')
    for server in serve(tmp_path, config=config):
        context = browser.new_context()
        page = context.new_page()
        show(page, server.url)
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_be_visible()
        for key, accepted in [("wrong", False), ("a key of 32 bytes, more or less..", True)]:
            dialog.get_by_label("Key").fill(key)
            page.keyboard.press("Enter")
            if accepted:
                expect(page.locator("#server")).to_contain_text("on fs")
                expect(dialog).to_be_hidden()
            else:
                says(page, re.compile("key", re.IGNORECASE))
                expect(dialog).to_be_visible()
        page.reload()
        expect(page.locator("#server")).to_contain_text("on fs")
        context.close()
        context = browser.new_context()
        page = context.new_page()
        show(page, server.url)
        expect(page.get_by_role("dialog", name="API key")).to_be_visible()
        context.close()
