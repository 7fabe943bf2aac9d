"""The text of a file whose character set is named, named wrongly or not at all.

SGF files of Go come from everywhere: the text is tried in the character sets that are in use, and what reads best is
taken. Three things are weighed: whether the bytes fit, whether the characters are those that people write in that
script, and whether SGF's own signs still stand where they should: in many sets the second byte of a character may look
like a backslash or a bracket. A set that the file names has an advantage; only what is clearly better overrules it.
"""

import codecs
import functools
import re
from collections.abc import Callable, Iterator

_NAMED = re.compile(rb"(?<![A-Za-z])CA\s{0,9}\[\s{0,9}(\w[\w .:+-]{0,39}?)\s{0,9}\]")
_HIGH = re.compile(rb"[\x80-\xff]")
_SAMPLE = 2**18  # bytes that are looked at, from the first one that is not ASCII

# Names as browsers take them: a set's modern superset, since that is what programs write.
_ALIASES = {
    "gb18030": "gb2312 gb231280 gbk xgbk csgb2312 chinese gb18030 cp936 ms936 windows936 euccn",
    "cp932": "shiftjis sjis xsjis mskanji csshiftjis windows31j ms932 cp932 windows932 japanese",
    "euc_jp": "eucjp xeucjp ujis cseucpkdfmtjapanese",
    "iso2022_jp_ext": "iso2022jp csiso2022jp",
    "hz": "hz hzgb2312",
    "cp949": "euckr csksc56011987 ksc56011987 ksc56011989 ksc5601 korean windows949 uhc ms949 cp949",
    "cp950": "big5 csbig5 cnbig5 xxbig5 big5hkscs cp950 ms950 windows950",
    "cp1252": "latin1 l1 iso88591 usascii ascii windows1252 cp1252 ansi ansix341968",
    "utf-8": "utf8 unicode11utf8 cp65001",
    "cp1251": "windows1251 cp1251 xcp1251",
    "koi8_r": "koi8r koi8",
}
_CODECS = {alias: codec for codec, aliases in _ALIASES.items() for alias in aliases.split()}
_OTHERS = ("iso8859", "cp125", "cp8", "cp4", "cp7", "koi8", "mac", "tis", "euc", "big5", "gb", "shift_jis")
_ASCII = "".join(map(chr, range(32, 127)))

_CANDIDATES = ("gb18030", "cp932", "cp950", "cp949", "euc_jp", "cp1251", "koi8_r", "cp1252", "big5hkscs")
_NAMED_BONUS, _UTF8_BONUS = 0.5, 1.0  # worth of a set that the file names, and of UTF-8 where the bytes are valid
_ENOUGH = 0.5  # the least worth of a reading that nobody named
_EVIDENCE = 3  # characters that it takes to overrule a named set in which the bytes are valid; Cyrillic: four times

# What names, events and comments of Go games are full of.
_FREQUENT = {
    "zh": "的一是不了在有人我他这个大来上下中国到说们为子和你地出道也时年得就那要以生会着去之过家学对可里后小么心多"
    "天而能好都然没日于起还发成事只作当想看文无开手用主行方如前所本见经头面公同三已老从动两长知样现分将外但身"
    "些与高意进把法此实回二理美点月明其种声全工己话者向情部正名定女问力机给等几很间新什打重因通位相水目先四五"
    "六七八九十王李张刘陈杨赵黄周吴徐孙胡朱林何郭马罗梁宋郑谢韩唐冯董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶"
    "阎余潘杜戴夏钟汪田任姜范石姚谭廖邹熊金陆孔白崔康毛邱秦江史顾侯邵孟龙万段钱汤尹黎易常武乔贺赖龚柯洁越芈昱"
    "廷申真谞朴井山裕太古芮乃伟星杯届赛围棋黑胜负贴半让执盘战轮决第场组甲级联元应氏业职番局們國說這個來會時過"
    "學對裡後發當無開經頭動兩長樣現將與進實點種聲話問間機幾給陳張劉楊趙黃吳孫馬羅鄭謝韓馮蕭許鄧蘇盧蔣賈葉閻錢"
    "鍾陸顧龍萬湯賴龔圍勝負貼讓執盤戰輪決場組級聯應業屆賽盃俊勳皓鋐",
    "ja": "髙﨑一二三四五六七八九十年月日第期戦局棋聖名人本因坊天元碁王座挑手合目半黒白番中押勝負段初先互時間持対山田佐"
    "藤鈴木高橋伊渡辺小林加吉松井清斎崎村上野石原川島岡前長谷大竹武宮正樹光力遼芝虎丸太郎裕仁治勲夫雄男張栩結"
    "城聡羽根直趙柳熏河臨許家余麒国際院関西囲東京阪古屋選権杯予決準記念回組世界最士定新女流能表美子香奈由",
    "ko": "김이박최정강조윤장임한오서신권황안송전홍유고문양손배백허남심노하곽성차주우구민진지엄원천방공현함변염여추"
    "도소석선설마길연위표명기반왕금옥육인맹제모탁국어은편용예경봉사부환훈승준영수호철동창세돌상규혁재범태희미"
    "라나바둑흑불계집대회결본단급일의에는을를가다과로와으시게덤점중앙리그치",
}  # fmt: skip


