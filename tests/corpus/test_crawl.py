"""A small site in three charsets is crawled by Wget over the loopback and read from its WARC."""

import http.server
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from jgpt2.corpus import build, dataset, records, selection
from jgpt2.corpus.reading import inputs, read

TEXTS = {
    "/": "ここは夏目漱石の作品を紹介する小さな書棚です。下の頁からどうぞ。",
    "/botchan.html": "親譲りの無鉄砲で小供の時から損ばかりしている。小学校に居る時分の話である。",
    "/kusamakura.html": "山路を登りながら、こう考えた。智に働けば角が立つ。情に棹させば流される。",
    "/neko.html": "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。",
    "/hidden.html": "この頁は検索されたくないと言っている。学習にも使われたくない。",
    "/memo.txt": "覚え書き。明日は雨が降るらしいので傘を持って出かけること。",
    "/secret/a.html": "ロボットはこの頁を取ってはならない。",
}
CHARSETS = {"/botchan.html": "shift_jis", "/kusamakura.html": "euc_jp"}
LABELS = {"/botchan.html": "; charset=Shift_JIS", "/neko.html": "; charset=utf-8"}
"""In the HTTP header; EUC-JP is named in the page alone."""


def page(path: str) -> bytes:
    charset = CHARSETS.get(path, "utf-8")
    if path.endswith(".txt"):
        return (TEXTS[path] * 3).encode()
    links = "".join(f'<a href="{other}">次</a> ' for other in [*TEXTS, "/missing.html"])
    head = f'<meta charset="{charset}"><title>書棚</title>'
    html = f"<!doctype html><html lang=ja><head>{head}</head><body><nav>{links}</nav>"
    return f"{html}<p>{TEXTS[path] * 3}</p></body></html>".encode(charset)


class Site(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/robots.txt":
            self.answer(200, "text/plain", b"User-agent: *\nDisallow: /secret/\n")
        elif self.path not in TEXTS:
            self.answer(404, "text/html", b"<p>404")
        else:
            kind = "text/plain" if self.path.endswith(".txt") else "text/html"
            self.answer(200, kind + LABELS.get(self.path, ""), page(self.path))

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/hidden.html":
            self.send_header("X-Robots-Tag", "noindex")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the site while it is served."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def crawl(site: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The WARC file of a crawl of the site."""
    wget = shutil.which("wget")
    if wget is None:
        pytest.skip("needs wget")
    folder = tmp_path_factory.mktemp("書棚")
    command = [wget, "--quiet", "--recursive", "--no-proxy", "--tries=5", "--timeout=20"]
    command += ["--no-directories", "--delete-after", "--warc-file=crawl", f"{site}/"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=60, check=False)
    assert done.returncode in (0, 8), done.stderr  # 8: the server answered one request with 404
    return folder / "crawl.warc.gz"


def test_a_crawl_is_read(crawl: Path, site: str):
    (input,) = inputs.find([crawl])
    each = list(read.each(input))
    raws = {record.url: record for record in each if isinstance(record, records.Raw)}
    losses = [record for record in each if isinstance(record, records.Loss)]
    wanted = [path for path in TEXTS if path != "/secret/a.html"]
    assert set(raws) == {site + path for path in [*wanted, "/robots.txt"]}
    for path in wanted:
        raw = raws[site + path]
        assert raw.content == page(path)
        assert raw.kind == ("wet" if path.endswith(".txt") else "html")
        assert f"; charset={raw.charset}".rstrip("=").removesuffix("; charset") == LABELS.get(
            path, ""
        )
        assert raw.robots == (("noindex",) if path == "/hidden.html" else ())
        assert raw.fetched_at.startswith("20")
    assert [loss.reason for loss in losses] == ["status not 200"]
    assert "/missing.html" in losses[0].where


def test_a_crawl_that_was_stopped_is_read(crawl: Path, tmp_path: Path):
    (tmp_path / "cut.warc.gz").write_bytes(crawl.read_bytes()[:-700])
    (whole,) = inputs.find([crawl])
    (cut,) = inputs.find([tmp_path])
    before = [record for record in read.each(whole) if isinstance(record, records.Raw)]
    after = list(read.each(cut))
    kept = [record.content for record in after if isinstance(record, records.Raw)]
    assert kept == [record.content for record in before][: len(kept)]
    assert isinstance(after[-1], records.Loss)
    assert after[-1].reason == "broken WARC"


def test_a_crawl_becomes_a_dataset(crawl: Path, site: str, tmp_path: Path):
    # The pages of this site are far too short for the thresholds of the web.
    recipe = build.Recipe(choice=selection.Choice(filters="none"))
    made = build.build([crawl], tmp_path / "書棚", name="書棚", recipe=recipe)
    found = {
        document.url.removeprefix(site): document.text
        for split in dataset.SPLITS
        for document in dataset.open_split(tmp_path / "書棚", split)
    }
    assert set(found) == {"/", "/botchan.html", "/kusamakura.html", "/neko.html", "/memo.txt"}
    assert all(TEXTS[path] in text for path, text in found.items())
    assert made.notes["drops"] == {"status not 200": 1, "noindex": 1, "not Japanese": 1}
    account = json.loads((tmp_path / "書棚" / "account.json").read_text("utf-8"))
    assert account["charsets"] == {
        "cp932 > cp932": 1,
        "euc_jp > euc_jp": 1,
        "none > utf-8": 2,
        "utf-8 > utf-8": 3,
    }
    report = (tmp_path / "書棚" / "report.html").read_text("utf-8")
    assert "127.0.0.1" in report and "noindex" in report
