"""What the words in the name of a file mean: sequences, contrast agents, masks, labels, and words of preparation."""

from __future__ import annotations

import re
from collections.abc import Mapping

_ACQUIRED = "(tse|se|fse|mprage|mpr|ffe|tfe|space|f?spgr)?"
_SEQUENCES = {
    "t1": re.compile(rf"t1(w|wi|n)?{_ACQUIRED}"),
    "t1ce": re.compile(
        r"t1(w|wi)?(ce|c|c\+|\+c|gd|gado?|gadolinium|ks|km|contrast|post(gd|gad|contrast|kontrast|km)?)"
    ),
    "t2": re.compile(rf"t2(w|wi)?{_ACQUIRED}"),
    "flair": re.compile(r"(t2)?(flair|tirm|darkfluid)w?|t2f|fluid"),  # "t2_tirm_dark-fluid": a FLAIR of Siemens
    "pd": re.compile(r"pdw?"),
}
_ALONE = {  # what a word says where no other names a sequence; gadolinium is given for a T1
    **dict.fromkeys(("mprage", "spgr", "fspgr", "bravo"), "t1"),
    **dict.fromkeys(("gd", "gad", "gado", "gadolinium"), "t1ce"),
    "dp": "pd",
}
_MODALITIES = set(
    "dti swi swan bold asl cbf cbv perf perfusion ct cta pet mra mrv tof angio sbref epi inplanet1 inplanet2 "
    "phasediff magnitude magnitude1 magnitude2 phase1 phase2 fieldmap pwi dsc dce".split()
)  # another sequence where the name states none; beside one they may be the name of a study
_OTHERS = re.compile(
    r"(t1|t2|t2star|r1|r2|r2star|t?b[01])?map(s|ping)?|t1rho|t2\*w?|t2star\w*|t2s|unit1|mp2rage|pdt2|stir|ir"
    r"|dwi|diff(usion)?|ep2d|adc|tracew?|b(0|[5-9]00|[1-3][05]00)|boldref|m0(scan)?|mtr|mtsat"
    r"|loc|locali[sz]er|scout|survey|calibration|templates?"
    r"|jacobians?|\d*(inverse)?warp|mixeltype|biasfield|voided|skull"
)  # another sequence or a map, also where a name says of which sequence: T1_map, t1_1Warp, ep2d_diff_T2
_T2_STAR = set("star ffe gre hemo fl2d medic".split())  # what makes a T2 a T2*
_CONTRAST = re.compile(
    r"post|c\+|\+c|km|ks|(post|[ck]m?)?(gd|gado?|gadolinium)|gadovist|(post)?[ck]ontrast|postc|ce|enhanced"
)
_NO_CONTRAST = set("op operative operation surg surgery surgical treatment therapy rt".split())  # right after "post"
COPIED = re.compile(
    r"[-_. ](bias(_?corr(ected)?)?|restored?|denoised|defaced|masked|norm(ali[sz]ed)?|warped|resampled)(?=[-_. ]|$)",
    re.IGNORECASE,
)
"""A word for a copy of a scan that was put right or moved; ``bias`` is UCSF-PDGM's for one without its shading."""
PREPARED = set(
    "brain bet hdbet synthstrip deepbet stripped skullstripped ss n4 bfc preproc preprocessed processed reg registered "
    "coreg mni pp mprage mpr tse fse space tfe vibe iso dark fast 3d 2d ax axial sag sagittal cor coronal tra bias "
    "biascorr biascorrected restore restored denoised defaced masked normalized normalised norm warped resampled "
    "spgr fspgr bravo weighted".split()
)
"""Words that tell how a scan was made, not whose it is."""
_BRAIN_WORDS = {"brain", "bet", "hdbet", "synthstrip", "deepbet"}
_LESION = re.compile(r"lesion.*")
_LESION_PART = re.compile(
    r"(tumou?r|o?edema|core|necrosis|enhancing|wmh|stroke|infarct(ion)?|ha?ematoma|ha?emorrhage|plaque|penumbra"
    r"|[gcp]tv|consensus)s?(mask|msk)?\d*"
)
_TISSUE = re.compile(r"(wm|gm|csf|pve|tissue)s?\d*")
_DRAWN_BY = re.compile(r"(ground|manual|consensus|expert|rater|observer)\d*")
_TRUTH = re.compile(r"(label\w*|(gt|(ground)?truth|annotation)s?\d*)")
_SEGMENTATION = re.compile(r"(manual|auto|tumou?r|wmh|stroke)?(seg|segm|segmentation)s?\d*|manuallycorrected")
_MASK = re.compile(r"(\w*mask|msk|roi)s?\d*")
_BRAIN_MASK = re.compile(r"brainmasks?|betmask|brainextractionmask")
_REGIONS = re.compile(
    r"([smwr]*[cp]\d(t1|t2|flair)w?|parc|aparc\W?\w*|aseg|wmparc|dseg|probseg|pveseg|fseg|synthseg|atlas|ribbon|filled)\d*"
)


