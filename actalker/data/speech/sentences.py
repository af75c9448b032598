"""The sentences that the engines say: English ones of a small grammar, and made-up words of other languages.

Words are chosen for their sounds: lips that close, round, spread and meet the teeth are frequent. The meaning
of a sentence does not matter; models learn only how mouths move through it.
"""

from __future__ import annotations

from random import Random


def _words(text: str) -> list[str]:
    return text.split()


def _phrases(text: str) -> list[str]:
    return [" ".join(piece.split()) for piece in text.split("|")]


NOUNS = _words(
    """
    apple arm baby back bag ball bath beach bear bed bee bell bird boat body book bottle bowl box boy branch
    bread bridge brother bus butter button cake camera card carpet castle cat chair cheese chicken child
    church circle city cliff cloud coat coffee cook corner cough cow cream cup daughter day desk dinner doctor
    dog door dream dress drum eagle ear earth egg engine evening eye face family farmer father feather field
    film finger fire fish floor flower food foot forest fork friend fruit game garage garden girl glass glove
    goat gold grandmother grass ground guitar hair hall hammer hand hat head heart hill home honey hope horse
    house ice idea island jacket job judge juice jump jungle key king kitchen knife lake lamp language leaf
    leg lemon letter life light lion lip map market measure meeting memory mile milk mind minute mirror money
    monkey month moon morning mother mountain mouse mouth movie museum music name nature neck needle neighbour
    nephew nest newspaper night noise north nose nurse ocean office oil onion orange owl pan paper park party
    path peach pen people pepper phone photo piano picture pig pillow pilot pipe place plane planet plate
    pleasure pocket poem pool pope potato power prize problem puppy purse queen question rabbit radio rain
    ring river road roof room root rope rose sail sand sauce school sea seat seed shadow sheep shelf ship
    shirt shoe shop shoulder silver sister skin sky sleeve smoke snow soap sofa song sound soup south spider
    spoon spring stamp star station stone story stove street sugar summer sun supper swim table teacher team
    tea teeth thought thumb thunder ticket tiger toast toe tomb tooth towel tower town toy train treasure tree
    truth turtle uncle valley van vase vegetable verb vessel village violin visit voice volume vowel voyage
    wall watch water wave way weather web week wheel whistle widow wife window wing winter wish wolf woman
    wood word work world worm yard year yellow youth zebra zoo
    """
)

VERBS = _words(
    """
    ask bake beat become begin believe blame blow boil borrow bounce break bring brush build burn buy call
    carry catch change chase cheer choose clean climb close comb come cook cool copy count cover cross cut
    dance deliver describe draw drink drive drop eat enjoy feed feel fetch fill find finish fix float fly fold
    follow forget forgive fry gather give grab grow guess have hear help hide hit hold hope hug hurry imagine
    improve invite join judge keep kick kiss know laugh learn leave lend lift like live look lose love make
    measure meet mix move need notice offer open paint park pass pay phone pick plan play polish pour practise
    praise prefer prepare promise prove pull push put raise reach read remember remove repair repeat ride ring
    rub save say search see sell send serve shake share shave show shut sing sip smell smooth solve speak
    spell spoil squeeze start steer stir stop surprise sweep swim take taste teach tell thank think throw
    touch try turn understand use visit wake want warm wash watch wave wear weigh whisper win wish wonder wrap
    write
    """
)

ADJECTIVES = _words(
    """
    able bad beautiful big bitter black blue bold brave brief bright broad broken brown busy calm cheap clean
    clever cold comfortable common cool curious damp dark deep different dirty dry dusty early easy empty
    enormous every fair famous fast favourite few final fine first five flat foolish former free fresh
    friendly full funny gentle glad good grave green happy harmless heavy high hollow honest huge human icy
    important jolly just keen kind large last lazy light little lively lonely long loud lovely lucky mad
    modern moist narrow naughty neat new nice noble noisy old open pale perfect plain pleasant polite poor
    popular possible pretty private proud public pure purple quick quiet rare ready red rich ripe rough round
    royal rude sad safe same serious seven several shallow sharp shy silent simple six sleepy slow small smart
    smooth soft sour special steep strange strong such sunny sweet tall thick thin third thirsty three tiny
    twelve ugly usual vague valuable various vast warm weak wet white whole wide wild wise wonderful wooden
    wrong yellow young
    """
)

PEOPLE = _words(
    """
    I you we they she he somebody everybody nobody Abby Barbara Ben Bob Charlotte David Emma Faith Fiona
    George Hugh Jim Joyce Julia Laura Martha Mabel Maeve Oliver Pamela Paul Peter Philip Ruth Shaun Sophie
    Steve Thomas Vera Victor Walter Wendy Zoe
    """
)

