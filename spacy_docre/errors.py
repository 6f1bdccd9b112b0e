"""Messages of all errors (R) and warnings (RW), by code, and the check of settings.

Codes rise from room to room: R101 docs and files, R111 readers, R130 scores, R150 packed models and configs, R160 pages,
R166 commands, R201 pipeline, R301 models and maths.
"""

from typing import Any, Collection, Optional

from spacy.errors import ErrorsWithCodes


class Errors(metaclass=ErrorsWithCodes):
    # Docs and files
    R101 = (
        "'{title}': relation {relation} joins entities {head} and {tail}, but only {n_entities} were annotated. "
        "Entity indices count from 0."
    )
    R102 = "Relations cannot be set from {value!r}. Use Relation objects or (head, label, tail) triples of entity index, label, entity index."
    R103 = "'{title}': the text of the gold document differs from the text of the predicted one at character {at}: {gold!r} against {pred!r}."
    R104 = "Can't read {path}: no such file or folder. Check the path (in configs: [paths]; in project.yml: the variables)."
    R105 = "{path}: {problem}"
    R107 = "No documents found in {path}. Check the path; without another format it holds .spacy files."
    R108 = "Can't read the places {value!r}. Give a prefix, or names that differ from the default such as mentions=sc,clusters=coref; there are {options}."

    # Readers
    R111 = "{path}: document {position} ('{title}') can't be used: {problem}. Correct it in the file; without --strict it is left out."
    R112 = "{path}: '{title}': relation {relation} between entities {head} and {tail} is dropped: {problem}."
    R113 = "{path}: '{title}': sentence {sentence} named as evidence of relation {relation} holds no text, so it is dropped. Sentences count from 0."
    R114 = '{path} is not a list of relation names: {problem}. Expected one JSON object from id to name, such as {{"P27": "country of citizenship"}}.'
    R115 = "{where} can't be used: {problem}. Correct it in the file; without --strict it is left out."
    R116 = "{where} ('{title}'): {problem}."
    R118 = "Can't write to {path}: expected a name that ends in .spacy or .jsonl, or a folder (no ending) for shards."
    R119 = "No document of {path} could be used, so nothing was written. {problem}"
    R120 = "{path} is not a .spacy file: {problem}. Make one with `python -m spacy_docre convert`."
    R121 = "{path} can't be read: {problem}."
    R122 = "{path} is also the input: name another file to write."
    R123 = (
        "{path} is damaged after its first {n} documents: {problem}. Perhaps it is cut off: download it again. To "
        "take only the documents before that: --limit {n}, or fewer."
    )
    R124 = "Can't draw {n} of {total} documents for dev."
    R125 = "{path} is not a folder of .json files. Name the folder that holds one file per document."

    # Scores
    R130 = "{path} holds no facts of spacy_docre: expected a file written by scoring.save_facts, or gold documents as .spacy."
    R131 = "--submission and --docred go together: the result file numbers entities as the original file in DocRED's format does."
    R132 = "{path} has no document '{title}' with the same tokens. Name the file that the corpus was converted from."

    # Packed models and configs
    R150 = "{path} exists and is not empty. Give another folder; a pipeline's folder can be replaced with --force."
    R151 = "Can't pack the component '{name}': {problem}. Pack pipelines of trained docre components and of components without a model."
    R152 = "{path} has the suspicious member {member!r}, so nothing of it was used."
    R153 = "{path} was packed in format {version}, this version of spacy_docre reads format {known}. Install the version it was packed with."
    R154 = "{path} does not fit the installed packages: component '{name}': {problem}."
    R155 = "Can't find the pipeline {model!r}: neither an installed package nor a folder. In a checkout, `make demo` installs the packed en_docre."
    R156 = "The relation {label!r} has two identifiers, {first} and {second}. Labels have to be unique."
    R157 = "{path} has no layout known here: expected redocred/train.json, redocred/dev.json and docred/rel_info.json, or *train.jsonl and *dev.jsonl."
    R158 = "{model} is a packed model, or what unzipping one leaves. Use `python -m spacy_docre unpack FILE.zip FOLDER` and name the folder."
    R159 = "{path} is not a packed model of spacy_docre: {problem}"

    # Pages
    R160 = "The relation {label!r} has weights for {n} mentions, but the document has {n_mentions}. Count the mentions of all entities, those of one after those of the one before."
    R161 = (
        "There are mention weights for {n} documents, but {n_docs} documents to show. Give None for documents without."
    )
    R162 = "Can't tell what {path} holds: expected .txt, .jsonl, .spacy, a folder of .spacy files, or - for text from stdin."
    R163 = "'{name}' has no heatmap to show: its head gives mentions no weights. Heads that do: spacy-docre.RsmanHead.v1 with entity_pooling = \"attention\"."
    R164 = "Can't write a page to {path}: expected a name that ends in .html."

    # Commands
    R166 = "{model} and the models before it know different relations, so that their scores can't be averaged. Known to one side only: {labels}"
    R167 = "{path} has to hold a JSON object, and holds a {kind}."
    R168 = "{path} has keys that a model card does not know: {unknown}. Known are {known}."
    R170 = (
        "{journal} holds what an interrupted run has done. Go on with --resume, or start anew with --force. If another run "
        "is at work, name another file."
    )
    R171 = "Can't read texts from {path}: {problem}. Expected a .txt or .jsonl file, a folder with .txt files, or -."
    R172 = (
        "The text has {n} characters, more than the pipeline's limit of {limit}. Split it, or raise `nlp.max_length` in a "
        "pipeline of your own."
    )
    R173 = "{model} has no component that finds relations (docre_relations). It has: {names}."
    R174 = (
        "Can't resume {path}: {problem}. Take the input, the pipeline and the options that it was begun with, name another "
        "file, or start anew with --force."
    )
    R175 = "Can't write to {path}: its name has to end in one of {options}, or be -."
    R176 = "{path} is there already. Name another file, or replace it with --force."
    R177 = "--resume goes on with what is there and --force drops it: give one of them."
    R178 = "{package} is not installed, so its registered functions cannot be listed. Install it: in a checkout, `pip install -e .`"
    R179 = "The pipeline writes no relations to {places}. It writes to: {written}."
    R180 = "Unknown component or registered function {value!r}. Choose from: {options}."

    # Pipeline
    R201 = (
        "'{name}' found no output of the transformer '{upstream}' on a document of {n_tokens} tokens. Add the "
        "component '{upstream}' before '{name}', and do not exclude or disable it. In training, list it in "
        "[training.annotating_components] if it is frozen, or if '{name}' is listed there. If it was sourced into a "
        "pipeline with fewer listeners, load it once more for that: source=spacy.load(...)."
    )
    R202 = "'{name}' got a batch other than the one that the transformer '{upstream}' was updated with."
    R203 = (
        "'{name}': no labels. The training data holds no {what}, and [initialize.components.{name}.labels] names none."
    )
    R204 = (
        "'{name}': the training data has labels that [initialize.components.{name}.labels] lacks: {labels}. "
        "Add them to the label file, or remove it to take all labels from the data."
    )
    R205 = "'{name}' has no trained model yet: call nlp.initialize() or load weights first."
    R206 = "{where}`{setting}` has to be {expected}, got {value!r}."
    R207 = "'{name}' cannot rehearse: rehearsal is not defined for span and pair scores. Train on a mix of old and new documents instead."
    R208 = (
        "Can't continue from {path}: component '{name}' has labels {new} there, but {old} here. "
        "Give the same label file in [initialize.components.{name}.labels]."
    )
    R209 = "Can't continue from {path}: {problem}"
    R210 = "'{name}' has nothing to learn from: no training document has {what}."
    R211 = "'{name}': label {label!r} is unknown to the trained model. Labels are fixed at initialisation."
    R212 = (
        "The pipeline has no component of the factory {kind}, only: {names}. Where gold layers are to stand in for it, "
        "name them: --given mentions,clusters,types."
    )
    R213 = "'{listeners}' listen to any transformer (upstream = \"*\"), and there are several: {transformers}. Name one as `upstream` in each listener."
    R214 = "'{listeners}' listen to any transformer (upstream = \"*\"), but '{name}' takes listeners that name it. Set upstream = \"{name}\" in them, or adopt_wildcards = true in '{name}'."
    R215 = (
        "'{name}': clusters are to be read from `doc._.{attr}`, which no component has registered. Add the component "
        "that writes it before this one, or change the setting `clusters`."
    )
    R216 = (
        "'{name}': {value!r} in a cluster of {title!r} is not a mention. A mention is a Span or a pair (start, end) of "
        "character offsets."
    )
    R217 = "There is nothing to calibrate on: of the relations that the best thresholds keep, none lies between two entities that the gold documents have."
    R218 = (
        "No combination of thresholds finds a right relation, so there is nothing to choose by. Are the corpus's labels "
        "those of the model, and are its relations annotated? Look with `python -m spacy_docre evaluate ... --per-type`."
    )
    R219 = (
        "'{name}' needs the last layer's attention with its gradient, but '{upstream}' does not give it. Let it listen, by "
        "spacy-docre.TransformerListener.v1, to a component of the factory docre_transformer that stands before it and is "
        "initialised. Such a one takes over the encoder of a stock `transformer`: see docs/pipelines.md."
    )

    # Models and maths
    R301 = "Scores of shape {logits} do not fit labels of shape {gold}. Scores with a threshold class have one column more than the labels, others as many."
    R302 = "The width {width} is not a multiple of block_size {block_size}."
    R303 = (
        "Can't load the encoder {name!r}: {problem}. Give a Hugging Face name, a folder with config.json or with a spaCy "
        "pipeline, or 'package:NAME' for what lies inside an installed Python package."
    )
    R306 = "The encoder {name!r} takes {limit} word pieces, too few for a window of at least {minimum} besides its special pieces."
    R307 = (
        "The encoder {name!r} (of the family {family}) does not serve: {problem}. Take one in which every word piece of "
        "a window attends to every other, such as BERT, RoBERTa, XLM-R, DistilBERT, ELECTRA, ALBERT, MPNet, DeBERTa."
    )
    R308 = 'The encoder {name!r} has no word piece for the marker {marker!r}. Choose another: marker = "#", say.'
    R311 = (
        "The contrastive loss needs the vectors z_head and z_tail of entity pairs, but this head gives only: {given}. "
        "Take ATLOP's (spacy-docre.AtlopHead.v1, or PemsclHead.v1, its other name), or leave that loss out: contrast_weight = 0."
    )


