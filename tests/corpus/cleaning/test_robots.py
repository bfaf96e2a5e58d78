import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import robots


@pytest.mark.parametrize(
    ("header", "directive"),
    [
        ("noindex", "noindex"),
        ("NoIndex, nofollow", "noindex"),
        ("nofollow,  NONE", "none"),
        ("noai, noimageai", "noai"),
        ("max-snippet: 10, noindex", "noindex"),
        ("unavailable_after: 25 Jun 2030 15:00:00 GMT, noai", "noai"),
        ("GPTBot: noindex", "noindex"),
        ("ccbot : none", "none"),
        ("googlebot: nofollow, gptbot: noai", "noai"),
        ("noimageai", ""),
        ("nofollow, noarchive, nosnippet", ""),
        ("googlebot: noindex", ""),
        ("googlebot: nofollow, noindex", ""),
        ("otherbot: noindex, none", ""),
        ("noindexing", ""),
        ("all", ""),
        ("", ""),
    ],
)
def test_a_header_forbids_by_words_for_all_and_for_collectors(header: str, directive: str):
    assert robots.forbidden([header], "") == directive
    assert robots.forbidden(["all", header], "") == directive


@pytest.mark.parametrize(
    ("tag", "directive"),
    [
        ('<meta name="robots" content="noindex">', "noindex"),
        ("<META CONTENT='NOINDEX,NOFOLLOW' NAME='ROBOTS' />", "noindex"),
        ("<meta name=robots content=none>", "none"),
        ('<meta\n  name = "robots"\n  content = "nofollow noai" >', "noai"),
        ('<meta property="x" name="robots" content=" noai ">', "noai"),
        ('<meta name="CCBot" content="noindex">', "noindex"),
        ('<meta name="tdm-reservation" content="1">', "tdm-reservation"),
        ('<meta name="tdm-reservation" content="0">', ""),
        ('<meta name="googlebot" content="noindex">', ""),
        ('<meta name="description" content="noindex とは何か">', ""),
        ('<meta name="description" content="<b>"><meta name="robots" content="none">', "none"),
        ('<!-- <meta name="robots" content="noindex"> -->', ""),
        ('<!-- x --><meta name="robots" content="noindex"><!-- y -->', "noindex"),
        ('<body><meta name="robots" content="noindex">', ""),
        ('<metadata name="robots" content="noindex">', ""),
        ('<meta name="robots">', ""),
        ("<meta", ""),
    ],
)
def test_a_page_forbids_in_the_meta_tags_of_its_head(tag: str, directive: str):
    assert robots.forbidden([], f"<!DOCTYPE html><html><head>{tag}<title>題") == directive


@given(st.text(alphabet="<>!-meta namerobots=\"'contentnoindex,:/\n\x00\ud800あ", max_size=300))
def test_no_page_or_header_raises(text: str):
    allowed = {"", "tdm-reservation", *robots.FORBIDDING}
    assert robots.forbidden([text], text) in allowed


@pytest.mark.parametrize(
    "piece", ["<!--", "<meta ", '<meta a="', "<meta a=' \"", "=", "- ", "a=", "<meta name=robots "]
)
def test_hostile_pages_take_no_more_than_linear_time(piece: str):
    def seconds(size: int) -> float:
        page = piece * (size // len(piece))
        start = time.process_time()
        robots.forbidden([page], page)
        return time.process_time() - start

    assert seconds(60_000) < 60 * max(seconds(6_000), 0.01)  # quadratic would be 100
