"""No bytes make a reader raise, hang, write, or lose something without saying so.

Files are mutated from a seed, and each batch is read in a process of its own, so that a crash of a
compiled decoder is seen too.
"""

import faulthandler
import gzip
import io
import json
import random
import struct
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from jgpt2.corpus import records
from jgpt2.corpus.reading import inputs, read

LIMITS = inputs.Limits(record_bytes=1 << 20, text_bytes=1 << 20, zip_bytes=4 << 20, zip_members=200)
TEXTS = (
    "親譲りの無鉄砲で小供の時から損ばかりしている。",
    "𠮷野家\0で\u3000飯を食う。\r\n",
    "abc" * 50,
)
PAGE = "<html><head><title>{0}</title></head><body><p>{0}</p></body></html>"


def record(kind: str, url: str, block: bytes, content_type: str) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nContent-Type: {content_type}"
        f"\r\nWARC-Date: 2026-01-01T00:00:00Z\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def warc_records(rng: random.Random) -> list[bytes]:
    members = [record("warcinfo", "", b"software: test\r\n", "application/warc-fields")]
    for number in range(rng.randint(1, 6)):
        charset = rng.choice(["utf-8", "cp932", "euc_jp"])
        body = PAGE.format(TEXTS[0] * rng.randint(1, 20)).encode(charset, "replace")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset={charset}\r\n"
        if rng.random() < 0.3:
            body, head = gzip.compress(body), head + "Content-Encoding: gzip\r\n"
        if rng.random() < 0.3:
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            head += "Transfer-Encoding: chunked\r\n"
        url = f"http://例え.jp/{number}"
        http = "application/http; msgtype="
        members.append(record("request", url, b"GET / HTTP/1.1\r\n\r\n", http + "request"))
        block = head.encode() + b"\r\n" + body
        members.append(record("response", url, block, http + "response"))
    return members


def warc_gz(rng: random.Random) -> bytes:
    members = [gzip.compress(member, rng.choice([1, 9])) for member in warc_records(rng)]
    if rng.random() < 0.3:
        rng.shuffle(members)
    if rng.random() < 0.2:
        members.insert(rng.randrange(len(members)), gzip.compress(b"not a WARC record\r\n" * 9))
    if rng.random() < 0.2:
        members = [gzip.compress(b"".join(warc_records(rng)))]
    return b"".join(members)


def zstd(data: bytes) -> bytes:
    from fastwarc import ZstdWriter

    packed = io.BytesIO()
    with ZstdWriter(packed) as writer:
        writer.write(data)
    return packed.getvalue()


def warc_zst(rng: random.Random) -> bytes:
    return b"".join(zstd(member) for member in warc_records(rng))


def wet(rng: random.Random) -> bytes:
    return b"".join(
        record("conversion", f"http://a.jp/{number}", rng.choice(TEXTS).encode(), "text/plain")
        for number in range(rng.randint(1, 9))
    )


def html(rng: random.Random) -> bytes:
    return PAGE.format(rng.choice(TEXTS)).encode(rng.choice(["utf-8", "cp932"]), "replace")


def txt(rng: random.Random) -> bytes:
    return "".join(rng.choices(TEXTS, k=rng.randint(1, 9))).encode()


def jsonl(rng: random.Random) -> bytes:
    odd = (
        '{"text": "\\ud83d"}',
        '{"text": "\\ude00\\ud83d", "title": 3}',
        "[" * 100_000,
        '{"text": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"text": "' + "長" * 400_000 + '"}',
        '{"id": ' + "9" * 5000 + ', "text": "あ"}',
        '{"text": "\\u0000", "source": null}',
        "null",
        "\u3000",
        "\0" * 50,
    )
    lines = [json.dumps({"text": text, "id": number}) for number, text in enumerate(TEXTS)]
    lines += rng.choices(odd, k=rng.randint(0, 2))
    rng.shuffle(lines)
    return "\n".join(lines).encode()


def jsonl_gz(rng: random.Random) -> bytes:
    if rng.random() < 0.02:
        return gzip.compress(b'{"text": "' + b"a" * (20 << 20))  # a line without an end
    return gzip.compress(jsonl(rng))