class Warnings(metaclass=ErrorsWithCodes):
    RW01 = "'{name}': {n} document(s) have no sentence boundaries, so each is taken as one sentence. Add the 'sentencizer' before it."
    RW02 = (
        "'{name}': {n} document(s) lack what an earlier component should have set ({what}); they get an empty result."
    )
    RW03 = (
        "Of {n} gold mentions, {lost} do not lie on token boundaries of the pipeline's tokenizer and {n_long} are longer "
        "than max_span_length ({longest} tokens): the former are not trained on, neither can be found."
    )
    RW04 = 'spacy_docre needs the attribute Doc._.{attr}, but that name is taken, by another package or by a view on other clusters. Give the component another name for it: {setting} = "...".'
    RW05 = "thinc has no cupy, so spaCy and spacy_docre stay on the CPU although torch sees a GPU. Install cupy for your CUDA version to use it."
    RW06 = "'{name}': training documents have labels the model does not know ({labels}); they are not trained on."
    RW07 = "The tokenizer of '{name}' gives no character offsets (not a fast tokenizer): tokens are split one by one, which is slower."
    RW08 = "{n} given gold mention(s) do not lie on token boundaries of the pipeline's tokenizer, and are left out."
    RW09 = (
        "'{name}': {n} of {total} entity pairs of a long document ({title}) are not looked at: they are more than max_pair_distance ({limit}) "
        "tokens apart, or beyond max_entities. Counts of each document are in doc._.docre_skipped."
    )
    RW10 = "The encoder {name!r} has no weights for {n} of its parameters ({first}, ...): they start at random. Check whether its files belong together."
    RW11 = "The gradient of {what} is infinite or not a number: {n} update(s) left out so far. If there are many, lower the learning rate, or turn mixed_precision off."
    RW12 = (
        "'{name}': {n} mention pairs of a long document ({title}) are not compared: they are more than max_pair_distance ({limit}) tokens apart "
        "and share no name token. Counts of each document are in doc._.docre_skipped."
    )
    RW13 = "'{name}': {n} mentions of a document ({title}) are left out: it has more than max_mentions ({share}) times its tokens. Raise the threshold, or max_mentions."
    RW14 = (
        "'{name}' has another encoder, head or size than in {path}: it starts afresh, without the weights from there."
    )
    RW15 = (
        "'{name}' finds no named entities in {what} of {title!r}: no component has written any. Documents without are "
        "taken to have none; this is said once."
    )
    RW16 = (
        "'{name}': {n} mentions of clusters in {title!r} begin or end inside a token and are left out. Each Doc counts "
        "its own in `doc._.docre_skipped`; this is said once."
    )
    RW17 = "{path}: not all of it could be used: {found}. `python -m spacy_docre convert` names each."
    RW18 = (
        "{n} of {total} gold relations have a label that the model does not know, so they count as missed: {n_labels} of "
        "{n_all} labels ({named}). Perhaps the corpus was converted without --rel-info."
    )
    RW19 = "{path}: no document has the gold layers {layers} that `given` names, at {places}. If the files keep them under other names, say so: --places, or the reader's settings spans_key and span_cluster_prefix."