BEFORE = _words(
    """
    a another any each every her his my one our some that the their this your
    """
)
PLACES = _words(
    """
    above across after along among around at before behind below beneath beside between beyond by from in into
    near of off on over past through to toward under up upon with without
    """
)
MAY = _words(
    """
    can could did might must never should will would
    """
)
LINKS = _words(
    """
    although and because before but if or since so that unless until when where while
    """
)
WHEN = _phrases(
    """
    again | always | before breakfast | by the way | every morning | finally | five times | for a while | from
    time to time | in February | in the evening | maybe | more or less | never mind | nowadays | of course |
    often | on Wednesday | once upon a time | perhaps | quite probably | rather slowly | right away |
    sometimes | this afternoon | three months ago | today | tomorrow | usually | very quickly | with pleasure
    """
)
QUESTIONS = _words(
    """
    how what when where who why
    """
)
PHRASES = _phrases(
    """
    bumble bees buzz above the bubbling brook | five brave wolves vanished over the cliff | pop up a big pink
    paper bag | mom made my momma some warm plum jam | who threw the blue shoe through the roof | we saw four
    more small doors | she sees these three green trees | the judge chose a huge orange carriage | few views
    have ever proved of value | thin brothers bathe with both feathers | you should put good sugar in the
    pudding | boys enjoy noisy toys | a baby hippo flopped into a muddy pool | a vision of pleasure beyond
    measure | how now, brown cow
    """
)

ENGLISH = (
    "b b bl br ch d dr f f fl fr g gl gr h j k kl kr l m m n p p pl pr r s sh sk sl sm sn sp st str t th tr"
    " v v w w y z",
    "a a e e i i o o u u ee oo ay ow oy ar er or ea ou",
    "b d f k l m n p s t v x ng sh th",
)

# other languages: onsets, nuclei, codas, in the letters that their engines read
_LATIN = "b b bl br d dr f f fl fr g gl gr h k kl kr l m m m n p p p pl pr r s st t tr v v z"
_FIVE = "a a e e i i o o u u"
SYLLABLES: dict[str, tuple[str, str, str]] = {
    "de": (
        _LATIN + " pf sch sch schw sp w w z zw j ch",
        _FIVE + " ä ö ü ei au eu ie",
        "l n r s t ch m pf f ng",
    ),
    "es": (
        "b b br c ch d f f fr g gr j l ll m m n ñ p p pr qu r rr s t tr v y",
        _FIVE + " ie ue ai",
        "l n r s",
    ),
    "it": (
        "b b br c ch d f f fr g gh gl gn l m m n p p pr qu r s sc t tr v v z",
        _FIVE + " ia io uo",
        "l n r",
    ),
    "pt": (
        "b b br c ch d f f fr g j l lh m m n nh p p pr qu r s t tr v v x",
        _FIVE + " ão ei ou ã",
        "l m r s",
    ),
    "nl": (_LATIN + " w w j sch ch", _FIVE + " aa ee oo uu ij ui eu oe", "k l n r s t f p ng"),
    "pl": (
        "b b ch cz d dz dź f f g h j k l ł m m n ń p p r rz s sz ś t w w z ż ź c ć",
        "a a ą e e ę i o o ó u y",
        "k l m n r sz ć",
    ),
    "ru": (
        "б б бр в в вл г д ж з й к кр л м м н п п пр р с ст т ф ф х ц ч ш щ",
        "а а е е и и о о у у ы э ю я ё",
        "в к л м н р с т ть",
    ),
    "uk": (
        "б б бр в в г ґ д ж з й к л м м н п п пр р с т ф ф х ц ч ш",
        "а а е и і о о у у ю я є ї",
        "в к л м н р с т",
    ),
    "bg": (
        "б б бр в в г д ж з к л м м н п п пр р с ст т ф ф х ц ч ш",
        "а а е е и и о о у у ъ ю я",
        "в к л м н р с т",
    ),
    "tr": ("b b c ç d f f g h j k l m m n p p r s ş t v v y z", "a a e e ı i o ö u ü", "k l m n r ş t"),
    "fi": (
        "h j k l m m n p p p r s t v v",
        "a a e e i i o o u u y y ä ö aa ee ii oo uu yy ää uo ie ei ou",
        "l m n n s t",
    ),
    "et": ("b d g h j k l m m n p p r s t v v f", "a e i o u õ ä ö ü aa ee oo ou äe", "l m n s t"),
    "sv": (_LATIN + " j sj sk tj", "a a e i o o u y å ä ö", "l m n r s t ng"),
    "nb": (_LATIN + " j skj kj", "a a e i o o u y å æ ø ei au", "l m n r s t ng"),
    "da": (_LATIN + " j sj", "a a e i o o u y å æ ø ei", "l m n r s t v"),
    "is": (_LATIN + " þ þ ð j", "a á e é i í o ó u ú y æ ö au", "l m n r s t"),
    "cs": (
        "b b c č d ď f f h ch j k l m m n ň p p r ř s š t ť v v z ž",
        "a á e é ě i í o ó u ú ů y ou",
        "k l m n r s š t",
    ),
    "sk": ("b b c č d f f h ch j k l m m n ň p p r s š t v v z ž", "a á e i o u ie ia ô y", "k l m n r s š"),
    "hr": ("b b c č ć d đ f f g h j k l lj m m n nj p p r s š t v v z ž", _FIVE + " ije", "k l m n r s š"),
    "hu": (
        "b b c cs d f f g gy h j k l m m n ny p p r s sz t ty v v z zs",
        "a á e é i o ó ö ő u ú ü ű",
        "k l m n r s sz t",
    ),
    "ro": ("b b c ch d f f g gh h j l m m n p p r s ș t ț v v z", "a ă â e i î o u ea oa", "l m n r s t"),
    "lt": ("b b č d f g j k l m m n p p r s š t v v z ž", "a ą e ė i į y o u ų ū ai au uo ie", "k l m n s š"),
    "sq": (
        "b b c ç d dh f f g gj h j k l ll m m n nj p p q r rr s sh t th v v x xh z zh",
        "a e ë i o u y",
        "k l m n r sh t",
    ),
    "el": ("β β γ δ ζ θ κ λ μ μ μπ ν ντ ξ π π ρ σ τ φ φ χ ψ", "α α ε ε ι ι ο ο ου ου η ω αι ει", "ν ρ ς"),
    "hi": ("प प फ ब ब भ म म व व त द न क ग स श ल र ह च ज ट ड य थ ध", "ा ा ी ू ू े ो ो ि ु ै ौ", "न म र ल"),
    "id": (
        "b b c d f g h j k l m m n ng ny p p r s t w w y",
        "a a e e i i o o u u ai au",
        "k l m n ng r s t",
    ),
    "sw": ("b b ch d dh f f g gh h j k l m m mb mw n ng ny nd p p r s sh t th v v w y z", _FIVE, ""),
    "eu": ("b b d f g h j k l ll m m n ñ p p r s t ts tx tz x z", _FIVE + " ai au ei", "l n r s tz"),
    "af": (_LATIN + " w w sj j", "a aa e ee i o oo u uu ie oe ei ou ui", "k l n r s t f"),
    "fr": (
        "b b bl br c ch d f f fr g gn j l m m n p p pl pr qu r s t tr v v",
        "a e é è i o u ou au eu oi on an in un eau",
        "l r s t",
    ),
    "ca": (
        "b b br c ç d f f g gu j l ll m m n ny p p pr qu r s t tr tx v x z",
        _FIVE + " à è ò",
        "l m n r s t",
    ),
}


