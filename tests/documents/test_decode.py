"""Texts in old encodings that nobody names: a few hundred bytes tell which one it is."""

# ruff: noqa: RUF001 - letters of other scripts

from __future__ import annotations

import pytest

from rag.extract.decode import decode

JAPANESE = (
    "日本語の文書を検索するときは、まず本棚を選んでください。質問に答えるために、文章はいくつかの段落に分けられます。"
    "引用はいつも正しい場所を開きます。カタカナのことばもあります。"
)
KOREAN = (
    "한국어 문서를 검색하려면 먼저 책장을 고르십시오. 질문에 답하기 위해 글은 여러 단락으로 나뉩니다. "
    "인용은 언제나 정확한 곳을 엽니다. 비가 오는 날에는 고양이가 창가에서 잠을 잡니다."
)
SIMPLIFIED = (
    "要搜索中文文档，请先选择一个书架。为了回答问题，文章被分成若干段落。引用总是打开正确的位置。"
    "下雨的时候，猫在窗边睡觉。图书馆里有许多书，人们每天都来读书。"
)
TRADITIONAL = (
    "要搜尋中文文件，請先選擇一個書架。為了回答問題，文章被分成若干段落。引用總是打開正確的位置。"
    "下雨的時候，貓在窗邊睡覺。圖書館裡有許多書，人們每天都來讀書。"
)
RUSSIAN = (
    "Чтобы искать в русских документах, сначала выберите полку. Чтобы ответить на вопрос, текст делится "
    "на несколько абзацев. В дождливые дни кошка спит у окна."
)
POLISH = (
    "Aby szukać w polskich dokumentach, najpierw wybierz półkę. Żeby odpowiedzieć na pytanie, tekst dzieli się "
    "na kilka akapitów. Źródło zawsze otwiera właściwe miejsce. W deszczowe dni gęś idzie nad łąkę, a kot śpi."
)
CZECH = (
    "Chcete-li hledat v českých dokumentech, nejprve vyberte polici. Text se dělí na několik odstavců. "
    "Odkaz vždy otevře správné místo. Když prší, kočka spí u okna a žák šije."
)
GERMAN = (
    "Um zu suchen, wählen Sie zuerst ein Regal. Der Text wird in Absätze geteilt – “genau dort”, auf 12 m² und 3 m³. "
    "Die Quelle öffnet immer die richtige Stelle; sie läuft bei ±3° und kostet 5 £."
)
SPANISH = "¿Qué hace el gato? ¡Duerme! ¿Y el perro? También; 2½ horas, según la señora Muñoz, en la 3ª planta."


@pytest.mark.parametrize(
    ("said", "encoding"),
    [
        (JAPANESE, "euc_jp"),
        (JAPANESE, "shift_jis"),
        (KOREAN, "euc_kr"),
        (SIMPLIFIED, "gb18030"),
        (TRADITIONAL, "big5"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (POLISH, "iso8859_2"),
        (POLISH, "cp1250"),
        (CZECH, "iso8859_2"),
        (GERMAN, "cp1252"),
        (SPANISH, "cp1252"),
    ],
)
def test_text_of_a_few_hundred_bytes_is_read_in_its_own_encoding(said: str, encoding: str) -> None:
    assert decode(said.encode(encoding)) == said
    for n in range(2):  # more than is looked at, cut in a character or not
        long = f"{'-' * n}{said}\n" + f"{said}\n" * 300
        assert decode(long.encode(encoding)) == long
