"""SGF files in the character sets of the world: named, not named, named wrongly."""

from __future__ import annotations

import pytest

from envs.go import charsets, record, sgf
from envs.go.sgf import REMARKS

GAMES = {  # character set -> a game whose names and comments are typical of it
    "shift_jis": "(;GM[1]EV[第46期棋聖戦]PB[井山裕太]PW[佐藤能]C[コミ6目半、表と十];B[pd];W[dd])",
    "euc_jp": "(;GM[1]EV[第33期名人戦]PB[羽根直樹]PW[張栩]C[コミ6目半];B[pd];W[dd])",
    "iso2022_jp": "(;GM[1]CA[ISO-2022-JP]EV[第33期名人戦]PB[羽根直樹]PW[張栩];B[pd];W[dd])",
    "gb18030": "(;GM[1]EV[第25届三星杯]PB[柯洁]PW[李乗明]C[黑中盘胜];B[pd];W[dd])",
    "big5": "(;GM[1]EV[第25屆三星盃]PB[柯潔]PW[許功蓋]C[黑中盤勝];B[pd];W[dd])",
    "euc_kr": "(;GM[1]EV[제46기 명인전]PB[신진서]PW[박정환]C[흑 불계승];B[pd];W[dd])",
    "cp1251": "(;GM[1]PB[Илья Шикшин]PW[Александр Динерштейн]C[Чёрные победили];B[pd];W[dd])",
    "koi8_r": "(;GM[1]PB[Илья Шикшин]PW[Александр Динерштейн]C[Чёрные победили];B[pd];W[dd])",
    "latin_1": "(;GM[1]PB[Frédéric]PW[Jörg Grünwald]C[Café, 2° étage];B[pd];W[dd])",
    "cp1252": "(;GM[1]PB[O’Neil]PW[Zoë]C[“good” – “bad”];B[pd];W[dd])",
    "utf_8": "(;GM[1]PB[申真谞]PW[井山裕太]C[테스트 комментарий é];B[pd];W[dd])",
}
NAMES = {  # what files call them
    "shift_jis": ("Shift_JIS", "sjis", "SHIFT-JIS", "MS_Kanji", "Windows-31J", "CP932", "x-sjis"),
    "euc_jp": ("EUC-JP", "x-euc-jp"), "gb18030": ("GB2312", "gb-2312", "GBK", "GB18030", "CP936", "x-gbk"),
    "big5": ("Big5", "BIG-5", "cp950", "big5-hkscs"), "euc_kr": ("EUC-KR", "ks_c_5601-1987", "CP949", "UHC"),
    "cp1251": ("windows-1251", "cp1251"), "koi8_r": ("KOI8-R",), "latin_1": ("ISO-8859-1", "Latin1", "iso8859_1"),
    "cp1252": ("windows-1252", "ISO-8859-1"), "utf_8": ("UTF-8", "utf8", "UTF 8", "cp65001"),
}  # fmt: skip


def named(text: str, name: str) -> str:
    return text.replace("(;", f"(;CA[{name}]", 1)


def told(data: bytes) -> record.GameRecord:
    """A game with its remarks; all are single lines that no terminal obeys."""
    loaded = record.load(data)
    assert len(loaded.remarks) <= 2 * REMARKS and all(remark.isprintable() for remark in loaded.remarks)
    return loaded


@pytest.mark.parametrize(("codec", "name"), [(codec, name) for codec, names in NAMES.items() for name in names])
def test_a_character_set_that_is_named(codec, name):
    text = named(GAMES[codec], name)
    assert charsets.decode(text.encode(codec)) == (text, [])


@pytest.mark.parametrize("codec", GAMES)
def test_a_character_set_that_is_not_named(codec):
    assert charsets.decode(GAMES[codec].encode(codec)) == (GAMES[codec], [])


