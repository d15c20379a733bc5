#!/usr/bin/env bash
# What pympi-ling, the library for ELAN's .eaf files, makes of references and of what it doesn't know.
#
# Surprising:
# 1. It doesn't give the times that ELAN shows: children on a tier of Symbolic_Subdivision all have
#    their parent's whole time instead of shares of it, and time slots without TIME_VALUE have None.
# 2. It writes a file without the links to controlled vocabularies (CVE_REF), the languages of
#    annotations (LANG_REF), sets of links (REF_LINK_SET) and comments that it read, and says
#    nothing.
#
# zerochain reads .eaf files itself (zerochain/exchange/elan.py), by ELAN's rules for times, and
# writes into a copy of the text, so that what it doesn't know stays as it is.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install -q pympi-ling==1.71
cat > a.eaf <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2020-01-01T00:00:00+01:00" FORMAT="3.0" VERSION="3.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:noNamespaceSchemaLocation="http://www.mpi.nl/tools/elan/EAFv3.0.xsd">
  <!-- by hand -->
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds"/>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1000"/>
    <TIME_SLOT TIME_SLOT_ID="ts2"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="2000"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="utt" TIER_ID="utt">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" LANG_REF="eng" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts3"><ANNOTATION_VALUE>one two</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="timed" PARENT_REF="utt" TIER_ID="timed">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>one</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3"><ANNOTATION_VALUE>two</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="word" PARENT_REF="utt" TIER_ID="words">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1" CVE_REF="c1"><ANNOTATION_VALUE>one</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a5" ANNOTATION_REF="a1" PREVIOUS_ANNOTATION="a4"><ANNOTATION_VALUE>two</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
  <LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="utt" TIME_ALIGNABLE="true"/>
  <LINGUISTIC_TYPE CONSTRAINTS="Time_Subdivision" LINGUISTIC_TYPE_ID="timed" TIME_ALIGNABLE="true"/>
  <LINGUISTIC_TYPE CONSTRAINTS="Symbolic_Subdivision" LINGUISTIC_TYPE_ID="word" TIME_ALIGNABLE="false"/>
  <LANGUAGE LANG_DEF="" LANG_ID="eng" LANG_LABEL="English"/>
  <CONSTRAINT DESCRIPTION="" STEREOTYPE="Time_Subdivision"/>
  <CONSTRAINT DESCRIPTION="" STEREOTYPE="Symbolic_Subdivision"/>
  <REF_LINK_SET LINK_SET_ID="rl"><CROSS_REF_LINK REF_LINK_ID="l1" REF1="a4" REF2="a5"/></REF_LINK_SET>
</ANNOTATION_DOCUMENT>
XML
cat > try.py <<'PY'
from importlib.metadata import version
from pathlib import Path

import pympi

print("pympi-ling", version("pympi-ling"))
theirs = pympi.Eaf("a.eaf")
words, timed = (theirs.get_annotation_data_for_tier(name) for name in ("words", "timed"))
print("pympi:", words, timed)  # ELAN shows 1000–1500 and 1500–2000 for both
assert [row[:2] for row in words] == [(1000, 2000), (1000, 2000)]
assert [row[:2] for row in timed] == [(1000, None), (None, 2000)]
theirs.to_file("b.eaf")
before, after = Path("a.eaf").read_text(), Path("b.eaf").read_text()
for what in ('CVE_REF="c1"', 'LANG_REF="eng"', "REF_LINK_SET", "by hand"):
    print(what, "is", "kept" if what in after else "lost")
    assert what in before
    assert what not in after
PY
venv/bin/python try.py