def words_of(stem: str) -> dict[int, str]:
    """The words of a name in lower case, by place among them and what is between them."""
    return {2 * n: word for n, word in enumerate(re.split(r"[-_. ]+", stem.lower()))}


def sequence_of(words: Mapping[int, str]) -> tuple[str, set[int]]:
    """The sequence that words name, and the places of those that do so.

    Returns:
        one of ``t1``, ``t1ce``, ``t2``, ``flair``, ``pd``, another one's own name, several joined by " and " (``map and
        t1``: a map, and no T1), or an empty text.
    """
    plain = {place: re.sub(r"^[23]d(?=.)|(?<=.)[23]d$", "", word) for place, word in words.items()}
    found = {p: name for p, word in plain.items() for name, form in _SEQUENCES.items() if form.fullmatch(word)}
    names, used = set(found.values()), set(found)
    if names == {"t2", "flair"}:
        names = {"flair"}
    if alone := {place: _ALONE[word] for place, word in words.items() if word in _ALONE and not names}:
        names, used = {min(alone.values())}, set(alone)  # of "mprage_gd" it is t1, and what follows makes it t1ce
    if "t1" in names or "t1ce" in names:
        first = min(used)
        contrast = {p for p, w in words.items() if _CONTRAST.fullmatch(w) and words.get(p + 2) not in _NO_CONTRAST}
        contrast |= {place for place, word in words.items() if word == "c" and place - 2 in used}
        names = names - {"t1"} | {"t1ce"} if contrast else names
        used |= {place for place in contrast if place > first}  # before it, "post" may be a visit too
        used |= {place for place, word in words.items() if word == "pre" and place - 2 in used}
    others = {word for word in words.values() if _OTHERS.fullmatch(word)}
    others |= {"t2*"} if names == {"t2"} and _T2_STAR & {*words.values()} else set()
    others |= {words[min(words)]} & {"y", "iy", "wj"}  # deformations of SPM
    if not names | others:
        others = {word for word in words.values() if word in _MODALITIES}
    used |= {place for place, word in words.items() if word in others}
    return " and ".join(sorted(names | others)), used


def is_of_mask(word: str) -> bool:
    """Whether a word, wherever it stands, is that of a mask or label."""
    patterns = (_LESION, _TRUTH, _SEGMENTATION, _MASK, _BRAIN_MASK, _REGIONS)
    return any(pattern.fullmatch(word) for pattern in patterns)


def last_of_mask(words: Mapping[int, str]) -> list[int]:
    """Places of the last words, as far as they can be those of a mask: ``t1_tumor`` is one, ``tumor_1_t1`` is none."""
    patterns, last = (_LESION_PART, _TISSUE, _DRAWN_BY), list[int]()
    sequences = sequence_of(words)[1]  # "wmh_flair" is one too
    for place, word in reversed([*words.items()]):
        told = word in PREPARED or is_of_mask(word) or any(pattern.fullmatch(word) for pattern in patterns)
        if not (told or place in sequences or (words.get(place - 2) == "pve" and word.isdecimal())):
            break
        last.append(place)
    return last


def kind_of(by_place: Mapping[int, str]) -> str:
    """What words say that a file is: ``image``, ``brain_mask``, ``label`` or ``mask`` (of what, they do not say)."""
    words, last = [*by_place.values()], [by_place[place] for place in last_of_mask(by_place)]
    of_brain = bool(_BRAIN_WORDS & {*words})  # "t1_brain_seg" is tissue, or a lesion drawn on an extracted brain

    def has(pattern: re.Pattern[str]) -> bool:
        return any(pattern.fullmatch(word) for word in words)

    if has(_LESION) or has(_TRUTH) or any(map(_LESION_PART.fullmatch, last)) or (has(_SEGMENTATION) and not of_brain):
        return "label"
    if has(_BRAIN_MASK) or (has(_MASK) and of_brain) or words[-2:] == ["brain", "segmentation"]:
        return "brain_mask"
    tissue = has(_SEGMENTATION) or has(_MASK) or has(_REGIONS) or any(map(_TISSUE.fullmatch, last))
    return "mask" if tissue else "image"
