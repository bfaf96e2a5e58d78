import gzip
import io
import random
import zlib
from collections import Counter
from pathlib import Path

import pytest

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, read

PAGE = "<!doctype html><title>坊っちゃん</title><p>親譲りの無鉄砲で小供の時から損ばかりしている。"


def warc(kind: str, block: bytes, *, url: str = "http://例え.jp/", **fields: str) -> bytes:
    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2026-01-02T03:04:05Z\r\n"
    head += f"WARC-Target-URI: {url}\r\nContent-Length: {len(block)}\r\n"
    head += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + block + b"\r\n\r\n"


def response(
    body: bytes, *headers: str, status: str = "HTTP/1.1 200 OK", url: str = "http://例え.jp/"
) -> bytes:
    head = "\r\n".join([status, *(headers or ["Content-Type: text/html"])])
    return warc("response", head.encode() + b"\r\n\r\n" + body, url=url)


def zstd(data: bytes) -> bytes:
    from fastwarc import ZstdWriter

    packed = io.BytesIO()
    with ZstdWriter(packed) as writer:
        writer.write(data)
    return packed.getvalue()


def brotli(data: bytes) -> bytes:
    from fastwarc.stream_io import BrotliWriter

    packed = io.BytesIO()
    with BrotliWriter(packed) as writer:
        writer.write(data)
    return packed.getvalue()


def found(path: Path, data: bytes, **limits: int) -> list[records.Raw | records.Loss]:
    path.write_bytes(data)
    (input,) = inputs.find([path])
    return list(read.each(input, limits=inputs.Limits(**limits)))


def one(tmp_path: Path, data: bytes, **limits: int) -> records.Raw:
    (raw,) = found(tmp_path / "a.warc", data, **limits)
    assert isinstance(raw, records.Raw), raw
    return raw


def reasons(each: list[records.Raw | records.Loss]) -> list[str]:
    """Reasons of losses, "" for a record."""
    return [getattr(record, "reason", "") for record in each]


def pages(count: int) -> list[bytes]:
    """Records whose compressed form has no long repetitions, so that damage hits all of one."""
    rng = random.Random(3)
    return [
        response(rng.randbytes(rng.randint(1, 3000)).hex().encode(), url=f"http://a.jp/{number}")
        for number in range(count)
    ]


def urls(each: list[records.Raw | records.Loss]) -> list[int]:
    return [int(record.url.rsplit("/", 1)[1]) for record in each if isinstance(record, records.Raw)]


def test_a_page_with_what_its_headers_say(tmp_path: Path):
    body = PAGE.encode("cp932")
    headers = (
        'content-type: Text/HTML; Charset="Shift_JIS"',
        "X-Robots-Tag: noindex",
        "x-robots-tag:  otherbot: nofollow, noai",
    )
    raw = one(tmp_path, response(body, *headers))
    assert (raw.content, raw.kind, raw.charset) == (body, "html", "Shift_JIS")
    assert raw.robots == ("noindex", "otherbot: nofollow, noai")
    assert (raw.url, raw.fetched_at) == ("http://例え.jp/", "2026-01-02T03:04:05Z")
    assert raw.source == tmp_path.name


@pytest.mark.parametrize("pack", [gzip.compress, zstd, bytes], ids=["gz", "zst", "plain"])
def test_every_packing_gives_the_same(tmp_path: Path, pack):
    members = pages(20)
    suffix = {gzip.compress: ".gz", zstd: ".zst"}.get(pack, "")
    each = found(tmp_path / f"a.warc{suffix}", b"".join(map(pack, members)))
    assert urls(each) == list(range(20))
    assert reasons(each) == [""] * 20
    assert urls(found(tmp_path / f"b.warc{suffix}", pack(b"".join(members)))) == list(range(20))


def test_other_records_are_passed_over(tmp_path: Path):
    each = found(
        tmp_path / "a.warc.gz",
        gzip.compress(warc("warcinfo", b"software: x\r\n"))
        + gzip.compress(warc("request", b"GET / HTTP/1.1\r\n\r\n"))
        + gzip.compress(response(PAGE.encode()))
        + gzip.compress(warc("revisit", b"HTTP/1.1 200 OK\r\n\r\n"))
        + gzip.compress(warc("metadata", b"x: y\r\n")),
    )
    assert reasons(each) == [""]


