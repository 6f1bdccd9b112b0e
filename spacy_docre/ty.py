"""Former home of the views and batches; kept until 0.3. See `spacy_docre.doc.views` and `spacy_docre.batches`."""

from .arrays import SpanIndices
from .batches import CandidateBatch, EntityBatch, MentionPairBatch, PairBatch, SpanBatch
from .doc.views import Entity, Evidence, Relation