@pytest.mark.parametrize("codec", sorted(GAMES.keys() - {"iso2022_jp", "utf_8"}))
@pytest.mark.parametrize(
    "name", ["UTF-8", "ISO-8859-1", "nonsense", "rot13", "unicode_escape", "utf-16", "utf-7", "cp500"]
)
def test_a_character_set_that_is_named_wrongly(codec, name):
    text = named(GAMES[codec], name)
    found, remarks = charsets.decode(text.encode(codec))
    if name == "ISO-8859-1" and codec in ("latin_1", "cp1252"):
        assert remarks == []
    else:
        assert len(remarks) == 1 and name in remarks[0]
    assert found == text


@pytest.mark.parametrize("codec", sorted(NAMES.keys() - {"utf_8"}))
def test_a_character_set_that_is_named_as_another_one(codec):
    for other, names in NAMES.items():
        if other not in (codec, "utf_8") and {other, codec} != {"latin_1", "cp1252"}:
            found, remarks = charsets.decode(named(GAMES[codec], names[0]).encode(codec))
            assert found == named(GAMES[codec], names[0]) and len(remarks) <= 1, names[0]


@pytest.mark.parametrize(
    ("text", "name", "codec"),
    [
        ("ｱｲｳｴｵ ｶｷｸｹｺ", "Shift_JIS", "cp932"), ("㐂䶮㛃", "GB18030", "gb18030"), ("李昌鎬九段", "EUC-KR", "cp949"),
        ("Łódź Żak", "iso-8859-2", "iso8859-2"), ("Ελληνικά", "windows-1253", "cp1253"), ("ไทย", "TIS-620", "tis-620"),
        ("Ñandú ÁÉÍÓÚ", "ISO-8859-1", "latin-1"), ("ÅÄÖ ÆØÅ", "ISO-8859-1", "latin-1"), ("李昌鎬九段", "", "cp949"),
        ("髙﨑", "", "cp932"), ("許", "", "big5"), ("Þórður", "", "latin-1"), ("é", "", "utf-8"), ("é", "", "latin-1"),
        ("’", "", "cp1252"), ("中", "", "gbk"), ("中", "", "big5"), ("中", "", "cp932"), ("김", "", "cp949"),
        ("Ё", "", "utf-8"),
        ("ｶﾝ", "", "utf-8"), ("😀", "", "utf-8"), ("1½ pts", "", "latin-1"), ("½", "", "utf-8"),
        ("Nguyễn", "", "utf-8"),
    ],
)  # fmt: skip
def test_rare_and_short_texts_stay_what_they_are(text, name, codec):
    whole = f"(;{f'CA[{name}]' if name else ''}PB[{text}];B[aa])"
    assert charsets.decode(whole.encode(codec)) == (whole, [])


@pytest.mark.parametrize(
    "text",
    ["ÄÖÜ", "äöü", "ÄÖÜß", "ÄÖÜäöüß", "ÅÄÖ", "åäö", "ÅÄÖåäö", "ÆØÅ", "æøå", "ÆØÅæøå", "ä ö ü", "Å Ä Ö",
     "Umlaute ÄÖÜ äöü"],
)  # fmt: skip
def test_a_list_of_a_languages_own_letters_is_no_russian(text):
    whole = f"(;PB[{text}];B[aa])"
    assert charsets.decode(whole.encode("latin-1")) == (whole, [])


@pytest.mark.parametrize("text", ["Дед", "Лев", "Сун", "Вика", "Шикшин"])
def test_a_short_word_of_russian_is_one(text):
    whole = f"(;PB[{text}];B[aa])"
    assert charsets.decode(whole.encode("cp1251")) == (whole, [])


@pytest.mark.parametrize("name", ["GB2312", "Shift_JIS", "EUC-KR", "Big5", "ISO-8859-1", "windows-1252"])
def test_utf8_under_another_name(name):
    found, remarks = charsets.decode(named(GAMES["utf_8"], name).encode())
    assert found == named(GAMES["utf_8"], name) and len(remarks) == 1