def decode(data: bytes) -> tuple[str, list[str]]:
    """The text of a file and remarks on what was not as it should be. Bytes that no set explains become U+FFFD."""
    remarks: list[str] = []
    for mark, codec in (
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
        (b"(\x00;\x00", "utf-16-le"), (b"\x00(\x00;", "utf-16-be"),
    ):  # fmt: skip
        if data.startswith(mark):
            return _plain(data, codec, remarks), remarks
    if data.startswith(codecs.BOM_UTF8):
        data = data[3:]
        if (text := _utf8(data)) is not None:
            return text, remarks
    text = "".join(_piece(piece, remarks) for piece in _pieces(data))
    return text, list(dict.fromkeys(remarks))


def lookup(name: str) -> str | None:
    """Python's name for a character set as files and browsers name it; None for what is none, or none of text."""
    plain = re.sub(r"[^a-z0-9]", "", name.lower())
    if plain in _CODECS:
        return _CODECS[plain]
    try:
        codec = codecs.lookup(name.strip().replace(" ", "-")).name
        plain = _ASCII.encode().decode(codec) if codec.startswith(_OTHERS) else ""
    except (LookupError, ValueError):
        return None
    return codec if plain == _ASCII else None  # SGF's own signs must be what they are


def _plain(data: bytes, codec: str, remarks: list[str]) -> str:
    text = data.decode(codec, "replace")
    if "\ufffd" in text and (lost := text.count("\ufffd") - data.count("\ufffd".encode())) > 0:
        remarks.append(f"{lost} characters cannot be read as {codec}")
    return text


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _pieces(data: bytes) -> Iterator[bytes]:
    """The file, cut before each game that names another character set than the game before it: files are put together
    from files of different origin.
    """
    begin, behind, current = 0, 0, None
    for named in _NAMED.finditer(data):
        start, name = data.rfind(b"(;", behind, named.start()), named.group(1).lower()
        behind = named.end()
        if current is not None and name != current and start > begin and data[:start].rstrip().endswith(b")"):
            yield data[begin:start]
            begin = start
        current = name
    yield data[begin:]


def _piece(data: bytes, remarks: list[str]) -> str:
    """The text of bytes in one character set."""
    found = _NAMED.search(data)
    name = found.group(1).decode("ascii", "replace") if found else None
    named = lookup(name) if name is not None else None
    if name is not None and named is None:
        remarks.append(f"CA[{name}] is no character set that is known here")
    first = _HIGH.search(data)
    if first is None:  # ASCII, or a set of seven bits that shifts by escapes
        shifted = named if named in ("iso2022_jp_ext", "hz") else "iso2022_jp_ext" if b"\x1b$" in data else "ascii"
        return _plain(data, shifted, remarks)
    text = _utf8(data)
    sample = data[max(0, first.start() - 4096) :][:_SAMPLE]
    lost = text is not None and "\ufffd" in text  # another program wrote U+FFFD for what it could not read
    codec = "utf-8" if lost else _best(sample, named, text is not None)
    result = text if codec == "utf-8" and text is not None else _plain(data, codec, remarks)
    if named is not None and codec != named:
        remarks.append(f"the text does not fit CA[{name}] and is read as {codec}")
    return result