def sentence(rng: Random, language: str) -> str:
    """A random sentence. language: `en`, or a key of SYLLABLES."""
    return _english(rng) if language == "en" else _made_up(rng, SYLLABLES[language], rng.randint(3, 7)) + "."


def _thing(rng: Random) -> str:
    adjective = f"{rng.choice(ADJECTIVES)} " if rng.random() < 0.55 else ""
    noun = _word(rng, ENGLISH, rng.randint(1, 3)) if rng.random() < 0.1 else rng.choice(NOUNS)
    return f"{rng.choice(BEFORE)} {adjective}{noun}"


def _clause(rng: Random) -> str:
    who = rng.choice(PEOPLE) if rng.random() < 0.6 else _thing(rng)
    where = f" {rng.choice(PLACES)} {_thing(rng)}" if rng.random() < 0.5 else ""
    return f"{who} {rng.choice(MAY)} {rng.choice(VERBS)} {_thing(rng)}{where}"


def _english(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.34:
        text = _clause(rng) + "."
    elif kind < 0.52:
        text = f"{_clause(rng)}, {rng.choice(LINKS)} {_clause(rng)}."
    elif kind < 0.62:
        text = f"{rng.choice(WHEN)}, {_clause(rng)}."
    elif kind < 0.74:
        who, does = rng.choice(PEOPLE), rng.choice(VERBS)
        text = f"{rng.choice(QUESTIONS)} {rng.choice(MAY)} {who} {does} {_thing(rng)}?"
    elif kind < 0.86:  # lists: words without grammar meet in more ways
        words = [rng.choice(rng.choice((NOUNS, VERBS, ADJECTIVES))) for _ in range(rng.randint(4, 9))]
        cut = rng.randint(1, len(words) - 1)
        text = f"{' '.join(words[:cut])}, {' '.join(words[cut:])}."
    elif kind < 0.94:
        text = " ".join(rng.choice(PHRASES).split()) + "."
    else:
        text = _made_up(rng, ENGLISH, rng.randint(3, 7)) + "."
    return text[0].upper() + text[1:]


def _made_up(rng: Random, syllables: tuple[str, str, str], words: int) -> str:
    """A number of random words of a language's syllables, the first with a capital letter."""
    spoken = [_word(rng, syllables, rng.randint(1, 4)) for _ in range(words)]
    if words > 4:  # a pause, often
        spoken[words // 2 - 1] += "," if rng.random() < 0.6 else ""
    text = " ".join(spoken)
    return text[0].upper() + text[1:]


def _word(rng: Random, syllables: tuple[str, str, str], count: int) -> str:
    """A random word of `count` syllables, each of an onset, a nucleus and a coda."""
    onsets, nuclei, codas = (part.split() for part in syllables)
    word = ""
    for _ in range(count):
        word += rng.choice(onsets) if rng.random() < 0.93 else ""
        word += rng.choice(nuclei)
        word += rng.choice(codas) if codas and rng.random() < 0.2 else ""
    return word
