"""Gaiji: numbers in notes become characters, spelt accents letters, drawn marks repeat marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jgpt2.corpus.cleaning import gaiji


@pytest.mark.parametrize(
    ("note", "character"),
    [
        ("［＃「口＋伊」、第4水準2-3-85］", "咿"),
        ("［＃「てへん＋劣」、第3水準1-84-77］", "挘"),
        ("［＃「りっしんべん＋槿のつくり」、U+616C、140-5］", "慬"),
        ("［＃「手へん＋兩」、U+2A6D6、2-15］", "\U0002a6d6"),
        ("［＃二の字点、1-2-22］", "〻"),
        ("［＃感嘆符疑問符、1-8-78］", "⁉"),
        ("［＃ローマ数字1、1-13-21］", "Ⅰ"),
        ("［＃濁点付き片仮名ワ、1-7-82］", "ヷ"),
        ("［＃始め二重山括弧、1-1-52］", "《"),
        ("［＃半濁点付き片仮名カ、1-5-87］", "カ\u309a"),
        ("［＃「さんずい＋景＋頁」、第3水準1-87-32、読みは「こう」、229-上-5］", "灝"),
        ("［＃濁点付き平仮名か、12-3］", "が"),
        ("［＃小書き平仮名ん、12-3］", "ん"),
        ("［＃「てへん＋纔のつくり」、472-17］", "〓"),
        ("［＃「※」は底本では「はばへん＋白」、105-13］", "〓"),
        ("［＃「※」は行右小書き］", "※"),
        ("［＃ここから２字下げ］", "※"),
        ("［＃「見」、第3水準1-95-1］", "〓"),
        ("［＃「見」、第3水準1-4-99］", "〓"),
        ("［＃「見」、U+D800］", "〓"),
        ("［＃「見」、U+0007］", "〓"),
        ("［＃「見」、U+FFFFFF］", "〓"),
        ("［＃］", "〓"),
    ],
)
def test_what_a_note_stands_for(note: str, character: str) -> None:
    assert gaiji.character(note) == character
    assert gaiji.restore(f"前※{note}後") == f"前{character}後"


@pytest.mark.parametrize(
    ("spelt", "written"),
    [
        ("〔Cafe' Universita:t〕", "Café Universität"),
        ("〔Sacre'-Coe&ur, gro&〕", "Sacré-Cœur, gro&"),
        ("〔Stras&e A`A^A~C,aO/〕", "Straße ÀÂÃÇaØ"),
        ("〔to_kyo_〕", "tōkyō"),
        ("〔Den!@o?@〕", "Den¡o¿"),
        ("〔c'est l'e'cole d'un ami〕", "c'est l'école d'un ami"),
        ("〔Mu:nch: avec, e'〕", "Münch: avec, é"),
        ("〔大正15年刊〕", "〔大正15年刊〕"),
        ("〔c'est d'un ami〕", "〔c'est d'un ami〕"),
        ("〔Cafe'", "〔Cafe'"),
    ],
)
def test_accents_are_joined_only_in_their_brackets(spelt: str, written: str) -> None:
    assert gaiji.restore(spelt) == written
    assert gaiji.restore(spelt.strip("〔〕")) == spelt.strip("〔〕")


def test_long_repeat_marks() -> None:
    assert gaiji.restore("しづ／＼かはる／″＼／") == "しづ〳〵かはる〴〵／"


def test_notes_nest_and_end_on_their_line() -> None:
    assert gaiji.restore("※［＃「［例］」、U+546D］。") == "呭。"
    assert gaiji.restore("※［＃「口＋世」\n次の行］") == "※［＃「口＋世」\n次の行］"
    assert gaiji.restore("※［＃「口※［＃「世」、U+546D") == "※［＃「口※［＃「世」、U+546D"


def test_a_row_that_the_second_plane_does_not_have_gives_nothing() -> None:
    assert b"\x8f\xb1\xa3".decode("euc_jis_2004") == "侊"  # of JIS X 0212
    assert gaiji.jis_x_0213(2, 17, 3) == ""


@given(st.integers(-1, 100), st.integers(-1, 100), st.integers(-1, 100))
def test_every_number_has_a_character_or_none(plane: int, row: int, cell: int) -> None:
    restored = gaiji.jis_x_0213(plane, row, cell)
    assert len(restored) <= 2
    if restored:
        assert plane in (1, 2)
        assert len(restored.encode("euc_jis_2004")) == plane + 1


@given(st.text("※［＃］「」、U+12-〔〕e':／″＼\n漢", max_size=60))
def test_nothing_raises_and_plain_text_stays(text: str) -> None:
    gaiji.restore(text)
    assert gaiji.restore("山路を登りながら") == "山路を登りながら"
