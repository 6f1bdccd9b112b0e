"""PubTator: one text of title and abstract, several concepts on a mention, identifiers with bars."""

import pytest
import spacy

from formats import PUBTATOR
from spacy_docre.doc.layers import get_types
from spacy_docre.doc.records import get_relation_data
from spacy_docre.readers.faults import Faults
from spacy_docre.readers.pubtator import read_pubtator, split_concepts

NLP = spacy.blank("en")
HEAD = "8|t|Drug A-induced coma.\n8|a|Renal and hepatic failure after drug A.\n"


@pytest.fixture
def read(tmp_path):
    def run(text, **options):
        (tmp_path / "in.txt").write_text(text, encoding="utf8", newline="")
        faults = Faults()
        return list(read_pubtator(tmp_path / "in.txt", nlp=NLP, faults=faults, **options)), faults

    return run


def counts(faults):
    return {name: n for name, n in vars(faults).items() if name != "messages" and n}


def lines(*rows):
    return HEAD + "".join("8\t" + "\t".join(map(str, row)) + "\n" for row in rows)


def test_everything_arrives(read):
    """Offsets count code points over title, one space and abstract; a second document follows an empty line."""
    docs, faults = read(PUBTATOR + "\n9|t|Nothing.\n", strict=True)
    assert [doc.text for doc in docs] == ["Ada 🌍 Berg left Oslo. Berg's home burnt.", "Nothing."]
    assert [doc._.docre_title for doc in docs] == ["7", "9"]
    assert [str(relation) for relation in docs[0]._.relations] == [
        "Ada 🌍 Berg (Person) --residence--> Oslo (Place) [1.00]"
    ]
    assert [span.text for span in docs[0].spans["mentions"]] == ["Ada 🌍 Berg", "Oslo", "Berg"]
    assert get_relation_data(docs[1]) == []
    assert counts(faults) == {"without_mentions": 1, "without_relations": 1}


def test_documents_may_follow_without_an_empty_line(read):
    docs, _ = read(PUBTATOR + HEAD)
    assert [doc._.docre_title for doc in docs] == ["7", "8"]


def test_a_mention_of_several_concepts_is_one_of_each(read):
    rows = [
        (0, 6, "Drug A", "Chemical", "D1"),
        (21, 46, "Renal and hepatic failure", "Disease", "D7|D8", "Renal failure|hepatic failure"),
        ("CID", "D1", "D8"),
    ]
    [doc], faults = read(lines(*rows), strict=True)
    assert [entity.text for entity in doc._.entities] == ["Drug A"] + ["Renal and hepatic failure"] * 2
    assert [(r["head"], r["tail"]) for r in get_relation_data(doc)] == [(0, 1)]
    assert counts(faults) == {"shared_mentions": 1}


@pytest.mark.parametrize("concept", ["-1", "", "-"])
def test_a_mention_without_concept_is_an_entity_of_its_own(read, concept):
    rows = [(15, 19, "coma", "Disease", concept), (0, 6, "Drug A", "Chemical", concept)]
    [doc], _ = read(lines(*rows), strict=True)
    assert [(entity.text, entity.label) for entity in doc._.entities] == [("Drug A", "Chemical"), ("coma", "Disease")]


def test_the_most_frequent_type_counts_the_first_on_ties(read):
    rows = [(15, 19, "coma", "Disease", "D1"), (0, 6, "Drug A", "Chemical", "D1")]
    [doc], faults = read(lines(*rows), strict=True)
    assert get_types(doc) == ["Chemical"] and counts(faults) == {"mixed_types": 1, "without_relations": 1}


@pytest.mark.parametrize(
    "field,related,expected",
    [
        ("D1", (), ["D1"]),
        ("D1|D2", (), ["D1", "D2"]),
        ("D1;D2,D2", (), ["D1", "D2"]),
        ("D1|D2", ("D1|D2",), ["D1|D2"]),
        ("D1,D2", ("D1,D2",), ["D1,D2"]),
        ("c|SUB|A|1|G", (), ["c|SUB|A|1|G"]),
        ("|Allele|T|79", (), ["|Allele|T|79"]),
        ("p|DEL|439_443|", ("p|DEL|439_443|",), ["p|DEL|439_443|"]),
        ("rs12;c|SUB|A|1|G", (), ["rs12", "c|SUB|A|1|G"]),
        ("-1|D2", (), ["D2"]),
        ("-1", (), []),
    ],
)
def test_where_concepts_are_split(field, related, expected):
    assert split_concepts(field, set(related)) == expected


@pytest.mark.parametrize(
    "rows,faults",
    [
        ([(1, 7, "Drug A", "Chemical", "D1")], {"wrong_offsets": 1, "without_mentions": 1, "without_relations": 1}),
        ([(90, 94, "coma", "Disease", "D1")], {"wrong_offsets": 1, "without_mentions": 1, "without_relations": 1}),
        (
            [(0, 6, "Drug A", "Chemical", "D1"), ("CID", "D1", "D9")],
            {"lost_entities": 1, "lost_relations": 1},
        ),
    ],
)
def test_what_is_dropped(read, rows, faults):
    _, found = read(lines(*rows))
    assert counts(found) == faults and "in.txt: line 1 ('8')" in found.messages[0]
    with pytest.raises(ValueError, match="R116"):
        read(lines(*rows), strict=True)


@pytest.mark.parametrize(
    "text,problem",
    [
        ("8|a|No title.\n", "does not begin with a title"),
        (HEAD + "8|a|Again.\n", "line 3 is a second title or abstract"),
        (HEAD + "9\t0\t6\tDrug A\tChemical\tD1\n", "line 3 is of another document"),
        (HEAD + "8\tCID\tD1\n", "line 3 is neither"),
        (HEAD + "8\tCID\t\tD1\n", "line 3 is neither"),
        (HEAD + "free text\n", "line 3 is of another document"),
    ],
)
def test_malformed_documents_are_named(read, text, problem):
    docs, faults = read(text + "\n" + PUBTATOR)
    assert len(docs) == 1 and faults.skipped_documents == 1
    assert problem in faults.messages[0] and "in.txt: line 1" in faults.messages[0]
