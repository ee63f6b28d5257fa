"""What the documents name is there: links, headings, pictures, modules, configs; and the bundles' READMEs are short."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

README_WORDS = 900
RUN_OPTIONS = {"config_file", "bundle_root", "standalone", "nproc_per_node"}
ASKED_FOR = {"use-it", "data", "performance", "limits", "training", "system-configuration", "licence", "citation"}
BUNDLES = sorted(file.parent for file in (ROOT / "bundles").glob("*/configs"))
_LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`[^`\n]*`")
_PATH = re.compile(r"(?<![\w/.-])((?:shared|tools|tests|docs|bundles)/[\w./-]+\.(?:py|csv|md|png|json|txt))\b")
_TEST = re.compile(r"`([\w/]+\.py)(?:::[\w:]+)?`")
_MODULE = re.compile(r"python\S* -m ((?:shared|tools)(?:\.\w+)+)|`((?:shared|tools)(?:\.\w+)+)`")
CHANGELOG = ROOT / "CHANGELOG.md"  # tells of names that are gone


def documents() -> list[Path]:
    if not (ROOT / ".git").exists():
        return []
    done = subprocess.run(["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


DOCUMENTS = documents()
IDS = [file.relative_to(ROOT).as_posix() for file in DOCUMENTS]
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=IDS)


def prose(file: Path) -> str:
    """The text without blocks and spans of code, in which brackets are no links."""
    return _SPAN.sub("``", _FENCE.sub("", file.read_text(encoding="utf-8")))


def anchors(file: Path) -> list[str]:
    """Of the headings, as GitHub makes them."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        again = sum(other == name or re.fullmatch(rf"{re.escape(name)}-\d+", other) is not None for other in found)
        found.append(f"{name}-{again}" if again else name)
    return found


def tracked() -> set[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split("\0"))