def _best(sample: bytes, named: str | None, valid_utf8: bool) -> str:
    """The character set in which the sample reads best."""
    chosen = named or ("utf-8" if valid_utf8 else "cp1252")
    best, valid = _worth(sample, chosen, named, valid_utf8)
    if named is None and not valid_utf8:
        best = min(best, _ENOUGH)  # Latin-1 is what the standard says, but few keep to it
    listed = named is None and not valid_utf8 and _listed(sample.decode("cp1252", "replace"))
    if listed:
        best = 1.0
    for codec in dict.fromkeys(("utf-8", *_CANDIDATES)):
        if codec == chosen or (listed and _SCRIPTS.get(codec) is _cyrillic):
            continue
        if named is not None and valid and codec != "utf-8":
            characters = sum(not c.isascii() for c in sample.decode(codec, "replace"))
            if characters < _EVIDENCE * (4 if _SCRIPTS.get(codec) is _cyrillic else 1):
                continue
        worth, _ = _worth(sample, codec, named, valid_utf8)
        if worth > max(best, _ENOUGH):
            chosen, best = codec, worth
    return chosen


def _worth(sample: bytes, codec: str, named: str | None, valid_utf8: bool) -> tuple[float, bool]:
    """How well a sample reads in a character set, and whether all of its bytes are valid there."""
    text = sample.decode(codec, "replace")
    bonus = _NAMED_BONUS * (codec == named) + _UTF8_BONUS * (codec == "utf-8" and valid_utf8)
    if codec in _SCRIPTS:
        worth = _SCRIPTS[codec](text)
    elif codec in _WEIGHED:
        foreign = [c for c in text if not c.isascii()]
        worth = (sum(map(_weight(codec), foreign)) - _INSIDE * _inside_words(text)) / max(len(foreign), 1)
    else:  # a set of few characters that somebody took care to name
        worth = 1.0
    return worth + bonus - min(2.0, 0.5 * _faults(text)), "\ufffd" not in text[:-1]


_WEIGHED = {
    "utf-8": None, "gb18030": "zh", "cp950": "zh", "big5hkscs": "zh", "cp932": "ja", "euc_jp": "ja", "cp949": "ko"
}  # fmt: skip

_END = re.compile(r"\\.|(\])", re.DOTALL)  # end of a value
_SIGN = re.compile(r"\s*[^\s\[;()A-Za-z]")  # sign behind a value that is none of SGF's
_SWALLOWED = re.compile(r"(?:^|[^A-Za-z])[A-Z]{1,2}\[")  # beginning of another value inside of a value


def _faults(text: str) -> int:
    """Places where a wrong character set has eaten a sign of SGF's; four are enough."""
    faults, start = 0, text.find("[")
    while start >= 0 and faults < 4:
        end = next((stop for stop in _END.finditer(text, start) if stop.group(1)), None)
        if end is None:
            break
        inner = text[start + 1 : end.start()]
        faults += _SIGN.match(text, end.end()) is not None
        faults += not inner.isascii() and _SWALLOWED.search(inner) is not None
        start = text.find("[", end.end())
    return faults


_INSIDE = 2.0  # fault of a Chinese character inside a word of plain letters


def _inside_words(text: str) -> int:
    """Single Chinese or Korean characters in words of plain letters: two bytes of a Western word, as in Martínez."""
    lone = (run for run in _RUN.finditer(text) if len(run.group()) == 1 and ord(run.group()) >= 0x3000)
    return sum(_beside(text, run) for run in lone)


