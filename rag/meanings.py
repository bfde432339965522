"""Words that turn a sentence over, that stand for each other, or that stand for nothing else: tables for rag.claims,
in English and in German. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NEGATIONS = """no not never nobody nothing none neither nor cannot without hardly barely scarcely kein keine
    keinen keinem keiner keines nicht nichts nie niemals niemand niemandem niemanden ohne weder kaum
    不 没 沒 無 无 未"""
NEGATIONS = frozenset(_NEGATIONS.split())
# What says something else than its "no".
PHRASES = tuple(
    (re.compile(rf"\b(?:{said})\b", re.IGNORECASE), meant)
    for said, meant in (
        (r"(?:no|not) more than|up to|a maximum of", "maximal"),
        (r"(?:no|not) (?:less|fewer) than|a minimum of", "mindestens"),
        (r"nicht mehr als|bis zu|im höchsten Fall", "maximal"),
        (r"nicht weniger als", "mindestens"),
        (r"at most", "maximal"),
        (r"at least", "mindestens"),
        (r"at the latest|(?:no|not) later than", "spätestens"),
        (r"at the earliest|(?:no|not) earlier than", "frühestens"),
        (r"not only|nicht nur", ""),
        (r"free of charge|for free|without (?:charge|cost)|ohne Kosten|gratis", "kostenlos"),
    )
)
ANY_PHRASE = re.compile("|".join(phrase.pattern for phrase, _ in PHRASES), re.IGNORECASE)
# One side of a line against the other: who says the one where the passage has only the other is wrong.
_OPPOSITES = """
    maximal höchstens maximum most | mindestens minimum least
    spätestens latest | frühestens earliest
    more mehr | fewer less weniger
    increase increased increases rise rises rose risen grow grows grew grown growth gain gained gains steigt
        steigen stieg stiegen gestiegen wuchs wuchsen wächst gewachsen zunahm zugenommen erhöht | decrease
        decreased decreases fall falls fell fallen drop drops dropped sank sinks sunk decline declined declines
        shrank shrunk reduced sinkt sinken sanken gesunken fiel fielen gefallen fällt abnahm abgenommen gesenkt
    open opens opened offen öffnen öffnet geöffnet | close closes closed shut locked geschlossen schließen
        schließt gesperrt
    old alt alte alten altes alter | new neu neue neuen neues neuer
    older ältere älteren älter | newer neuere neueren neuer
    oldest älteste ältesten | newest neueste neuesten
    earlier früher | later später
    first erste ersten erster erstes | last letzte letzten letzter letztes
    lowest tiefste tiefsten niedrigste niedrigsten unterste untersten bottom | highest höchste höchsten oberste
        obersten top
    low niedrig niedrige niedrigen tief tiefe tiefen | high hoch hohe hohen
    smallest kleinste kleinsten | largest biggest größte größten
    small klein kleine kleinen kleines | large big groß große großen großes
    shortest kürzeste kürzesten | longest längste längsten
    short kurz kurze kurzen | long lang lange langen
    hot warm heiß heiße heißen heißem warme warmen warmem | cold cool kalt kalte kalten kaltem kühl kühlen
    left links linke linken linker | right rechts rechte rechten rechter
    inside indoors drinnen innen | outside outdoors draußen außen
    allowed permitted erlaubt gestattet zulässig | forbidden prohibited banned verboten untersagt
    enable enabled enables aktiviert aktivieren einschalten eingeschaltet | disable disabled disables
        deaktiviert deaktivieren ausschalten ausgeschaltet
    include includes included inklusive | exclude excludes excluded exklusive
    buy buys bought kauft kaufen kaufte gekauft | sell sells sold verkauft verkaufen verkaufte
    won wins win gewann gewonnen gewinnt | lost loses lose verlor verloren verliert
    best beste besten bester bestes | worst schlechteste schlechtesten
    good gut gute guten gutes guter | bad schlecht schlechte schlechten schlechtes schlechter
    strong stark starke starken | weak schwach schwache schwachen
    full voll volle vollen | empty leer leere leeren
    wet nass nasse nassen | dry trocken trockene trockenen
    begin begins began begun start starts started beginnt beginnen begann | end ends ended stop stops stopped
        endet enden endete
    accept accepts accepted angenommen | reject rejects rejected refuse refused abgelehnt
    north northern nord norden nördlich | south southern süd süden südlich
    east eastern ost osten östlich | west western westen westlich
    true wahr | false falsch
