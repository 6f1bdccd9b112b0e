"""What a bare import registers."""

import subprocess
import sys

from spacy.tokens import DocBin

from toy import make_doc

READ = """
import sys, spacy
from spacy.tokens import DocBin
import spacy_docre
(doc,) = DocBin().from_disk(sys.argv[1]).get_docs(spacy.blank("en").vocab)
assert doc._.relations_data and doc._.relations and doc._.entities
assert doc.to_json(underscore=["relations_data"])["_"]["relations_data"]
"""


def test_stored_relations_without_a_pipeline(tmp_path):
    DocBin(docs=[make_doc()], store_user_data=True).to_disk(tmp_path / "a.spacy")
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path / "a.spacy")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
