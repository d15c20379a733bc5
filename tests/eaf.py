"""ELAN files for tests: one with a bit of everything, short ones made of tiers, damaged ones."""

import random
import re
from collections.abc import Iterable, Sequence
from xml.sax.saxutils import escape, quoteattr

SAMPLE = """<?xml version="1.0" encoding="UTF-8"?>
<!-- kept by hand -->
<ANNOTATION_DOCUMENT AUTHOR="me &amp; you" DATE="2020-01-01T00:00:00+01:00" FORMAT="3.0"
    VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
    xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
    <LICENSE LICENSE_URL="">as is</LICENSE>
    <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
        <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/their/My%20rec.wav" MIME_TYPE="audio/x-wav"
            RELATIVE_MEDIA_URL="./My%20rec.wav"/>
        <PROPERTY NAME="URN">urn:nl-mpi-tools-elan-eaf:1</PROPERTY>
        <PROPERTY NAME="lastUsedAnnotationId">12</PROPERTY>
    </HEADER>
    <TIME_ORDER>
        <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
        <TIME_SLOT TIME_SLOT_ID="ts2"/>
        <TIME_SLOT TIME_SLOT_ID="ts3"/>
        <TIME_SLOT TIME_SLOT_ID="ts4" TIME_VALUE="2000"/>
        <TIME_SLOT TIME_SLOT_ID="ts5" TIME_VALUE="2000"></TIME_SLOT>
        <TIME_SLOT TIME_SLOT_ID="ts6" TIME_VALUE="2500"/>
        <TIME_SLOT TIME_SLOT_ID="ts7" TIME_VALUE="3500"/></TIME_ORDER>
    <TIER LINGUISTIC_TYPE_REF="utterance" PARTICIPANT="Ana" TIER_ID="Ana's words"
        DEFAULT_LOCALE="en">
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" LANG_REF="eng"
                TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts4">
                <ANNOTATION_VALUE>one two
three &lt;3</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts5" TIME_SLOT_REF2="ts6">
                <ANNOTATION_VALUE></ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="timed" PARENT_REF="Ana's words" TIER_ID="timed">
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
                <ANNOTATION_VALUE>one</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
                <ANNOTATION_VALUE>two</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a5" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
                <ANNOTATION_VALUE>three</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="word" PARENT_REF="Ana's words" TIER_ID="words">
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a7" ANNOTATION_REF="a1" PREVIOUS_ANNOTATION="a6">
                <ANNOTATION_VALUE>two</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a6" ANNOTATION_REF="a1">
                <ANNOTATION_VALUE>one</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a8" ANNOTATION_REF="a1" PREVIOUS_ANNOTATION="a7">
                <ANNOTATION_VALUE>three</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="gloss" PARENT_REF="words" TIER_ID="pos">
        <ANNOTATION>
            <REF_ANNOTATION ANNOTATION_ID="a9" ANNOTATION_REF="a7" CVE_REF="c1">
                <ANNOTATION_VALUE>num</ANNOTATION_VALUE>
            </REF_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="utterance" PARTICIPANT="Béa" TIER_ID="Béa's words">
        <ANNOTATION>
            <ALIGNABLE_ANNOTATION ANNOTATION_ID="a10" TIME_SLOT_REF1="ts6" TIME_SLOT_REF2="ts7">
                <ANNOTATION_VALUE>yes</ANNOTATION_VALUE>
            </ALIGNABLE_ANNOTATION>
        </ANNOTATION>
    </TIER>
    <TIER LINGUISTIC_TYPE_REF="note" TIER_ID="notes"/>
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="utterance"
        TIME_ALIGNABLE="true"/>
    <LINGUISTIC_TYPE CONSTRAINTS="Time_Subdivision" GRAPHIC_REFERENCES="false"
        LINGUISTIC_TYPE_ID="timed" TIME_ALIGNABLE="true"/>
    <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Subdivision" GRAPHIC_REFERENCES="false"
        LINGUISTIC_TYPE_ID="word" TIME_ALIGNABLE="false"/>
    <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Association" CONTROLLED_VOCABULARY_REF="P"
        GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="gloss" TIME_ALIGNABLE="false"/>
    <LINGUISTIC_TYPE GRAPHIC_REFERENCES="false" LINGUISTIC_TYPE_ID="note" TIME_ALIGNABLE="true"/>
    <LOCALE COUNTRY_CODE="US" LANGUAGE_CODE="en"/>
    <LANGUAGE LANG_DEF="x" LANG_ID="eng" LANG_LABEL="English"/>
    <CONSTRAINT DESCRIPTION="t" STEREOTYPE="Time_Subdivision"/>
    <CONSTRAINT DESCRIPTION="s" STEREOTYPE="Symbolic_Subdivision"/>
    <CONSTRAINT DESCRIPTION="a" STEREOTYPE="Symbolic_Association"/>
    <CONTROLLED_VOCABULARY CV_ID="P">
        <DESCRIPTION LANG_REF="eng"/>
        <CV_ENTRY_ML CVE_ID="c1"><CVE_VALUE LANG_REF="eng">num</CVE_VALUE></CV_ENTRY_ML>
    </CONTROLLED_VOCABULARY>
    <REF_LINK_SET LINK_SET_ID="rl1" LINK_SET_NAME="coreference">
        <CROSS_REF_LINK REF1="a6" REF2="a7" REF_LINK_ID="l1"/>
    </REF_LINK_SET>
</ANNOTATION_DOCUMENT>
"""
"""Format 3.0, valid; a7 stands before a6, which it follows."""
SAMPLE_2_8 = (
    SAMPLE[: SAMPLE.index("    <REF_LINK_SET")].replace('"3.0"', '"2.8"').replace("v3.0", "v2.8")
    + "</ANNOTATION_DOCUMENT>\n"
)
"""Format 2.8, which has no links between annotations."""
N_SAMPLE = 10
"""Annotations of either."""