def test_other_responses_are_losses(tmp_path: Path):
    each = found(
        tmp_path / "a.warc",
        response(b"", status="HTTP/1.1 404 Not Found")
        + response(b"", status="HTTP/1.1 301 Moved")
        + response(b"\x89PNG", "Content-Type: image/png")
        + response(b"{}", "Server: x")
        + warc("response", b"20260102 1.2.3.4")
        + response(PAGE.encode(), "Content-Type: application/xhtml+xml")
        + response(PAGE.encode(), status="HTTP/2 200"),
    )
    assert reasons(each) == [
        "status not 200",
        "status not 200",
        "not HTML or text",
        "not HTML or text",
        "no HTTP response",
        "",
        "",
    ]
    assert getattr(each[0], "detail", "") == "has status 404."


def test_plain_text_is_web_text(tmp_path: Path):
    raw = one(tmp_path, response(b"\x82\xa0", "Content-Type: text/plain; charset=sjis"))
    assert (raw.kind, raw.content, raw.charset) == ("wet", b"\x82\xa0", "sjis")


def test_wet_records(tmp_path: Path):
    text = "吾輩は猫である。\n名前はまだ無い。"
    data = warc("warcinfo", b"") + warc("conversion", text.encode(), Content_Type="text/plain")
    (raw,) = found(tmp_path / "CC-MAIN-1.warc.wet.gz", gzip.compress(data))
    assert isinstance(raw, records.Raw)
    assert (raw.content, raw.kind, raw.charset) == (text.encode(), "wet", "utf-8")


def test_angle_brackets_of_wget_are_no_part_of_the_url(tmp_path: Path):
    assert one(tmp_path, response(b"", url="<http://a.jp/>")).url == "http://a.jp/"


def test_heads_that_end_in_bare_line_feeds(tmp_path: Path):
    block = b"HTTP/1.0 200\nContent-Type: text/html\nbroken header\n\nbody"
    assert one(tmp_path, warc("response", block)).content == b"body"


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("br", brotli),
        ("zstd", zstd),
        ("identity", bytes),
        ("deflate, gzip", lambda data: gzip.compress(zlib.compress(data))),
    ],
)
def test_content_encodings_are_undone(tmp_path: Path, encoding: str, pack):
    headers = ("Content-Type: text/html", f"Content-Encoding: {encoding}")
    body = PAGE.encode() * 9
    assert one(tmp_path, response(pack(body), *headers)).content == body
    assert one(tmp_path, response(body, *headers)).content == body  # stored decoded
    if encoding not in ("identity", "deflate, gzip"):
        each = found(tmp_path / "b.warc", response(b"\0\1\2\3" * 9, *headers))
        assert reasons(each) == ["broken content encoding"]
        bomb = response(pack(b" " * 3_000_000), *headers)
        assert reasons(found(tmp_path / "c.warc", bomb, record_bytes=1 << 20)) == ["too long"]


def test_chunks_are_joined(tmp_path: Path):
    body = PAGE.encode()
    chunked = b"".join(
        b"%X;name=value\r\n%s\r\n" % (len(part), part) for part in (body[:5], body[5:])
    )
    headers = ("Content-Type: text/html", "Transfer-Encoding: chunked")
    assert one(tmp_path, response(chunked + b"0\r\n\r\n", *headers)).content == body
    assert one(tmp_path, response(chunked, *headers)).content == body
    assert one(tmp_path, response(body, *headers)).content == body
    both = (*headers, "Content-Encoding: gzip")
    packed = gzip.compress(body)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed)
    assert one(tmp_path, response(chunked, *both)).content == body


def test_a_page_is_as_long_as_the_limit_at_most(tmp_path: Path):
    for num_bytes in (100_000, 100_001):
        for data in (response(b"a" * num_bytes), warc("conversion", b"a" * num_bytes)):
            each = found(tmp_path / "a.warc", data + response(b"next"), record_bytes=100_000)
            assert reasons(each) == ["" if num_bytes == 100_000 else "too long", ""]