@pytest.mark.parametrize(
    ("codec", "names"),
    [
        ("gbk", "时越 古力"), ("gbk", "芈昱廷 唐韦星"), ("gbk", "陈耀烨 周睿羊"), ("gbk", "甲 乙"),
        ("gbk", "李乗明 王"),
        ("big5", "周俊勳 王元均"), ("big5", "陳詩淵 林君諺"), ("euc_kr", "이세돌 이창호"), ("euc_kr", "조한승 최철한"),
        ("euc_kr", "원성진 강동윤"), ("shift_jis", "羽根直樹 張栩"), ("shift_jis", "高尾紳路 山下敬吾"),
        ("shift_jis", "ソ 能"),
        ("shift_jis", "山田表 佐藤能"), ("latin_1", "Müller Dvorák"), ("latin_1", "Mäyränpää Ünï"),
        ("cp1251", "Шикшин Сурин"),
    ],
)  # fmt: skip
def test_names_alone_are_enough(codec, names):
    black, white = names.split(" ")
    loaded = told(f"(;GM[1]SZ[19]KM[6.5]PB[{black}]PW[{white}]RE[W+R];B[pd];W[dp])".encode(codec))
    assert (loaded.black, loaded.white, loaded.result, len(loaded.moves)) == (black, white, "W+R", 2)


def test_second_bytes_that_look_like_brackets_and_backslashes():
    for codec, text in (("gbk", "乗"), ("big5", "功"), ("cp932", "表"), ("cp932", "ソ"), ("cp950", "許")):
        assert text.encode(codec)[1:] in (b"\\", b"]")
        for ca in ("", f"CA[{codec}]", "CA[UTF-8]", "CA[GB2312]" if codec == "gbk" else ""):
            data = f"(;GM[1]{ca}PB[李{text}]PW[王{text}]RE[B+R];B[pd];W[dd])".encode(codec)
            loaded = told(data)
            assert (loaded.black, loaded.white, loaded.result, len(loaded.moves)) == (
                f"李{text}",
                f"王{text}",
                "B+R",
                2,
            )


def test_byte_order_marks_and_wide_characters():
    text = "(;GM[1]CA[GBK]PB[甲]KM[6.5];B[pd])"
    for codec in ("utf-8-sig", "utf-16", "utf-32"):
        assert charsets.decode(text.encode(codec)) == (text, [])
    for codec in ("utf-16-le", "utf-16-be"):
        assert charsets.decode(text.encode(codec)) == (text, [])
        assert charsets.decode("\ufeff".encode(codec) + text.encode(codec)) == (text, [])
    assert told(b"\xef\xbb\xbf" + text.encode("gbk")).black == "甲"  # somebody put the mark before other bytes


def test_games_of_different_sets_in_one_file():
    parts = [("gbk", "柯洁"), ("shift_jis", "佐藤能"), ("utf-8", "신진서"), ("latin-1", "Grün")]
    data = b"\n".join(f"(;CA[{codec}]PB[{name}];B[aa](;W[bb])(;W[cc]))".encode(codec) for codec, name in parts)
    assert [game.black for game in record.games(data)] == [name for _, name in parts]


def test_bytes_that_no_set_explains_cost_no_moves():
    loaded = told(b"(;CA[UTF-8]C[\xff];B[aa];W[bb])")
    assert len(loaded.moves) == 2 and "\ufffd" in loaded.steps[0].comment and "cannot be read" in loaded.remarks[0]
    text = "(;CA[UTF-8]C[" + "很长的评论" * 20 + "];B[aa];W[bb])"
    data = text.encode()[:40] + text.encode()[41:]  # one byte of a long comment is lost
    assert record.load(data).steps[0].comment.count("很长的评论") >= 18 and len(record.load(data).moves) == 2


def test_what_another_program_has_lost_stays_lost():
    """U+FFFD in UTF-8 is three bytes that read well as Korean or Chinese, and a file that we wrote reads back equal."""
    text = "(;GM[1]CA[UTF-8]PB[x\ufffdy];B[aa]C[\ufffd\ufffd])"
    for data in (text.encode(), text.replace("CA[UTF-8]", "").encode()):
        assert sgf.parse(data).get("PB") == "x\ufffdy"