def wrong_links(document: Path, files: set[str]) -> Iterator[str]:
    for link in _LINK.findall(prose(document)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else str(target)
        if name not in files and not (target.is_dir() and any(file.startswith(f"{name}/") for file in files)):
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading"
        for bundle in BUNDLES:
            if document.is_relative_to(bundle) and not target.is_relative_to(bundle):
                yield f"{link} leads out of the bundle, whose zip does not hold it"


def _exists(name: str, homes: list[Path]) -> bool:
    """Whether a file is in one of the folders that names may start at; an example lies in a package only."""
    return "/example/" in name or any((home / name).exists() for home in homes)


def named_configs(text: str) -> Iterator[str]:
    """Names of configs in commands, such as ``$C/evaluate.json``; braces stand for several, capitals for any."""
    for name in re.findall(r"\$[CRB]/(?:configs/)?([\w{},]+)\.json", text):
        if match := re.fullmatch(r"(\w*)\{([\w,]+)\}(\w*)", name):
            yield from (f"{match[1]}{part}{match[3]}.json" for part in match[2].split(","))
        elif not name.isupper():
            yield f"{name}.json"


def keys(files: Iterable[Path]) -> set[str]:
    return {key for file in files for key in json.loads(file.read_text(encoding="utf-8"))}


def unknown_options(text: str, bundle: Path) -> Iterator[str]:
    """Options of the commands in blocks of code that no config of the command has as a key."""
    for block in _FENCE.findall(text):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if "monai.bundle run" not in line or "--config_file " not in line:
                continue
            command = line.split("  #")[0]
            listed = re.match(r'"[^"]*"|\S+', command.split("--config_file ")[1])
            names = re.findall(r"[\w./]+\.json", listed[0] if listed else "")
            files = [ROOT / n if n.startswith("bundles/") else bundle / "configs" / Path(n).name for n in names]
            known = keys(file for file in files if file.is_file()) | RUN_OPTIONS
            yield from (f"--{o} of {names}" for o in re.findall(r" --(\w+)", command) if o not in known)


def unknown_study_keys(text: str) -> Iterator[str]:
    """Keys that commands hand to ``tools.sample_study`` and no config of MaC-DM has."""
    known = keys((ROOT / "bundles" / "tibia_radiograph_synthesis_macdm" / "configs").glob("*.json"))
    given = re.findall(r"--(?:set|vary|measure) \"?([a-z]\w*)[#=]", "\n".join(_FENCE.findall(text)))
    yield from (key for key in given if key not in known)


def test_there_are_documents():
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone")
    there = {ROOT.joinpath(*Path(name).parts[:2]) for name in tracked() if name.startswith("bundles/")}
    assert len(DOCUMENTS) > 10 and len(there) >= 4 and there <= set(BUNDLES)


@each_document
def test_links_and_pictures_and_headings_are_there(document: Path):
    assert list(wrong_links(document, tracked())) == []


@pytest.mark.parametrize("document", [pytest.param(d, id=i) for d, i in zip(DOCUMENTS, IDS) if d != CHANGELOG])
def test_files_and_modules_that_a_document_names_are_there(document: Path):
    """The changelog tells of names that are gone."""
    text = document.read_text(encoding="utf-8")
    text = re.sub(r"\]\([^()\s]+\)", "]", text)  # links are another test's
    homes = [ROOT, ROOT / "tests", document.parent, *(bundle for bundle in BUNDLES if document.is_relative_to(bundle))]
    names = [*_PATH.findall(text), *_TEST.findall(text)]
    missing = [name for name in names if not _exists(name, homes)]
    for module in {first or second for first, second in _MODULE.findall(text)}:
        parts = module.split(".")
        if not any((ROOT / Path(*parts[:n])).with_suffix(".py").is_file() for n in range(1, len(parts) + 1)):
            missing.append(module)
    assert missing == []


@each_document
def test_configs_in_commands_are_there(document: Path):
    text = document.read_text(encoding="utf-8")
    missing = [path for path in re.findall(r"bundles/\w+/configs/\w+\.json", text) if not (ROOT / path).is_file()]
    own = [bundle for bundle in BUNDLES if document.is_relative_to(bundle)]
    places = [bundle / "configs" for bundle in own or BUNDLES]
    missing += [name for name in named_configs(text) if not any((place / name).is_file() for place in places)]
    if own:  # every config that a bundle's document names, in a command or not, but its own inputs and outputs
        named = set(re.findall(r"`(?:configs/)?([a-z]\w+_\w+\.json)`", text))
        missing += sorted(name for name in named if not any(own[0].glob(f"*/{name}")))
    assert missing == []


@each_document
def test_options_in_commands_are_keys_of_their_configs(document: Path):
    text = document.read_text(encoding="utf-8")
    own = [bundle for bundle in BUNDLES if document.is_relative_to(bundle)]
    first = re.search(r"bundles/\w+", text)
    assert list(unknown_options(text, own[0] if own else ROOT / (first[0] if first else "bundles"))) == []
    assert list(unknown_study_keys(text)) == []
    if own and (table := re.search(r"^## Options\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)):
        options = re.findall(r"^\| `(\w+)", table[1], re.MULTILINE)
        assert len(options) > 5 and set(options) - keys((own[0] / "configs").glob("*.json")) == set()


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_the_readme_of_a_bundle_is_short_and_has_what_the_model_zoo_asks_for(bundle: Path):
    readme = bundle / "docs" / "README.md"
    text = readme.read_text(encoding="utf-8")
    assert len(text.split()) <= README_WORDS
    assert ASKED_FOR - set(anchors(readme)) == set()
    assert len(re.findall(r"!\[", text)) == 1 and "results.md#" in text
    assert all(name in text for name in ("TorchScript", "ONNX", "TensorRT", "not a medical device"))


@pytest.mark.parametrize("bundle", BUNDLES, ids=lambda bundle: bundle.name)
def test_every_config_and_picture_of_a_bundle_stands_in_its_documents(bundle: Path):
    text = "".join(file.read_text(encoding="utf-8") for file in (bundle / "docs").glob("*.md"))
    names = set(named_configs(text)) | set(re.findall(r"[\w.]+\.(?:json|png)", text))
    configs = {file.name for file in (bundle / "configs").glob("*.json")} - {"metadata.json", "segment_metadata.json"}
    assert sorted((configs | {file.name for file in (bundle / "docs").glob("*.png")}) - names) == []


def test_the_checks_find_what_is_wrong(tmp_path):
    text = "# A, *b* `c`: d\n## A b\n```\n# no heading\n```\n## A b\n[x](#a-b-c-d) [y](#gone) ![z](gone.png) `[q](q)`\n"
    document = tmp_path / "x.md"
    document.write_text(text, encoding="utf-8")
    assert anchors(document) == ["a-b-c-d", "a-b", "a-b-1"]
    assert list(wrong_links(document, {str(document)})) == ["#gone: no such heading", "gone.png: no such file"]
    configs = named_configs("['$C/a.json','$R/configs/b_{c,d}.json'] $C/ARM.json")
    assert list(configs) == ["a.json", "b_c.json", "b_d.json"]
    command = "python -m monai.bundle run --config_file $C/inference.json \\\n    --seed 1 --sede 2   # --no option"
    assert list(unknown_options(f"```\n{command}\n```\n", BUNDLES[0])) == ["--sede of ['C/inference.json']"]
