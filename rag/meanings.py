"""Words that turn a sentence over, that stand for each other, or that stand for nothing else: tables for rag.claims,
in English and in German. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

_NEGATIONS = """no not never nobody nothing none neither nor cannot hardly barely scarcely non nowhere
    kein keine keinen keinem keiner keines keins keinerlei keinesfalls keineswegs nicht nichts nie niemals niemand
    niemandem niemanden nirgends nirgendwo weder kaum 不 没 沒 無 无 未 ne pas jamais aucun aucune ni mai
    nessun nessuno nessuna nunca jamás ningún ninguna nadie não nem niet geen nooit
    не нет ни никогда ніколи nie inte aldrig ikke aldri"""
NEGATIONS = frozenset(_NEGATIONS.split())
# What turns a sentence over once more, also beside a "not".
_TURNERS = """avoid avoids avoided avoiding lack lacks lacked lacking prevent prevents prevented vermeiden vermeidet
    vermied vermieden fehlt fehlen fehlte verhindert verhindern verhinderte"""
TURNERS = frozenset(_TURNERS.split())
# What a rule does not hold for; who leaves that out says something else.
_EXCEPT = "except excepting excluding unless außer ausgenommen ausser sauf excepto salvo eccetto кроме"
EXCEPT = frozenset(_EXCEPT.split())
# Before a word, what makes its opposite of it.
_DENYING = "un in im il ir dis non mis counter anti gegen miss ent nicht"
DENYING = tuple(sorted(_DENYING.split(), key=len, reverse=True))
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
        (r"not (?:all|every)\b", "some not"),
        (r"nicht (?=alle|jede)\w+", "einige nicht"),
        (r"fail(?:s|ed|ing)? to|refus(?:es|ed|ing) to|(?:is|are|was|were) unable to|no longer|nicht mehr", "not"),
        (
            r"free of charge|for free|without (?:charge|cost)|costs? nothing|at no (?:charge|cost)|ohne Kosten",
            "kostenlos",
        ),
        (r"gratis|umsonst|kostet nichts|(?:is|are) free(?! (?:of|from|to))", "kostenlos"),
        (r"three quarters of|drei Viertel (?=de[rs]\b|aller\b)", "75 % "),
        (r"(?:one |a )?half (?:of(?: the)?|the(?! way| time))|die Hälfte", "50 %"),
        (r"(?:one|a) quarter of|ein Viertel (?=de[rs]\b|aller\b)", "25 % "),
        (r"(?:one|an?) (\w+) and a half", r"1.5 \1s"),
        (r"one and a half|eineinhalb|anderthalb", "1.5"),
        (r"(?:two|2) and a half|zweieinhalb", "2.5"),
        (r"(?:three|3) and a half|dreieinhalb", "3.5"),
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
    older ältere älteren älter | newer younger neuere neueren neuer jüngere jüngeren jünger
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
    accept accepts accepted approve approves approved granted angenommen genehmigt bewilligt | reject rejects
        rejected refuse refuses refused deny denies denied abgelehnt verweigert
    pass passes passed bestanden | fail fails failed durchgefallen
    upstairs | downstairs
    profit profits gewinn gewinne | loss losses verlust verluste
    alive lebendig | dead tot tote toten
    present anwesend | absent abwesend
    public öffentlich öffentliche öffentlichen | private privat private privaten
    faster quicker schneller schnellere | slower langsamer langsamere
    fast quick quickly schnell schnelle schnellen | slow slowly langsam langsame langsamen
    cheaper billiger günstiger | dearer teurer
    cheap billig billige billigen | expensive teuer teure teuren
    thick dick dicke dicken | thin dünn dünne dünnen
    wide broad breit breite breiten | narrow schmal schmale schmalen eng
    deep | shallow flach flache flachen
    easy einfach einfache einfachen | difficult schwierig schwierige schwierigen
    add adds added | remove removes removed
    arrive arrives arrived ankunft | depart departs departed departure abfahrt
    import imports imported | export exports exported
    smaller kleiner kleinere kleineren | larger bigger größer größere größeren
    upper taller higher höher höhere obere oberen oberer oberes | lower niedriger niedrigere untere unteren unterer
        unteres
    longer länger längere längeren | shorter kürzer kürzere kürzeren
    better besser bessere besseren | worse schlechter schlechtere
    stronger stärker | weaker schwächer
    warmer wärmer | colder cooler kälter kühler
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
# Words for the same.
SAME = {
    word: words.split()[0]
    for words in ("price prices cost costs preis preise kosten kostet kostete",)
    for word in words.split()
}
# Before a number: more than it, less than it.
AROUND = {word: side for side, words in enumerate(("over above über", "under below unter")) for word in words.split()}
# How many of them: who says all where some are meant is wrong, whatever else turns the sentence over.
AMOUNTS = {
    word: number
    for number, words in enumerate(
        (
            "all every everyone everybody everywhere anyone anywhere alle allen aller jeder jede jedes jeden überall",
            "some few several einige einigen manche manchen mehrere mehreren wenige wenigen teils",
            "only solely nur ausschließlich",
            "no nobody none kein keine keinen keiner keinem niemand",
        )
    )
    for word in words.split()
}
# What is so only if something else is.
_CONDITIONS = "if when whenever wenn falls sofern whether ob bei once unless während while"
CONDITIONS = frozenset(_CONDITIONS.split())
IFS = frozenset(("if", "wenn", "falls", "sofern", "whether", "ob", "unless"))
# What has to be, and what may be.
DUTIES = frozenset(("must", "muss", "müssen", "musst", "obliged", "required", "verpflichtet"))
CHOICES = frozenset(("may", "can", "might", "could", "optional", "kann", "können", "darf", "dürfen", "freiwillig"))
# Behind a verb, at the end of what a German part says; and what each is the opposite of.
PARTICLES = {
    "an": {"aus", "ab"},
    "ein": {"aus"},
    "aus": {"an", "ein"},
    "auf": {"zu", "ab"},
    "zu": {"auf", "ab"},
    "ab": {"zu", "auf", "an"},
}
# What may follow an "on" that is the opposite of off.
_AFTER_ON = "at during when while whenever if by before after and or until from all again as in for"
AFTER_ON = frozenset(("", *_AFTER_ON.split()))
# In front of it in time or in place, or behind it.
ORDER = {word: side for side, words in enumerate(("before bevor vor", "after nachdem nach")) for word in words.split()}

WITHIN = {
    word: side for side, words in enumerate(("within binnen innerhalb", "after nach nachdem")) for word in words.split()
}
# The word before a word tells its part or its place: whoever stands behind another of them is another.
_ROLES = """from von vom aus ab seit | to nach zu zum zur an ans towards | of | with mit | than als | for für |
    under below beneath underneath unter unterm | behind hinter hinterm | over above über überm | in on at inside
    into onto im am ins auf aufs | beside neben | bei beim | between zwischen |
    without ohne sans senza sin sem без bez zonder utan"""
ROLES = {word: words.split()[0] for words in _ROLES.split("|") for word in words.split()}
_PLACES = ("under", "behind", "over", "in", "beside", "between")
CONTRARY = frozenset(
    [("from", "to"), ("to", "from"), *((one, other) for one in _PLACES for other in _PLACES if one != other)]
)
BY = frozenset(("by", "durch"))
PASSIVE = frozenset(("wird", "werden", "wurde", "wurden", "worden"))

_MONTHS = """january januar jan | february februar feb | march märz | april apr | may mai | june juni | july juli |
    august aug | september sept sep | october oktober oct okt | november nov | december dezember dec dez"""
MONTHS = {word: number for number, words in enumerate(_MONTHS.split("|"), 1) for word in words.split()}
MONTH_NAMES = ("", *(words.split()[0].capitalize() for words in _MONTHS.split("|")))
VERBS_TOO = frozenset(("may", "march", "mar"))  # months only with a capital letter

_KINDS = {
    "weekday": """monday mondays montag montags | tuesday tuesdays dienstag dienstags | wednesday wednesdays mittwoch
        mittwochs | thursday thursdays donnerstag donnerstags | friday fridays freitag freitags | saturday saturdays
        samstag samstags sonnabend sonnabends | sunday sundays sonntag sonntags""",
    "colour": """red rot | blue blau | green grün | yellow gelb | white weiss | black schwarz | brown braun |
        grey gray grau | purple | pink rosa | orange""",
    "season": "spring frühling frühjahr | summer sommer | autumn herbst | winter",
    "time": """morning morgens vormittag vormittags | noon mittag mittags | afternoon nachmittag nachmittags |
        evening abends | midnight mitternacht | night nights nightly nacht nachts""",
}
# Days, colours and the like, each with its kind: one does not stand for another.
ONLY = {
    word: f"{kind} {words.split()[0]}"
    for kind, listed in _KINDS.items()
    for words in listed.split("|")
    for word in words.split()
}

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

# One unit as so many of another.
BASES = {
    unit: (base, Decimal(many))
    for base, units in (
        ("second", {"second": "1", "minute": "60", "hour": "3600", "day": "86400", "week": "604800"}),
        ("month", {"month": "1", "year": "12"}),
        ("mm", {"mm": "1", "cm": "10", "m": "1000", "km": "1000000"}),
        ("mg", {"mg": "1", "g": "1000", "kg": "1000000", "t": "1000000000"}),
        ("ml", {"ml": "1", "l": "1000"}),
        ("w", {"watt": "1", "kw": "1000"}),
    )
    for unit, many in units.items()
}
# Before a number: it begins there, or ends.
BOUNDS = {
    word: role
    for role, words in (("from", "from since von seit ab"), ("to", "to until till bis auf"))
    for word in words.split()
}
# Before a number of four digits, what makes a year of it.
_YEAR_CUES = """in of since from until till by before after around during the year years im seit jahr jahre jahres ab
    bis von vor nach um en de del en año anno nel dal в"""
YEAR_CUES = frozenset(_YEAR_CUES.split())

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
