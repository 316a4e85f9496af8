"""An export -> a dataset: recognised, read, drawn, written, reported."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import yaml

from bridgeseg.catalog.place import KEPT, claim, place, refuse_strangers
from bridgeseg.classes import ClassSet, hexadecimal
from bridgeseg.data.masks import read_mask
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, nearest
from bridgeseg.files import replacing, write
from bridgeseg.importing.draw import Overlap, Rules, draw
from bridgeseg.importing.forms import Reading, form_of, open_form
from bridgeseg.importing.imagefile import head
from bridgeseg.importing.ledger import Ledger
from bridgeseg.importing.model import Item, Painting, Unusable
from bridgeseg.importing.plan import FACTS, Plan, facts, left_behind
from bridgeseg.importing.refusal import nothing_usable
from bridgeseg.importing.report import LEFT_OUT, Imported, Tally, remembered
from bridgeseg.importing.source import Source, Wanted
from bridgeseg.importing.unknown import only_boxes
from bridgeseg.locking import lock
from bridgeseg.report.draw import palette_image
from bridgeseg.report.progress import ProgressBar
from bridgeseg.runtime.saving import save_mask
from bridgeseg.settings.importing import Import

VERSION = 2
"""Of how masks are drawn; with another one they are drawn again."""
BACKGROUND = "background"
BACKGROUNDS = ("background", "_background_", "__background__")
MOST_FACTS = 500_000
REPORT = "import.json"
PROBES = 4
"""Masks of each split that are read before the data.yaml is written."""


def import_data(asked: Import) -> Imported:
    """Make a dataset of an export; see `bridgeseg.import_data`."""
    place_, target = Path(asked.source), Path(asked.out)
    if place_.suffix.lower() in (".yaml", ".yml"):  # of YOLO: labels and images lie beside it
        place_ = place_.parent
    images = None if asked.images is None else Path(asked.images)
    opened = Source(place_, Wanted(images, asked.unlabelled, tuple(asked.classes), asked.format), skip=target)
    form = form_of(opened, asked.format)
    claim(target, {"import": str(place_.resolve())}, place_)
    with lock(target):
        reading = open_form(form, opened)
        rules = _rules(reading, opened, asked.overlap, asked.line_width)
        plan = _plan(reading, target)
        if (boxes := opened.ledger.counts["box"]) and not plan.outlined:
            raise only_boxes(opened, boxes)
        planned = plan.files
        spare = set(left_behind(target, planned))
        refuse_strangers(target, planned | spare)
        opened.ledger = Ledger()
        reading = open_form(form, opened)
        old = None if _rules_of(target) == _digest(rules) else target / "data.yaml"
        work = _Work(opened, plan, rules, asked.copies, asked.empty, old)
        with ProgressBar("images", reading.total, show=not asked.quiet) as bar:
            for item in reading.items:
                if whole := plan.whole(item, opened.ledger):
                    work.do(whole)
                bar.advance()
        if not work.tally.counts:
            raise nothing_usable(opened, form)
        for path in (planned | spare) - work.made:
            path.unlink(missing_ok=True)
        usual = asked.unlabelled or reading.unlabelled
        counts = work.tally.counts
        share = asked.val_share if counts["train"] > 1 and not counts["val"] else 0.0
        data = _write_yaml(target, rules.classes, work.tally, share, form)
        report = work.tally.report(data, form, rules, usual, opened.ledger, share)
        opened.ledger.write(target / LEFT_OUT)
        content = {**report.to_dict(), "rules": _digest(rules)}
        write(target / REPORT, json.dumps(content, indent=1) + "\n")  # escaped: names may hold half characters
    return report


def _plan(reading: Reading, out: Path) -> Plan:
    """Return what an export will become; its items are used up by that."""
    plan = Plan(out)
    for item in reading.items:
        plan.add(item)
    return plan


def _digest(rules: Rules) -> str:
    return hashlib.sha256(str(rules).encode()).hexdigest()


def _rules_of(out: Path) -> object:
    """Return the digest of the rules by which a dataset was imported last, None if that is not known."""
    try:
        return json.loads((out / REPORT).read_text(encoding="utf-8")).get("rules")
    except (OSError, ValueError, AttributeError):
        return None


def _rules(reading: Reading, source: Source, overlap: Overlap, line_width: float | None) -> Rules:
    """Choose class ids: the names that are wanted, or all, and the background where something has to be it."""
    wanted = source.wanted
    names = [BACKGROUND if name.lower() in BACKGROUNDS else name for name in wanted.classes or reading.names]
    known = {BACKGROUND if name.lower() in BACKGROUNDS else name: name for name in reading.names}
    for name in names:
        if name not in known and name != BACKGROUND:
            fix = f"allowed are the classes of the export: {nearest(name, known)}"
            raise ConfigError(f"the export has no class {name!r}", where="classes", fix=fix)
    unlabelled = wanted.unlabelled or reading.unlabelled
    if unlabelled == "background" and BACKGROUND not in names:
        names.insert(0, BACKGROUND)
    palette = {name: reading.palette[known[name]] for name in names if known.get(name) in reading.palette}
    palette |= {BACKGROUND: (0, 0, 0)} if BACKGROUND in names and BACKGROUND not in palette else {}
    classes = ClassSet.build(list(dict.fromkeys(names)), palette=palette)
    places = {name: index for index, name in enumerate(classes.names)}
    base = places[BACKGROUND] if unlabelled == "background" else classes.ignore_index
    ids = {original: places.get(name) for name, original in known.items()}
    ids |= {alias: places[BACKGROUND] for alias in BACKGROUNDS if BACKGROUND in places}
    return Rules(classes, ids, base, overlap, line_width)


class _Work:
    """Does one image after the other: the image put into its place, the mask drawn, all of it counted.

    Args:
        old: a data.yaml that tells other rules; it goes before the first mask is drawn, so that it is never believed.
    """

    def __init__(self, source: Source, plan: Plan, rules: Rules, copy: bool, empty: bool, old: Path | None) -> None:
        self.source, self.plan, self.rules, self.copy, self.empty, self.old = source, plan, rules, copy, empty, old
        self.tally = Tally()
        self.made: set[Path] = set()

    def do(self, item: Item) -> None:
        """Do an image, or put down why it is left out."""
        ledger = self.source.ledger
        if item.image is None:
            return ledger.leave("no-image", item.name, self.source.several(item.name))
        if not isinstance(item.labels, Painting) and not item.labels and not item.labelled and not self.empty:
            return ledger.leave("no-labels", item.name)
        try:
            known = head(item.image)
        except Unusable as error:
            return ledger.leave("image-unreadable", item.name, str(error))
        places = self.plan.places(item)
        if places is None:
            return ledger.leave("image-unreadable", item.name, f"{known.format} inside of a file is not read")
        image, mask = places
        mark = hashlib.sha256(repr((VERSION, item.stamp, known, str(self.rules))).encode()).hexdigest()
        found = remembered(facts(mask), mark)
        way = "masks kept"
        if found is None:
            try:
                ids, found = draw(item, known, self.rules)
            except Unusable as error:
                return ledger.leave(error.code or "bad-labels", item.name, str(error))
            except MemoryError as error:
                return ledger.leave("bad-labels", item.name, str(error) or "there is not enough memory")
            if self.old is not None:
                self.old.unlink(missing_ok=True)
            told = json.dumps({"stamp": mark, **asdict(found)})
            about = {FACTS: told} if len(told) <= MOST_FACTS else {}
            save_mask(palette_image(ids, self.rules.classes), mask, about)
            way = "masks drawn"
        self.tally.files[way] += 1
        self.tally.files[f"images {self._place(item.image, image)}"] += 1
        self.made |= {image, mask}
        return self.tally.add(item.split, item.name, found, ledger)

    def _place(self, image: Path | bytes, target: Path) -> str:
        if isinstance(image, Path):
            return place(image.resolve(), target, self.copy)
        if target.is_file() and not target.is_symlink() and target.read_bytes() == image:
            return KEPT
        write(target, image)
        return "written"


def _identity(classes: ClassSet) -> dict[int, int | None]:
    """Say that 255 is to be ignored: beside one or two classes it would look like the object of a binary mask."""
    return {**{index: index for index in range(len(classes))}, classes.ignore_index: None}


def _write_yaml(out: Path, classes: ClassSet, tally: Tally, val_share: float, form: str) -> Path:
    """Write the data.yaml, once it is sure that it loads and that its masks are what they should be."""
    splits = [split for split in ("train", "val", "test") if tally.counts[split]]
    content = {
        "path": ".",
        **{split: f"images/{split}" for split in splits},
        **({"val_share": val_share} if val_share else {}),
        "masks_dir": "masks",
        "names": dict(enumerate(classes.names)),
        **({"label_map": _identity(classes)} if len(classes) <= 2 else {}),
        "palette": list(map(hexadecimal, classes.palette)),
    }
    data = out / "data.yaml"
    text = f"# made by `bridgeseg data import` ({form})\n" + yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True
    )
    with replacing(data) as part:
        part.write_text(text, encoding="utf-8")
        spec = DataSpec.load(part)
        for split in splits:
            samples = replace(spec, val_share=0.0).samples(split)
            for sample in samples[:: max(1, -(-len(samples) // PROBES))]:
                read_mask(sample.mask, spec)
    return data
