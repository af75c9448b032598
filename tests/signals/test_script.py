"""Scripts: what is read, what is refused and where, and that writing and reading agree."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actalker.errors import InputError
from actalker.signals.script import Phase, Script, parse_script

F = Fraction


def test_the_example_of_the_docs():
    script = parse_script("a woman speaks calmly | 0-1.2: smiles | 1.2-2.5: raises brows, then nods")
    assert script.base == "a woman speaks calmly"
    assert script.phases[0] == Phase("smiles", F(0), F(6, 5))
    assert script.phases[1] == Phase("raises brows, then nods", F(6, 5), F(5, 2))
    assert [(s.text, s.start, s.stop) for s in script.steps] == [
        ("smiles", 0, F(6, 5)),
        ("raises brows", F(6, 5), F(37, 20)),
        ("nods", F(37, 20), F(5, 2)),
    ]


@pytest.mark.parametrize(
    "text, base, phases",
    [
        ("speaks", "speaks", []),
        ("0-1: smiles", "", [("smiles", 0, 1)]),
        (" | 0 - 1 s : smiles ", "", [("smiles", 0, 1)]),
        ("at 10:30 he speaks | .5\u20132.: blinks", "at 10:30 he speaks", [("blinks", F(1, 2), 2)]),
        ("x|0-2:a|1-3:b|9-10:c", "x", [("a", 0, 2), ("b", 1, 3), ("c", 9, 10)]),  # overlap and gap
        ("x | 1/3-1: says: hello", "x", [("says: hello", F(1, 3), 1)]),
        ("2 men, 1 to the left: both talk", "2 men, 1 to the left: both talk", []),
        ("3, 2, 1: he speaks", "3, 2, 1: he speaks", []),
        ("5 seconds: he speaks", "5 seconds: he speaks", []),
    ],
)
def test_what_is_read(text, base, phases):
    script = parse_script(text)
    assert (script.base, [(p.text, p.start, p.stop) for p in script.phases]) == (base, phases)


def test_an_open_end_is_the_clips():
    assert parse_script("x | 1.2-: nods", F(5, 2)).phases[0].stop == F(5, 2)
    with pytest.raises(InputError, match="column 5.*no end"):
        parse_script("x | 1.2-: nods")


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "empty"),
        ("  |  ", "column 4.*cannot read ''"),
        ("x | smiles", "column 5.*START-STOP: TEXT"),
        ("x | 0-1: a | 2-1.5: b", "column 14.*ends at 1.5 s, not after its start at 2 s"),
        ("x | 1-1: a", "column 5.*not after"),
        ("x | -1-2: a", "column 5.*negative"),
        ("-1-2: a", "column 1.*negative"),
        ("0,5-1: smiles", "column 1.*'0,5-1' cannot be read"),
        ("0-1.2 sec: smiles", "column 1.*cannot be read"),
        (" 0 to 1 : smiles", "column 2.*cannot be read"),
        ("0\u20141: nods | 1-2: a", "column 1.*cannot be read"),
        ("1.2-end: smiles", "column 1.*cannot be read"),
        ("from 0 to 1: smiles", "column 1.*cannot be read"),
        ("(0-1): smiles", "column 1.*cannot be read"),
        ("x | 0-nan: a", "column 5.*cannot be read"),
        ("x | 0-inf: a", "column 5.*cannot be read"),
        ("x | 0-1e3: a", "column 5.*cannot be read"),
        ("x | 1/0-2: a", "column 5.*zero"),
        ("x | 0-1:   ", "column 5.*empty"),
        ("x | 0-" + "9" * 5000 + ": a", "column 5.*cannot be read"),
        ("x" * 2_000_000, "characters"),
    ],
)
def test_what_is_refused_and_where(text, says):
    with pytest.raises(InputError, match=says) as caught:
        parse_script(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_phase_beyond_the_clip_is_refused():
    script = parse_script("x | 0-1: a | 1-3: nods")
    script.check(F(3))
    with pytest.raises(InputError, match="column 14.*1-3: nods.*clip.*2.5 s.*1-$"):
        script.check(F(5, 2))
    with pytest.raises(InputError, match="starts? .* later|not after|ends"):
        parse_script("x | 4-: a", F(3))


TEXT = st.text(st.characters(exclude_characters="|", exclude_categories=["Cs"]), max_size=20)
TIME = st.fractions(0, 1000, max_denominator=60_000)


@settings(max_examples=100, deadline=None)
@given(base=TEXT, phases=st.lists(st.tuples(TEXT, TIME, TIME), max_size=4))
def test_writing_and_reading_agree(base, phases):
    try:
        script = Script(
            " ".join(base.split()), tuple(Phase(" ".join(t.split()), *sorted(times)) for t, *times in phases)
        )
    except InputError:
        return
    again = parse_script(f"{script} ")  # the space: not a file name
    assert again == script or str(script).endswith((".yaml", ".yml"))


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("0123456789.-/:|s, thenai\u2013", max_size=60)))
def test_any_text_is_read_or_refused(text):
    try:
        script = parse_script(text)
        script.check(F(3))
        assert all(step.start < step.stop for step in script.steps)
    except InputError as error:
        assert "\n" not in str(error)


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text(":-[]{}&*!|>'\"%@`,?# \n\tabeshpatrndx0123.", max_size=60).map(str.encode),
        st.text(max_size=30).map(lambda t: f"phases: [{{start: 0, end: 1, text: {t}}}]".encode()),
    )
)
def test_any_file_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_bytes(content)
    try:
        parse_script(path, F(9))
    except InputError as error:
        assert "\n" not in str(error) and "fuzz.yaml" in str(error) or "script is empty" in str(error)


def test_a_file_says_the_same_as_the_text(tmp_path):
    path = tmp_path / "script.yaml"
    path.write_text(
        "base: a woman speaks\nphases:\n  - {start: 0, end: 1.2, text: smiles}\n"
        "  - {start: 1.2, end: 2.50, text: 'raises brows, then nods'}\n"
    )
    assert parse_script(path) == parse_script(str(path))
    text = "a woman speaks | 0-1.2: smiles | 1.2-2.5: raises brows, then nods"
    assert parse_script(path) == parse_script(text)


@pytest.mark.parametrize(
    "content, says",
    [
        ("base: x\nphase: []", "entry 'phase' is unknown; did you mean 'phases'"),
        ("phases: [{start: 0, end: 1, text: a}, {start: 2, end: 1, text: b}]", r"phases\[1\].*not after"),
        ("phases: [{start: 0, end: 1}]", r"phases\[0\]: has no 'text'"),
        ("phases: [{start: -1, end: 1, text: a}]", r"phases\[0\].*negative"),
        ("phases: [{start: .nan, end: 1, text: a}]", r"phases\[0\].*cannot be read"),
        ("phases: [{start: 0, end: 1, text: [a]}]", r"phases\[0\]: must be"),
        ("phases: {start: 0}", "a list of"),
        ("base: [x", "is not YAML"),
        ("just words", "no 'base:' and 'phases:'"),
        ("", "no 'base:' and 'phases:'"),
        ("base: a | b", "holds '|'"),
        ("[" * 5000, "is not YAML"),
    ],
)
def test_what_a_file_may_not_say(tmp_path, content, says):
    path = tmp_path / "script.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=says):
        parse_script(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: cannot be read"):
        parse_script(tmp_path / "nowhere.yaml")
    with pytest.raises(InputError, match="nowhere.yml: cannot be read"):
        parse_script(f"{tmp_path}/nowhere.yml")


KNOWN = (("smiles", "is smiling"), ("nods", "nods their head"), ("turns left", "turns their head left"))


@pytest.mark.parametrize(
    "text", ["smiles", "She Smiles.", "slowly nods her head", "nods, then is smiling", "turns head left"]
)
def test_phrases_that_are_known_are_not_told(text):
    assert parse_script(f"a woman | 0-1: {text}", F(2)).unknown(KNOWN) == []


def test_phrases_that_are_not_known_are_told_with_the_nearest():
    script = parse_script("a woman | 0-1: turn the head left | 1-2: nods, then lächelt", F(2))
    near, none = script.unknown(KNOWN)
    assert near.startswith("script, column 11: 'turn the head left' is no phrase")
    assert near.endswith("nearest: 'turns their head left', 'turns left'")
    assert "'lächelt'" in none and none.endswith("it knows 'smiles', 'nods', 'turns left'")
    assert script.unknown(()) == []
