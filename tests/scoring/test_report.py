from spacy_docre.scoring.report import table1, table_cuts, table_per_type


def test_table_of_levels():
    scores = {"mentions_p": 0.5, "mentions_r": 1.0, "mentions_f": 2 / 3, "relations_f": None}
    lines = table1(scores).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["Level", "P", "R", "F1"]
    assert [c.strip("-") for c in cells[1]] == ["", ":", ":", ":"]
    assert cells[2] == ["Mentions", "50.00", "100.00", "66.67"]
    assert [row[1:] for row in cells[3:]] == [["-", "-", "-"]] * 5
    assert len({len(line) for line in lines}) == 1  # aligned


def test_table_of_cuts():
    lines = table_cuts({"relations_ign_f": 0.25, "relations_f_m1": None}).splitlines()
    assert [line.split("|")[2].strip() for line in lines[2:]] == ["-", "25.00", *["-"] * 8]


def test_table_per_relation():
    per_type = {"r|1": {"p": 1.0, "r": 0.5, "f": 2 / 3}, "a": {"p": None, "r": None, "f": None}}
    lines = table_per_type({"relations_per_type": per_type}).splitlines()
    assert lines[2].startswith("| a ") and lines[3].replace(" ", "") == "|r\\|1|100.00|50.00|66.67|"
    assert len(table_per_type({"relations_per_type": None}).splitlines()) == 2