def archive(rng: random.Random) -> bytes:
    names = (
        "吾輩は猫である.txt",
        "../../etc/passwd.txt",
        "/absolute.txt",
        "C:\\windows\\a.txt",
        "..\\up.txt",
        "長" * 100 + ".txt",
        "page.html",
        "a.jsonl",
        "inner.zip",
        "絵.png",
        "folder/",
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for name in rng.sample(names, rng.randint(1, 5)):
            data = {"html": html, "jsonl": jsonl}.get(name.rsplit(".")[-1], txt)(rng)
            if rng.random() < 0.02:
                data = b"0" * (8 << 20)
            info = zipfile.ZipInfo(name)
            if rng.random() < 0.1:
                info.external_attr = 0o120777 << 16  # a symbolic link
            info.flag_bits |= rng.random() < 0.05
            methods = [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2]
            file.writestr(info, b"" if name.endswith("/") else data, rng.choice(methods))
    return packed.getvalue()


def table(rng: random.Random) -> bytes:
    import pyarrow
    from pyarrow import parquet

    texts = [rng.choice([*TEXTS, None]) for _ in range(rng.randint(1, 200))]
    columns = {"text": texts, "id": list(range(len(texts))), "other": [1.5] * len(texts)}
    file = io.BytesIO()
    parquet.write_table(
        pyarrow.table(columns),
        file,
        row_group_size=50,
        compression=rng.choice(["snappy", "zstd", "none"]),
    )
    return file.getvalue()


FORMATS: dict[str, Callable[[random.Random], bytes]] = {
    "warc.gz": warc_gz,
    "warc.zst": warc_zst,
    "wet": wet,
    "html": html,
    "txt": txt,
    "jsonl": jsonl,
    "jsonl.gz": jsonl_gz,
    "zip": archive,
    "parquet": table,
}


def mutate(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 2, 5])):
        begin = rng.randrange(len(changed) + 1)
        # Heads and tails hold what decoders believe: sizes, offsets, counts.
        begin = rng.choice([begin, min(begin, 40), max(begin, len(changed) - 60)])
        end = begin + rng.choice([1, 4, 50, 5000])
        match rng.randrange(7):
            case 0:
                del changed[begin:]
            case 1:
                del changed[begin:end]
            case 2:
                changed[begin:begin] = changed[begin:end]
            case 3:
                changed[begin:begin] = rng.randbytes(rng.choice([1, 4, 3000]))
            case 4:
                changed[begin:end] = b"\0" * (end - begin)
            case 5:
                number = rng.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF, len(changed)])
                changed[begin : begin + 4] = struct.pack("<I", number)
            case _ if begin < len(changed):
                changed[begin] ^= 1 << rng.randrange(8)
            case _:
                changed += b"\n" * 3
    return bytes(changed)


def check_batch(name: str, first: int, count: int, folder: Path) -> None:
    """Reads `count` mutations; an assertion or an exception names the one that failed."""
    counts: Counter[str] = Counter()
    path = folder / f"青空 文庫.{name}"
    for seed in range(first, first + count):
        rng = random.Random(f"{name} {seed}")
        path.write_bytes(mutate(FORMATS[name](rng), rng))
        before = sorted(folder.rglob("*"))
        faulthandler.dump_traceback_later(60, exit=True)
        try:
            (input,) = inputs.find([path])
            found = list(read.each(input, limits=LIMITS))
        except BaseException:
            print(f"{name}: seed {seed}", file=sys.stderr)
            raise
        faulthandler.cancel_dump_traceback_later()
        assert found, seed
        assert sorted(folder.rglob("*")) == before, seed
        total = check_records(found, seed)
        assert name != "zip" or total <= LIMITS.zip_bytes, seed
        counts.update(each.reason if isinstance(each, records.Loss) else "raw" for each in found)
    # Of this program alone: ru_maxrss starts from what the process that began it held.
    status = Path("/proc/self/status").read_text("utf-8")
    peak_mib = int(status.partition("VmHWM:")[2].split()[0]) >> 10
    assert peak_mib < 1500, peak_mib
    print(name, peak_mib, "MiB", dict(counts))


def check_records(found: list[records.Raw | records.Loss], seed: int) -> int:
    total = 0
    for each in found:
        if isinstance(each, records.Raw):
            size = len(each.content if isinstance(each.content, bytes) else each.content.encode())
            assert size <= LIMITS.record_bytes, seed
            total += size
            fields = (each.url, each.id, each.license, each.title, each.source, each.charset)
        else:
            assert each.reason and len(each.reason) < 40, seed
            fields = (each.reason, each.where, each.detail)
            assert len(each.detail) < 1000, seed
        "".join(fields).encode()
    return total


def run_batch(name: str, first: int, count: int, folder: Path) -> None:
    command = [sys.executable, "-W", "error", __file__, name, str(first), str(count), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", FORMATS)
def test_any_mutation_ends_in_records_or_losses(name: str, tmp_path: Path):
    run_batch(name, 0, 150, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_2000_mutations_end_in_records_or_losses(name: str, tmp_path: Path):
    run_batch(name, 1000, 2000, tmp_path)


def test_mutations_do_change_what_is_read(tmp_path: Path):
    for name, make in FORMATS.items():
        rng = random.Random(name)
        whole = make(rng)
        assert sum(mutate(whole, rng) != whole for _ in range(20)) > 5, name


if __name__ == "__main__":
    check_batch(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