def _weight(codec: str) -> Callable[[str], float]:
    """How usual a character is in texts of a set with many characters, about -2 to 1.5."""
    language = _WEIGHED[codec]
    usual = set("".join(_FREQUENT.values()) if language is None else _FREQUENT[language])
    common, rarer = _levels({"big5hkscs": "cp950", "cp932": "euc_jp"}.get(codec, codec))

    def weight(c: str) -> float:
        code = ord(c)
        if c in usual:
            return 1.5
        if 0x3400 <= code <= 0x9FFF or 0xF900 <= code <= 0xFAFF:  # Chinese characters
            return 0.6 if language == "ko" else 0.9 if c in common else 0.4 if c in rarer else -0.4
        if 0xAC00 <= code <= 0xD7A3:  # Korean syllables
            return 0.8 if language in ("ko", None) else -1.0
        if 0x3041 <= code <= 0x30FF:  # Japanese syllables
            return 1.2 if language in ("ja", None) else 0.1
        if 0x3000 <= code <= 0x303F or 0xFF01 <= code <= 0xFF5E:
            return 0.5
        if 0xFF61 <= code <= 0xFF9F:  # narrow Japanese syllables
            return 0.6 if language is None else -0.4
        if language is None and 0xA1 <= code <= 0xBF:  # signs such as a half
            return 0.6
        if code < 0xA0 or code == 0xFFFD or 0xE000 <= code <= 0xF8FF or not c.isprintable():
            return -2.0
        if language is None and c.isalpha() and code < 0x1100:
            return 1.0 if code < 0x530 else 0.3
        return -0.2

    return functools.lru_cache(None)(weight)


@functools.cache
def _levels(codec: str) -> tuple[frozenset[str], frozenset[str]]:
    """The common and the rarer Chinese characters as the national standards divide them; of all for UTF-8."""
    ranges = {
        "gb18030": ("gb2312", 0xB0, 0xD8, 0xF8),
        "cp950": ("big5", 0xA4, 0xC7, 0xFA),
        "euc_jp": ("euc_jp", 0xB0, 0xD0, 0xF5),
    }
    if codec not in ranges:
        levels = [_levels(name) for name in ranges]
        return frozenset().union(*(level[0] for level in levels)), frozenset().union(*(level[1] for level in levels))
    name, first, second, end = ranges[codec]

    def characters(start: int, stop: int) -> frozenset[str]:
        pairs = (
            bytes((lead, trail)).decode(name, "ignore") for lead in range(start, stop) for trail in range(0x40, 0xFF)
        )
        return frozenset(c for c in pairs if len(c) == 1)

    return characters(first, second), characters(second, end)


_RUN = re.compile(r"[^\x00-\x7f]+")


def _beside(text: str, run: re.Match[str]) -> bool:
    """Whether a plain letter stands next to a run of others."""
    return text[max(run.start() - 1, 0) : run.start()].isalpha() or text[run.end() : run.end() + 1].isalpha()


def _western(text: str) -> float:
    """Letters with accents stand alone among plain ones."""
    total, count = 0.0, 0
    for run in _RUN.finditer(text):
        inside, beside = run.group(), _beside(text, run)
        count += len(inside)
        if len(inside) > 2:
            total -= 0.6 * len(inside)
        elif inside.isalpha():
            lone = 1.0 if len(inside) == 1 else 0.6 if inside.islower() else 0.2
            total += len(inside) * (lone if beside else 0.3 if len(inside) == 1 else 0.2)
        else:
            total += sum(0.6 if c in "«»“”„‘’–—…°·" else -0.6 for c in inside)
    return total / max(count, 1)


# Letters beyond ASCII of German; Swedish and Finnish; Danish; French; Spanish; Portuguese; Italian; Icelandic.
_FEW = tuple(map(set, ("ÄÖÜäöüß", "ÅÄÖåäö", "ÆØÅæøå")))
_MANY = tuple(
    set(letters + letters.lower())
    for letters in ("ÀÂÆÇÉÈÊËÎÏÔŒÙÛÜŸ", "ÁÉÍÓÚÑÜ", "ÁÂÃÀÇÉÊÍÓÔÕÚÜ", "ÀÈÉÌÒÙ", "ÁÐÉÍÓÚÝÞÆÖ")
)


def _listed(text: str) -> bool:
    """Whether all that is not ASCII are the letters of one language, as in a list of them.

    Other scripts spell nothing with a few letters' bytes; with those of more letters they spell words, so that these
    must stand one by one, or be many and go upwards, as no word does. A single capital before small ones begins a word.
    """
    runs = [run.group() for run in _RUN.finditer(text)]
    found = set("".join(runs))
    if not all(run.islower() or run[:2].isupper() for run in runs):
        return False
    if any(found <= letters for letters in _FEW):
        return True
    return any(found <= letters for letters in _MANY) and len(found) > 3 and all(map(_in_order, runs))