WORDS = {  # language -> words in which its letters stand at every place, and lists of its letters
    "French": "élève forêt Noël où Hélène François garçon crème naïve Château préféré déjà Étienne Éric Zoé Loïc Jérôme"
    " Chloé maïs hôtel âge île aîné août Besançon Nîmes créée légère ÉLÈVE FRANÇOIS HÉLÈNE NOËL ÉTÉ DÉJÀ FORÊT"
    " CHÂTEAU ça œuvre àâçéèêëîïôûùü ÀÂÇÉÈÊËÎÏÔÛÙÜ",
    "Spanish": "niño señor mañana corazón José Ángel Íñigo Muñoz Núñez Peña Ibáñez Martínez García Gutiérrez"
    " Óscar Álvaro"
    " María también está aquí así más pingüino España año ÑANDÚ ÁNGEL MUÑOZ NÚÑEZ ESPAÑA AÑO Úrsula él ÁÉÍÓÚÑÜ"
    " áéíóúñü",
    "Icelandic": "Þórður Ásgeir Sigurðsson Guðrún Björn Ægir Össur Þór Þóra Ólafur Davíð Hörður Árni Ísak Örn"
    " Úlfur Ýmir"
    " Ísland þú það við maður æði ÞÓRÐUR ÍSLAND ÆÐI Sæþór Þráinn Óðinn ÓÐINN Þórir ÁÐÉÍÓÚÝÞÆÖ áðéíóúýþæö",
    "Portuguese": "João São coração não Conceição irmão maçã Antônio avô avó três você JOÃO NÃO Ângela ÃÕÇÁÉÍÓÚÂÊÔ"
    " ãõçáéíóúâêô",
    "others": "Müller Grünwald Größe Österreich MÜLLER Äpfel Åke Örjan Göran Håkan Mäyränpää hääyö Søren Østergård Kjær"
    " øl SØREN Nicolò città perché è Zoë ideeën België",
    "Russian": "Шикшин Динерштейн Илья Александр Сурин Светлана Вика Чёрные победили белые сдались турнир Москва партия"
    " ход жеребьёвка ШИКШИН ДИНЕРШТЕЙН МОСКВА КАЗАНЬ ИЛЬЯ ЛЕВ ЧЕМПИОНАТ РОССИИ ТУРНИР ПОБЕДА БЕЛЫЕ ЧЁРНЫЕ НЕТ"
    " СССР Юрий хорошо плохо ещё это абвгдежзийклмнопрстуфхцчшщъыьэюя АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ",
}  # fmt: skip


@pytest.mark.parametrize("language", WORDS)
def test_a_word_alone_is_read_in_its_language(language):
    """A name without a character set: neither Chinese inside a word nor Cyrillic for a list of accents, nor KOI8."""
    codec = "cp1251" if language == "Russian" else "cp1252"
    wholes = [f"(;GM[1]PB[{word}];B[aa])" for word in WORDS[language].split()]
    assert [charsets.decode(whole.encode(codec)) for whole in wholes] == [(whole, []) for whole in wholes]


def test_letters_that_stand_one_by_one_are_a_list():
    for text in ("é è à ç", "á é í ó ú ñ", "Á É Í Ó Ú Ñ", "á ð é í ó ú ý þ æ ö"):
        whole = f"(;GM[1]PB[{text}];B[aa])"
        assert charsets.decode(whole.encode("cp1252")) == (whole, [])


@pytest.mark.parametrize(
    "text", ["ШИКШИН ИЛЬЯ", "ЧЕМПИОНАТ РОССИИ 2019", "Хороший ход", "И. Шикшин", "МОСКВА - КАЗАНЬ"]
)
@pytest.mark.parametrize("codec", ["cp1251", "koi8_r"])
def test_capitals_of_one_russian_set_are_no_small_letters_of_the_other(text, codec):
    whole = f"(;GM[1]EV[{text}];B[aa])"
    assert charsets.decode(whole.encode(codec)) == (whole, [])