def check(setting: str, ok: bool, expected: str, value: Any, where: str = "") -> None:
    """Raise an error that says what a setting has to be, unless its value is allowed.

    setting (str): Name of the setting.
    ok (bool): Whether the value is allowed.
    expected (str): What is allowed, as in "`setting` has to be ...".
    value (Any): The value given.
    where (str): Component, head or file that has the setting; "" where nothing is known.
    RAISES (ValueError): If the value is not allowed.
    """
    if not ok:
        place = f"'{where}': " if where else ""
        raise ValueError(Errors.R206.format(where=place, setting=setting, expected=expected, value=value))


def check_choice(setting: str, value: Any, options: Collection[str], where: str = "") -> None:
    """Check that a setting is one of its options; see `check`."""
    check(setting, value in options, f"one of {', '.join(options)}", value, where)


def check_number(
    setting: str,
    value: float,
    *,
    least: Optional[float] = None,
    above: Optional[float] = None,
    most: Optional[float] = None,
    where: str = "",
) -> None:
    """Check that a setting is a number within bounds; see `check`.

    least, above, most (Optional[float]): It has to be at least, above, at most that; None for no bound.
    """
    # Not written as `value < least`: NaN is smaller than nothing.
    ok = (least is None or value >= least) and (above is None or value > above) and (most is None or value <= most)
    bounds = {"at least": least, "above": above, "at most": most}
    expected = " and ".join(f"{word} {bound}" for word, bound in bounds.items() if bound is not None)
    check(setting, ok, expected, value, where)
