"""Reads WordNet's database files (wndb(5WN)): one document per synset, in file order."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FILES = ("noun", "verb", "adj", "adv")
PARTS = {"n": "noun", "v": "verb", "a": "adj", "s": "adj_satellite", "r": "adv"}

# lexnames(5WN): the file number of a synset is an index into these.
DOMAINS = """adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute
noun.body noun.cognition noun.communication noun.event noun.feeling noun.food noun.group
noun.location noun.motive noun.object noun.person noun.phenomenon noun.plant noun.possession
noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body
verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact
verb.creation verb.emotion verb.motion verb.perception verb.possession verb.social verb.stative
verb.weather adj.ppl""".split()


@dataclass
class Synset:
    doc: dict
    examples: list[str]


def synsets(folder: Path) -> Iterator[Synset]:
    for name in FILES:
        with open(folder / f"data.{name}", encoding="utf-8") as lines:
            for line in lines:
                # The licence at the top is indented.
                if not line.startswith(" "):
                    yield _synset(line)


def _synset(line: str) -> Synset:
    data, gloss = line.rstrip("\n").split("|", 1)
    fields = data.split()
    offset, domain, part = fields[0], DOMAINS[int(fields[1])], fields[2]
    words = int(fields[3], 16)
    lemmas = [_lemma(word) for word in fields[4 : 4 + 2 * words : 2]]
    at = 4 + 2 * words
    # symbol, offset, part of speech, source and target
    pointers = [fields[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(fields[at]))]
    hypernyms = [p[1] + p[2] for p in pointers if p[0] in ("@", "@i")]
    topics = [p[1] + p[2] for p in pointers if p[0] in (";c", "-c")]
    # A gloss is a definition, then examples in quotes.
    definition = re.split(r';\s*"', gloss, maxsplit=1)[0].strip().rstrip(";")
    examples = re.findall(r'"([^"]*)"', gloss)
    doc = {
        "id": offset + part,
        "text": f"{', '.join(lemmas)}: {definition}",
        "lemmas": lemmas,
        "pos": PARTS[part],
        "domain": domain,
        "gloss_len": len(definition),
        "lemma_count": len(lemmas),
        "pointers": len(pointers),
        "example_count": len(examples),
        "hypernym": hypernyms[0] if hypernyms else None,
        "topics": topics,
    }
    return Synset(doc, examples)


def _lemma(word: str) -> str:
    """Without the marker of where an adjective stands, and with spaces."""
    return re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ")
