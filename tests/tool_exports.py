"""The same document as each annotation tool exports it, in the layouts their documentation shows."""

import json

TEXT = "Ada 🌍 Berg left Oslo. She loved Oslo."
MENTIONS = {"m1": (0, 10, "PER"), "m2": (16, 20, "LOC"), "m3": (22, 25, "PER"), "m4": (32, 36, "LOC")}
PAIRS = [("m3", "COREF", "m1"), ("m1", "knows", "m2"), ("m3", "knows", "m4")]
TOKENS = [(0, 3), (4, 5), (6, 10), (11, 15), (16, 20), (20, 21), (22, 25), (26, 31), (32, 36), (36, 37)]
RECORD = {
    "id": "7",
    "text": TEXT,
    "entities": [
        {"label": "PER", "mentions": [[0, 10], [22, 25]]},
        {"label": "LOC", "mentions": [[16, 20], [32, 36]]},
    ],
    "relations": [
        {
            "head": 0,
            "label": "knows",
            "kb_id": "",
            "tail": 1,
            "score": 1.0,
            "sentences": [],
            "evidence": [
                {"head": [0, 10], "tail": [16, 20], "weight": 0.5},
                {"head": [22, 25], "tail": [32, 36], "weight": 0.5},
            ],
        }
    ],
}


def prodigy_span(name, mentions=MENTIONS):
    start, end, label = mentions[name]
    first = next(i for i, token in enumerate(TOKENS) if token[0] == start)
    last = next(i for i, token in enumerate(TOKENS) if token[1] == end)
    return {"start": start, "end": end, "token_start": first, "token_end": last, "label": label}


def prodigy_relation(head, label, child):
    head, child = prodigy_span(head), prodigy_span(child)
    ends = {"head": head["token_end"], "child": child["token_end"], "head_span": head, "child_span": child}
    return {**ends, "color": "#ffd882", "label": label}


def prodigy_task(pairs=PAIRS, **changes):
    """What rel.manual leaves in the database; pairs: relations between MENTIONS."""
    tokens = [
        {"text": TEXT[s:e], "start": s, "end": e, "id": i, "ws": TEXT[e : e + 1] == " ", "disabled": False}
        for i, (s, e) in enumerate(TOKENS)
    ]
    spans = [{"text": TEXT[s:e], "type": "span", **prodigy_span(name)} for name, (s, e, _) in MENTIONS.items()]
    task = {
        "text": TEXT,
        "meta": {"id": "7"},
        "_input_hash": -400334998,
        "_task_hash": 1861007191,
        "tokens": tokens,
        "spans": spans,
        "_session_id": "rel-anna",
        "_annotator_id": "anna",
        "_view_id": "relations",
        "relations": [prodigy_relation(*pair) for pair in pairs],
        "answer": "accept",
    }
    return {key: value for key, value in {**task, **changes}.items() if value is not ...}


def write_prodigy(path, tasks):
    path.write_text("".join(json.dumps(task) + "\n" for task in tasks), encoding="utf8")


def region(name, start, end, *labels, text=None):
    value = {"start": start, "end": end, "text": TEXT[start:end] if text is None else text, "labels": list(labels)}
    names = {"from_name": "label", "to_name": "text"}
    return {"value": value, "id": name, **names, "type": "labels", "origin": "manual"}


def arrow(start, end, *labels, direction="right"):
    return {"from_id": start, "to_id": end, "type": "relation", "direction": direction, "labels": list(labels)}


def label_studio_answer(result=None, **changes):
    if result is None:
        result = [region(name, *mention) for name, mention in MENTIONS.items()]
        result += [arrow(head, tail, label) for head, label, tail in PAIRS]
    answer = {"id": 1001, "completed_by": 10, "result": result, "was_cancelled": False, "ground_truth": False}
    return {**answer, "lead_time": 4.288, "result_count": 7, "task": 7, **changes}


def label_studio_task(*answers, **changes):
    answers = list(answers or [label_studio_answer()])
    task = {"id": 7, "data": {"text": TEXT}, "project": 83, "annotations": answers, "predictions": []}
    return {key: value for key, value in {**task, **changes}.items() if value is not ...}


def write_label_studio(path, tasks):
    path.write_text(json.dumps(tasks), encoding="utf8")


ANN = """T1\tPER 0 10\tAda 🌍 Berg
T2\tLOC 16 20\tOslo
T3\tPER 22 25\tShe
T4\tLOC 32 36\tOslo
*\tEquiv T1 T3
R1\tknows Arg1:T1 Arg2:T2
R2\tknows Arg1:T3 Arg2:T4\t
"""


def write_brat(path, ann, text=TEXT, name="7"):
    """Line ends as they are given."""
    file = path / f"{name}.ann"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(ann.encode("utf8", errors="surrogatepass"))
    file.with_suffix(".txt").write_bytes(text.encode("utf8"))