Rows = Iterable[tuple[float, float, str]]


def eaf(
    tiers: dict[str, Rows], media: Sequence[str] = (), types: dict[str, str] | None = None
) -> str:
    """An ELAN file with root tiers of (from, to, label) in seconds.

    A tier's name may be "name@participant"; `types` gives linguistic types by names of tiers.
    """
    types = types or {}
    slots: list[str] = []
    body: list[str] = []
    for name, rows in tiers.items():
        kind = quoteattr(types.get(name, "default-lt"))
        who = name.partition("@")[2]
        participant = f" PARTICIPANT={quoteattr(who)}" if who else ""
        body.append(f"<TIER LINGUISTIC_TYPE_REF={kind}{participant} TIER_ID={quoteattr(name)}>")
        for onset, offset, label in rows:
            n = len(slots)
            slots += [
                f'<TIME_SLOT TIME_SLOT_ID="ts{n + i}" TIME_VALUE="{round(time * 1000)}"/>'
                for i, time in enumerate((onset, offset))
            ]
            body.append(
                f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{n}" '
                f'TIME_SLOT_REF2="ts{n + 1}"><ANNOTATION_VALUE>{escape(label)}</ANNOTATION_VALUE>'
                "</ALIGNABLE_ANNOTATION></ANNOTATION>"
            )
        body.append("</TIER>")
    linked = "".join(
        f'<MEDIA_DESCRIPTOR MEDIA_URL="{url}" MIME_TYPE="audio/x-wav"/>' for url in media
    )
    kinds = "".join(
        f'<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID={quoteattr(kind)} TIME_ALIGNABLE="true"/>'
        for kind in sorted({*types.values(), "default-lt"})
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" '
        'DATE="2020-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0">\n'
        f"<HEADER>{linked}</HEADER>\n<TIME_ORDER>{''.join(slots)}</TIME_ORDER>\n"
        + "\n".join(body)
        + f"\n{kinds}</ANNOTATION_DOCUMENT>\n"
    )


def mutated(rng: random.Random, text: str) -> bytes:
    """A text with one or two changes: of characters, attributes, lines, whole annotations."""
    for _ in range(rng.choice([1, 1, 2])):
        at, other = rng.randrange(len(text)), rng.randrange(len(text))
        lines = text.splitlines(keepends=True)
        quoted = re.split(r"(\"[^\"]*\")", text)
        whole = re.split(r"(<ANNOTATION>.*?</ANNOTATION>)", text, flags=re.DOTALL)
        match rng.randrange(9):
            case 0:
                text = text[:at] + rng.choice("<>\"'&;/ a1\x00\x1bé") + text[at + 1 :]
            case 1:
                text = text[:at] + text[at + rng.randint(1, 40) :]
            case 2:
                text = text[:at] + text[other : other + rng.randint(1, 200)] + text[at:]
            case 3:
                i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
                lines[i], lines[j] = lines[j], lines[i]
                text = "".join(lines)
            case 4:
                text = text[:at]
            case 5 | 6:  # a value takes another's place, or one of its digits changes
                i, j = (1 + 2 * rng.randrange(len(quoted) // 2) for _ in range(2))
                new = re.sub(r"\d", str(rng.randrange(10)), quoted[i], count=1)
                quoted[i] = rng.choice([quoted[j], new])
                text = "".join(quoted)
            case 7 | 8:  # an annotation goes, or comes again with another id
                i = 1 + 2 * rng.randrange(len(whole) // 2)
                again = re.sub(r'(ANNOTATION_ID="\w+)', r"\1b", whole[i])
                whole[i] = rng.choice(["", again, whole[i] + again])
                text = "".join(whole)
        if len(text) < 10 or "<ANNOTATION>" not in text:
            break
    return text.encode()
