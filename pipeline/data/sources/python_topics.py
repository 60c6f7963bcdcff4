"""Sentences of Python's own manual, the text of its `help()`, in English."""

import re

from pipeline.data.sources.lines import Lines

MODALITY = "text"

_MARKS = re.compile(r"[*`|_]{1,2}|\\(?=.)")
_SENTENCE = re.compile(r"(?<![\w,] )[A-Z](?:[^.!?{}<>\[\]=]|\.(?=\w)){8,240}[.!?](?=\s|$)")


class PythonTopics(Lines):
    """About 2,000 sentences of the help topics of the Python that runs, in lower case.

    Words and the marks , . ( ) ' are separate; code and tables are left out. Other versions of
    Python have other sentences, and another fingerprint.
    """

    def __init__(self):
        from pydoc_data.topics import topics

        found: dict[str, None] = {}  # some topics repeat parts of others
        for _, topic in sorted(topics.items()):
            for block in re.split(r"\n\s*\n", topic):
                if ">>>" not in block and "::=" not in block:  # code and grammar
                    plain = _MARKS.sub("", " ".join(block.split()))
                    found |= dict.fromkeys(map(_spaced, _SENTENCE.findall(plain)))
        super().__init__("\n".join(found), "Python's help topics")


def _spaced(sentence: str) -> str:
    return " ".join(re.findall(r"[a-z0-9-]+|[^\sa-z0-9]", sentence.lower()))


create = PythonTopics