def _in_order(run: str, share: float = 0.6) -> bool:
    """Is it one letter, or five and more, each of them once, a `share` of which comes after the one before?"""
    steps = sum(one < other for one, other in zip(run, run[1:], strict=False))
    return len(run) == 1 or (len(run) > 4 and len(set(run)) == len(run) and steps >= share * (len(run) - 1))


# Pairs of letters that words of Russian and Ukrainian are made of. In KOI8-R and in Windows-1251 the same bytes are
# letters, too, small ones for capitals, but their pairs are none of a language's.
_PAIRS = frozenset(re.findall(r"\w+", """
    аб ав аг ад ае аж аз ай ак ал ам ан ап ар ас ат ах ач аш ащ аю ая ає аї ба бе би бл бо бр бу бы бё ва вд ве вз
    ви вк вл вн во вр вс вт ву вш вы вя вё ві га ге ги гл го гр гу да дв де ди дл дн до др ду ды дь дя дё ді ев ег
    ед ее еж ез еи ей ек ел ем ен ео еп ер ес ет ех ец еч еш ещ ею ея жа жд же жи жн жё за зв зд зи зн зо зы ив иг
    ид ие из ии ий ик ил им ин ио ип ир ис ит их иц ич иш ию ия йд йк йн йс йт ка кв ке ки кл кн ко кр кс кт ку кі
    ла ле ли лк лн ло лс лу лы ль лю ля лё лі ма ме ми мн мо мп му мы мя мі на нг нд не ни нк нн но нс нт ну нц ны
    нь ню ня нё ні об ов ог од ое ож оз ой ок ол ом он оп ор ос от ох оч ош ою оя оё ої па пе пи пл по пп пр пу пы
    пі ра рв рг рд ре рж ри рк рл рм рн ро рс рт ру рх рш ры рь рю ря рё рі са св се си ск сл см сн со сп ср сс ст
    су сх сч сы сь ся сі та тв те ти тк тн то тр тс ту ты ть тя тё ті уг уд уж уз ук ул ум ун уп ур ус ут ух уч уш
    ую ує фа фе фи фо фр ха хи хн хо хр це ци цы ча че чи чк чн чт чу чё ша ше ши шк шл шн шт шё ща ще щи ъе ъя ъё
    ыв ые ыи ый ык ыл ым ын ыр ыс ыт ых ыш ье ьк ьм ьн ьс ьт ью ья эк эт юб юд юр ют юч ющ яв яд яз як ял ям ян яр
    яс ят ях ёл ём ён ёр ёт єв єм ів ід із іл ін іс іт ії їв їн її
"""))  # fmt: skip


def _cyrillic(text: str) -> float:
    """Words of Cyrillic letters alone, of usual pairs, in one case behind the first letter; or the alphabet itself."""
    total, count = 0.0, 0
    for run in _RUN.finditer(text):
        word, mixed = run.group(), _beside(text, run)
        count += len(word)
        if mixed:
            total -= 5.0 * len(word)
            continue
        shouted, alphabet = len(word) > 2 and word.isupper(), len(word) > 7 and _in_order(word, 0.9)
        for last, c in zip(" " + word, word, strict=False):
            if not 0x400 <= ord(c) <= 0x4FF:
                total -= 1.0
                continue
            usual = alphabet or (c.lower() not in "ьъы" if last == " " else (last + c).lower() in _PAIRS)
            cased = c.islower() or last == " " or shouted or (last.isupper() and len(word) == 2)
            total += (1.0 if cased else -1.0) + (0.25 if usual else -0.5)
    return total / count if count > 2 else 0.0  # one or two letters say nothing


_SCRIPTS: dict[str, Callable[[str], float]] = {
    **dict.fromkeys(("cp1252", "cp1250", "cp1254", "iso8859-2", "iso8859-9", "iso8859-15", "mac-roman"), _western),
    **dict.fromkeys(("cp1251", "koi8_r", "koi8-u", "iso8859-5", "cp866", "mac-cyrillic"), _cyrillic),
}
