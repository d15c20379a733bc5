"""Labels that are no phones, as aligners write them."""

import pytest

from zerochain.formats.phones import Phone, Phones
from zerochain.metrics.items import phone_items, triphone_items
from zerochain.metrics.silences import SILENCES, chosen, recorded, without_position

CONVENTIONS = {
    "TIMIT": ["h#", "pau", "epi"],
    "Praat": ["", "#", "_", "<pau>", "ssil"],
    "MFA": ["sil", "sp", "spn", "<eps>"],
    "Kaldi": ["SIL", "SIL_B", "SIL_S", "SPN_S", "NSN", "LAU", "<eps>"],
    "WebMAUS": ["<p:>", "<P:>", "<usb>", "<nib>"],
    "DoReCo": ["****", "<p:>", "<<wip>>", "<<fp>uh>", "<<fp>>", "<<fs>so ma>"],
    "Buckeye": ["SIL", "IVER", "VOCNOISE", "NOISE", "UNKNOWN", "LAUGH", "<SIL>", "{B_TRANS}",
                "{E_TRANS}", "<LAUGH-yeah>", "<EXCLUDE-name>", "<VOCNOISE>", "<IVER>"],
    "P2FA and FAVE": ["sp", "{SL}", "{NS}", "{LG}", "{CG}", "{BR}", "{LS}"],
    "Sphinx": ["SIL", "<sil>", "+SPN+", "+NSN+", "++NOISE++", "++BREATH++"],
    "Gentle": ["sil_S", "oov_S"],
    "Kaldi's recipes": ["!SIL", "<SPOKEN_NOISE>", "[SILENCE]", "[SPN]", "[NSN]"],
}  # fmt: skip
PHONES = ["a", "@", "{", "}", "?", "2", "<", "s", "S", "E", "b_E", "p_S", "_B", "<cl>", "n", "ʔ",
          "+", "k+", "+p", "a+b"]  # fmt: skip


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_pauses_are_known_in_any_case(convention: str) -> None:
    for label in CONVENTIONS[convention]:
        for spelled in (label, label.lower(), label.upper(), label.title()):
            assert spelled in SILENCES


@pytest.mark.parametrize("label", PHONES)
def test_symbols_of_phones_are_none(label: str) -> None:
    assert label not in SILENCES


def test_a_list_of_one_s_own_is_taken_as_it_is() -> None:
    assert chosen(None) is SILENCES
    assert chosen(sorted(SILENCES)) is chosen(recorded(SILENCES)) is SILENCES
    assert chosen(recorded({"b", "a"})) == {"a", "b"}
    assert recorded({"b", "a"}) == ["a", "b"]
    assert len(list(SILENCES)) == len(SILENCES) == len(set(SILENCES))
    own = chosen("SIL,e\u0301")
    assert set(own) == {"SIL", "é"}
    assert "sil" not in own
    assert set(chosen("SIL, sp ,noise")) == {"SIL", "sp", "noise"}


def test_word_positions() -> None:
    labels = ["AA1_B", "a_I", "t͡s_E", "SIL_S", "a_X", "_B", "AA1"]
    assert [without_position(x) for x in labels] == ["AA1", "a", "t͡s", "SIL", "a_X", "_B", "AA1"]


@pytest.mark.parametrize("make", [triphone_items, phone_items])
def test_whichever_way_pauses_are_written_the_items_are_the_same(make) -> None:
    def line(pause: str) -> Phones:
        labels = [pause, "a", "b", "c", pause, "d", "e", "f", pause]
        return Phones({"u": [Phone(i / 10, (i + 1) / 10, p) for i, p in enumerate(labels)]})

    wanted, excluded = make(line("SIL"), {"u": "ana"})
    for labels in CONVENTIONS.values():
        for label in labels:
            items, left_out = make(line(label), {"u": "ana"})
            assert [item.phone for item in items] == [item.phone for item in wanted]
            assert left_out == excluded