"""


def _sides() -> Mapping[str, tuple[int, int]]:
    lines = re.sub(r"\n {8}", " ", _OPPOSITES).strip().splitlines()
    return {
        word.casefold(): (number, side)
        for number, line in enumerate(lines)
        for side, words in enumerate(line.split("|"))
        for word in words.split()
    }


# The number of the line and its side, for each word.
SIDES = _sides()
# Before a number: more than it, less than it.
AROUND = {word: side for side, words in enumerate(("over above über", "under below unter")) for word in words.split()}
# In front of it in time or in place, or behind it.
ORDER = {word: side for side, words in enumerate(("before bevor vor", "after nachdem nach")) for word in words.split()}

_MONTHS = """january januar jan | february februar feb | march märz | april apr | may mai | june juni | july juli |
    august aug | september sept sep | october oktober oct okt | november nov | december dezember dec dez"""
MONTHS = {word: number for number, words in enumerate(_MONTHS.split("|"), 1) for word in words.split()}
MONTH_NAMES = ("", *(words.split()[0].capitalize() for words in _MONTHS.split("|")))
VERBS_TOO = frozenset(("may", "march", "mar"))  # months only with a capital letter

_ONLY = """monday montag | tuesday dienstag | wednesday mittwoch | thursday donnerstag | friday freitag | saturday
    samstag sonnabend | sunday sonntag | red rot | blue blau | green grün | yellow gelb | white weiss |
    black schwarz | brown braun | grey gray grau | purple | pink rosa | orange"""
# Days and colours: one does not stand for another.
ONLY = {word: words.split()[0] for words in _ONLY.split("|") for word in words.split()}

_UNITS = """second seconds sec sekunde sekunden sek s | minute minutes min mins minuten | hour hours h hr hrs stunde
    stunden std | day days tag tage tagen | week weeks woche wochen | month months monat monate monaten |
    year years jahr jahre jahren | mm millimetre millimetres millimeter millimeters | cm centimetre
    centimetres centimeter centimeters zentimeter | m metre metres meter meters metern | km kilometre
    kilometres kilometer kilometers kilometern | mile miles meile meilen | foot feet ft | inch inches zoll |
    mg milligram milligrams milligramm | g gram grams gramm | kg kilo kilos kilogram kilograms kilogramm | t
    tonne tonnes ton tons tonnen | ml millilitre millilitres milliliter milliliters | l litre litres liter
    liters litern | % percent prozent | € euro euros eur | $ dollar dollars usd | £ pound pounds pfund gbp |
    cent cents | mark dm | franken francs chf | ° degree degrees grad | °c celsius | °f fahrenheit | bar |
    volt volts v | watt watts w | kw kilowatt | kwh | kb | mb | gb | tb | euros | person persons people
    personen | piece pieces stück"""
UNITS = {word: words.split()[0] for words in _UNITS.split("|") for word in words.split()}

# Words with which an answer speaks of what a passage says.
_PLAIN = """according say says said state states stated mention mentions passage document text source answer also so
    thus therefore means mean meant show shows shown read reads use used uses need needs needed must have
    has had be being been may might can could should shall would only just most many all each every such
    both either when while during because through within along together together per via however make makes
    made take takes taken give gives given pay pays paid zahlt zahlen bezahlen heisst heissen bedeutet
    bedeuten sagt laut gemäss soll sollte braucht brauchen nötig etwa dabei außerdem ausserdem sowie bereits
    liegt liegen beträgt betragen während bevor until yes ja once he she him her his hers they their it its
    wurde wurden worden geworden daher somit zudem jahr jahre year years ende anfang want wants get gets got
    getting nachts nur passage quelle text dokument than from into onto"""
PLAIN = frozenset(_PLAIN.replace("ß", "ss").split())
_POINTING = """it its he she they them this that these those his her their him both er sie es ihn ihm ihr ihre
    ihren ihrer dieser diese dieses diesem diesen das sein seine year jahr jahres"""
POINTING = frozenset(_POINTING.split())
_BEFORE_THINGS = """and or per the a an his her its their this that these those my your our each every by of for
    from with in on
    at some any no jede jeden jedes der die das den dem des ein eine einen einem einer gegen mit bei für
    über unter vor nach aus ohne um zwischen im am auf von zum zur"""
BEFORE_THINGS = frozenset(_BEFORE_THINGS.split())