@pytest.mark.parametrize("pack", [gzip.compress, zstd, bytes], ids=["gz", "zst", "plain"])
def test_cut_off_anywhere_keeps_what_was_before(tmp_path: Path, pack):
    members = [pack(member) for member in pages(4)]
    whole = b"".join(members)
    ends = [sum(map(len, members[:count])) for count in range(5)]
    path = tmp_path / f"a.warc{ {gzip.compress: '.gz', zstd: '.zst'}.get(pack, '') }"
    for size in [*range(ends[2] - 40, ends[2] + 300), *range(ends[3], len(whole), 97)]:
        each = found(path, whole[:size])
        num_whole = sum(end <= size for end in ends) - 1
        # Without checksum only the line ends after the last record tell that it was cut.
        assert urls(each)[:num_whole] == list(range(num_whole))
        assert len(urls(each)) <= num_whole + (pack is not gzip.compress)
        if size not in ends and len(urls(each)) == num_whole:
            assert reasons(each).count("broken WARC") == 1, size


@pytest.mark.parametrize("damage", ["flip", "remove", "insert", "not WARC", "zeros"])
@pytest.mark.parametrize("pack", [gzip.compress, zstd], ids=["gz", "zst"])
def test_damage_costs_the_member_that_it_hits(tmp_path: Path, pack, damage: str):
    members = [pack(member) for member in pages(9)]
    hit = members[4]
    middle = len(hit) // 2
    members[4] = {
        "flip": hit[:middle] + bytes([hit[middle] ^ 255]) + hit[middle + 1 :],
        "remove": hit[:middle] + hit[middle + 9 :],
        "insert": hit[:middle] + b"garbage" + hit[middle:],
        "not WARC": pack(b"something else\r\n" * 9),
        "zeros": b"\0" * len(hit),
    }[damage]
    path = tmp_path / ("a.warc.gz" if pack is gzip.compress else "a.warc.zst")
    each = found(path, b"".join(members))
    kept = urls(each)
    assert {0, 1, 2, 3, 5, 6, 7, 8} <= set(kept) <= set(range(9))
    assert kept == sorted(set(kept))
    if pack is gzip.compress:
        assert 4 not in kept
        assert reasons(each) == [""] * 4 + ["broken WARC"] + [""] * 4


def test_two_damaged_places_are_two_losses(tmp_path: Path):
    members = [gzip.compress(member) for member in pages(9)]
    for number in (2, 3, 6):
        members[number] = members[number][:-30]
    each = found(tmp_path / "a.warc.gz", b"".join(members))
    assert urls(each) == [0, 1, 4, 5, 7, 8]
    assert reasons(each).count("broken WARC") == 2


def test_a_length_that_swallows_all_costs_one_record(tmp_path: Path):
    members = pages(5)
    members[2] = members[2].replace(b"Content-Length: ", b"Content-Length: 99999", 1)
    each = found(tmp_path / "a.warc.gz", b"".join(map(gzip.compress, members)))
    assert urls(each) == [0, 1, 3, 4]
    assert reasons(each).count("broken WARC") == 1
    assert urls(found(tmp_path / "a.warc", b"".join(members))) == [0, 1, 3, 4]


def test_a_file_of_one_long_member_that_is_cut(tmp_path: Path):
    whole = gzip.compress(b"".join(pages(50)))
    each = found(tmp_path / "a.warc.gz", whole[: len(whole) // 2])
    kept = urls(each)
    assert kept == list(range(len(kept)))
    assert 15 <= len(kept) <= 35
    assert reasons(each)[-1] == "broken WARC"


def test_a_file_of_nothing_but_beginnings_ends_soon(tmp_path: Path):
    for name, magic in (("a.warc.gz", b"\x1f\x8b\x08\0"), ("b.warc.zst", b"\x28\xb5\x2f\xfd")):
        assert reasons(found(tmp_path / name, magic * 100_000)) == ["broken WARC"]
    assert reasons(found(tmp_path / "c.warc", b"WARC/1.0\r\n" * 100_000)) == ["broken WARC"]


def test_the_crawl_sample(raw_data: Path):
    (input,) = inputs.find([raw_data / "crawl-sample.warc.gz"])
    each = list(read.each(input))
    assert Counter(reasons(each)) == {"": 118, "status not 200": 11}
    raws = [record for record in each if isinstance(record, records.Raw)]
    assert sum(record.robots == ("noindex, noai",) for record in raws) == 5
    assert {record.charset for record in raws} >= {"", "Shift_JIS", "EUC-JP", "UTF-8"}
