"""Names of several datasets: which are one, which are parts of others, what is labelled, and what contradicts it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console

from bridgeseg.classes import ClassSet
from bridgeseg.data import declaration
from bridgeseg.data.joining import Joined, join, short_names
from bridgeseg.data.labels import UNKNOWN
from bridgeseg.data.likeness import Alike, alike, propose
from bridgeseg.data.spec import DataSpec
from bridgeseg.errors import ConfigError, DataError
from bridgeseg.vocabulary.asked import asked


def dataset(folder: Path, name: str, names: list[str], **more: Any) -> Path:
    """Write a data.yaml with one image."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "images" / "a.png").touch()
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"train": "images", "names": names, **more}))
    return path


def joined(folder: Path, *files: Mapping[str, Any], **more: Any) -> Joined:
    specs = [DataSpec.load(dataset(folder, f"d{index}", **values)) for index, values in enumerate(files)]
    return join(specs, **more)


def tables(whole: Joined, index: int = 0) -> tuple[list[int], list[int]]:
    """Return the columns and the true indices of the classes of a dataset, for the usual set of names."""
    labels, count = whole.members[index].labels, len(whole.members[index].spec.classes)
    return labels.table[0, :count].tolist(), labels.truth[0, :count].tolist()


def test_one_dataset_is_itself(tmp_path: Path) -> None:
    whole = joined(tmp_path, {"names": ["a", "b"], "prompts": {"a": ["x"]}})
    assert whole.plain
    assert whole.classes == whole.first.classes
    assert (whole.members[0].labels.rows, whole.members[0].labels.groups) == ((0, 1), ())


def test_the_union_is_in_order_of_appearance(tmp_path: Path) -> None:
    first = {"names": ["road", "car"], "palette": {"car": [1, 2, 3]}}
    second = {"names": ["tree", "car", "sky"], "prompts": {"sky": ["a blue sky"]}}
    whole = joined(tmp_path, first, second)
    assert whole.classes.names == ("road", "car", "tree", "sky")
    assert whole.classes.prompts[3] == ("a blue sky",)
    assert whole.classes.palette[1] == (1, 2, 3)
    assert whole.classes.palette[0] == whole.first.classes.palette[0]
    assert [member.labels.rows for member in whole.members] == [(0, 1), (2, 1, 3)]
    assert all(member.labels.plain for member in whole.members)
    assert whole.shared() == {"car": ["d0", "d1"]}


def test_same_keeps_the_first_name_of_its_group(tmp_path: Path) -> None:
    whole = joined(
        tmp_path, {"names": ["road", "pedestrian"]}, {"names": ["person", "sky"]}, same=(("person", "pedestrian"),)
    )
    assert whole.classes.names == ("road", "person", "sky")
    assert whole.members[0].labels.own == ("road", "pedestrian")
    assert whole.members[0].labels.rows == (0, 1)
    assert whole.members[1].labels.rows == (1, 2)


def test_a_coarse_name_is_one_of_its_parts(tmp_path: Path) -> None:
    fine = {"names": ["car", "bus", "road"]}
    whole = joined(tmp_path, fine, {"names": ["road", "vehicle"]}, parts={"vehicle": ("car", "bus")})
    assert whole.classes.names == ("car", "bus", "road")
    labels = whole.members[1].labels
    assert labels.rows == (2, 0, 1)  # road, car, bus
    assert labels.groups == ((1, 2),)
    assert tables(whole, 1) == ([0, 3], [0, 1])
    assert not labels.plain
    assert labels.counts[0].tolist()[:2] == [[0, 1, 1], [0, 1, 1]]  # both parts count as vehicle


def test_a_part_is_right_where_the_coarse_name_is_true_and_both_are_told(tmp_path: Path) -> None:
    whole = joined(tmp_path, {"names": ["vehicle", "car", "bus", "road"]}, parts={"vehicle": ("car", "bus")})
    labels = whole.members[0].labels
    assert whole.classes.names == ("car", "bus", "road")
    assert not whole.plain
    vehicle, car, road = (labels.own.index(name) for name in ("vehicle", "car", "road"))
    assert labels.counts[0, vehicle].tolist() == [vehicle, vehicle, road]
    assert labels.counts[0, car].tolist() == [car, labels.own.index("bus"), road]


def test_partial_labels_compete_with_the_whole_vocabulary(tmp_path: Path) -> None:
    street = {"names": ["road", "car"]}
    people = {"names": ["wall", "person"], "labelled": ["person"]}
    whole = joined(tmp_path, street, people | {"unlabelled": "other"})
    assert whole.classes.names == ("road", "car", "person")  # nobody labels walls
    assert whole.left_out() == {"d1": ["wall"]}
    labels = whole.members[1].labels
    assert labels.rows == (0, 1, 2)
    assert labels.groups == ((0, 1),)
    assert tables(whole, 1) == ([3, 2], [1, 0])
    assert labels.rest
    assert labels.counts.tolist() == [[[1, 1, 0], [1, 1, 0]]]
    whole = joined(tmp_path, street, people | {"unlabelled": "ignore"})
    assert tables(whole, 1) == ([UNKNOWN, 2], [UNKNOWN, 0])
    assert whole.members[1].labels.table[0, 255] == UNKNOWN


def test_every_image_has_its_own_set(tmp_path: Path) -> None:
    (tmp_path / "labelled.csv").write_text("image,labelled\nimages/a.png,car; road\n")
    data = {"names": ["road", "car", "sky"], "labelled_file": "labelled.csv", "unlabelled": "other"}
    labels = joined(tmp_path, data).members[0].labels
    assert labels.sets == (("road", "car", "sky"), ("road", "car"))
    assert labels.table[:, :3].tolist() == [[0, 1, 2], [0, 1, 2]]  # none of road and car: sky
    assert labels.truth[:, :3].tolist() == [[0, 1, 2], [0, 1, 3]]
    assert labels.members.tolist() == [[True] * 3, [True, True, False]]


@pytest.mark.parametrize("spelled", ["{}/images/a.png", "images//a.png", "images/../images/a.png", "images\\a.png"])
def test_an_image_is_itself_however_its_path_is_written(tmp_path: Path, spelled: str) -> None:
    (tmp_path / "labelled.csv").write_text(f"image,labelled\n{spelled.format(tmp_path)},car")
    spec = DataSpec.load(dataset(tmp_path, "d", ["road", "car"], labelled_file="labelled.csv"))
    assert spec.labelled_images == {"images/a.png": ("car",)}


def test_names_of_before_come_first(tmp_path: Path) -> None:
    before = ClassSet.build(["road", "car"])
    whole = joined(tmp_path, {"names": ["rest", "helmet"], "labelled": ["helmet"]}, before=before)
    assert whole.classes.names == ("road", "car", "helmet")
    assert whole.members[0].labels.rows == (0, 1, 2)


def test_a_name_of_before_stands_for_its_group_in_its_own_phrases(tmp_path: Path) -> None:
    before = ClassSet.build(["road", "helmet"], {"helmet": ["hard hat"]})
    hats = {"names": ["rest", "hat"], "labelled": ["hat"], "prompts": {"hat": ["cap"]}}
    whole = joined(tmp_path, hats | {"same": [["hat", "helmet"]]}, before=before)
    assert whole.classes.names == ("road", "helmet")
    assert whole.classes.prompts == before.prompts


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"names": ["rest", "person"], "labelled": ["person"]}, "'pedestrian' and 'person' have the same phrases"),
        ({"prompts": {"pedestrian": ["people"]}}, "'pedestrian' is kept, .*: person; here they are: people"),
        ({"prompts": {"road": ["street"]}}, "'road' is kept, .*: road; here they are: street"),
        ({"parts": {"road": ["pedestrian"]}}, "`parts` says that 'road' means one of pedestrian.*names are kept"),
        ({"same": [["pedestrian", "road"]]}, r"d0.yaml: `same` says that 'road' and 'pedestrian' are one; .*are kept"),
        ({"same": [["helmet", "road"], ["pedestrian", "helmet"]]}, "`same` says that 'road' and 'pedestrian' are one"),
        ({"asked": "road=street"}, "names: 'road' is kept, .*: road; here they are: street"),
    ],
)
def test_what_takes_a_name_of_before_away_is_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    before = ClassSet.build(["road", "pedestrian"], {"pedestrian": ["person"]})
    data = {"names": ["road", "pedestrian", "helmet"], "labelled": ["helmet"]} | keys
    words = asked(f"{data.pop('asked')}, helmet") if "asked" in data else None
    with pytest.raises((ConfigError, DataError), match=message):
        joined(tmp_path, data, before=before, asked=words)


def test_one_dataset_may_have_two_names_of_the_same_phrases(tmp_path: Path) -> None:
    own = {"names": ["a", "b"], "prompts": {"a": ["x"], "b": ["x"]}}
    assert joined(tmp_path, own, {"names": ["c", "d"]}).classes.names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("files", "more", "message", "fix"),
    [
        ([{"names": ["a", "b"]}, {"names": ["c", "d"]}], {"same": (("a", "e"),)}, "'e', which no dataset", "add a"),
        ([{"names": ["a", "b"]}], {"parts": {"v": ("a", "b")}}, "`parts` names 'v', which no dataset", "correct"),
        ([{"names": ["a", "b", "c"]}], {"parts": {"a": ("b",), "b": ("a",)}}, "circle: a > b > a", "leave one"),
        ([{"names": ["a", "b", "c"]}], {"parts": {"a": ("a", "b")}}, "'a' is a part of itself", "leave one"),
        (
            [{"names": ["v", "w", "c", "b"]}],
            {"parts": {"v": ("w", "c"), "w": ("b", "c")}},
            "'w' is a part of 'v' and has parts itself",
            r"parts: \{v: \[b, c\]\}",
        ),
        (
            [{"names": ["v", "c", "b"]}],
            {"parts": {"v": ("c", "b")}, "same": (("v", "c"),)},
            "`same` says that 'c' and 'v' are one",
            "leave one",
        ),
        (
            [{"names": ["v", "c", "b"], "parts": {"v": ["c"]}}],
            {"parts": {"v": ("b",)}},
            "`parts` of 'v' is given twice, and not alike: c; and b",
            "one list",
        ),
        (
            [{"names": ["a", "b"], "prompts": {"a": ["x"]}}, {"names": ["a", "c"], "prompts": {"a": ["y"]}}],
            {},
            "different things 'a', by their `prompts`: x in .*; y here",
            r'rename it here, in `names`: "a \(2\)"',
        ),
        (
            [{"names": ["a", "b"], "prompts": {"a": ["x"]}}, {"names": ["x", "c"]}],
            {},
            r"'a' and 'x' have the same phrases \(x\)",
            r'`same: \[\["a", "x"\]\]`; if not, give one of them other phrases',
        ),
        (
            [{"names": ["v", "c", "b"], "parts": {"v": ["c"]}}],
            {},
            "`parts` leaves 'v' no meaning but 'c', and a dataset labels both",
            r'`same: \[\["c", "v"\]\]`',
        ),
        (
            [{"names": ["w", "c"], "same": [["w", "v"]]}, {"names": ["v", "b"]}],
            {"parts": {"v": ("c",)}},
            "`parts` leaves 'w' no meaning but 'c', and a dataset labels both",
            "list all parts of 'w'",
        ),
        ([{"names": ["a", "b"]}, {"names": ["c"]}], {}, "'c' is the only name of this dataset", r"labelled: \[c\]"),
        ([{"names": ["a"], "labelled": ["a"]}], {}, "every pixel has it and nothing can be learned", "`init`"),
        (
            [{"names": ["bg", "a"], "labelled": ["a"], "unlabelled": "other"}],
            {},
            "there is no other name",
            "leave out `labelled`",
        ),
        (
            [{"names": ["a", "b"], "labelled": ["a", "b"], "unlabelled": "other"}],
            {},
            r"all of `names` are labelled \(a, b\)",
            "not to `labelled`",
        ),
        (
            [{"names": ["a", "b", "c"], "labelled": ["a", "b"], "unlabelled": "other"}],
            {},
            "leaves no name for pixels that are none of a, b",
            "unlabelled: ignore",
        ),
    ],
)  # fmt: skip
def test_contradictions(
    tmp_path: Path, files: list[dict[str, Any]], more: dict[str, Any], message: str, fix: str
) -> None:
    with pytest.raises(DataError, match=f"(?s){message}.*fix: .*{fix}"):
        joined(tmp_path, *files, **more)


@pytest.mark.parametrize("names", [["bg", "a"], ["a", "b", "c"]])
def test_a_name_for_what_is_not_labelled(tmp_path: Path, names: list[str]) -> None:
    labelled = names[-1:] if len(names) == 2 else names[:2]
    said = {"names": names, "labelled": labelled, "unlabelled": "other"}
    with pytest.raises(DataError, match="name what else there is: `names=") as refused:
        joined(tmp_path, said)
    (typed,) = re.findall("`names=([^`]*)`", refused.value.fix or "")
    whole = joined(tmp_path, said, asked=asked(typed))
    assert whole.classes.names == (*labelled, "background")
    assert whole.added == ("background",)
    labels = whole.members[0].labels
    other = next(name for name in names if name not in labelled)
    assert labels.table[0, names.index(other)] == len(labelled)  # the column of background, and no group


def test_what_one_dataset_leaves_over_is_not_looked_for_in_others(tmp_path: Path) -> None:
    street = {"names": ["road", "pedestrian", "void"], "labelled": ["road"], "unlabelled": "other"}
    people = {"names": ["background", "person"], "labelled": ["person"], "unlabelled": "other"}
    same = (("pedestrian", "person"),)
    whole = joined(tmp_path, street, people, same=same, asked=asked("road, pedestrian, void, wall"))
    assert whole.added == ("void", "wall")
    assert [member.labels.rows for member in whole.members] == [(0, 1, 2, 3), (0, 1, 3)]
    assert [member.labels.groups for member in whole.members] == [((1, 2, 3),), ((0, 2),)]


def test_names_that_are_asked_for_come_first_and_bring_their_phrases(tmp_path: Path) -> None:
    file = {"names": ["a", "v"], "prompts": {"a": ["x"]}, "palette": {"a": [1, 2, 3]}}
    whole = joined(tmp_path, file, parts={"v": ("b", "c")}, asked=asked("c, b=y, a=z, d"))
    assert whole.classes.names == ("c", "b", "a", "d")
    assert whole.classes.prompts == (("c",), ("y",), ("z",), ("d",))
    assert whole.classes.palette[2] == (1, 2, 3)
    assert whole.added == ("d",)
    assert not whole.plain
    with pytest.raises(ConfigError, match="labels what is not among them: a") as refused:
        joined(tmp_path, file, parts={"v": ("b", "c")}, asked=asked("c, b=y"))
    (typed,) = re.findall("`names=([^`]*)`", refused.value.fix or "")
    assert joined(tmp_path, file, parts={"v": ("b", "c")}, asked=asked(typed)).classes.names == ("c", "b", "a")


def test_files_may_speak_of_datasets_that_are_not_here(tmp_path: Path) -> None:
    whole = joined(tmp_path, {"names": ["a", "b"], "same": [["a", "person"]], "parts": {"v": ["a"]}})
    assert whole.plain
    assert len(whole.relations.passed_over) == 2
    assert "`same` names 'person', which no dataset here labels" in whole.relations.passed_over[0]


def test_a_coarse_name_that_loses_parts_is_warned_of_even_if_quiet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lightning")
    from bridgeseg.training.overview import tell

    coarse = {"names": ["vehicle", "tree"], "parts": {"vehicle": ["car", "bus"]}}
    whole = joined(tmp_path, {"names": ["road", "car"]}, coarse)
    assert whole.classes.names == ("road", "car", "tree")
    tell(whole, None, tmp_path, quiet=True)
    told = capsys.readouterr().err
    assert told.startswith(
        f"warning: {tmp_path / 'd1.yaml'}: every pixel labelled 'vehicle' is learned as car, because"
    )
    assert "no dataset here labels bus\n  fix: add a dataset that labels bus; or" in told
    assert told.strip() in (tmp_path / "train.log").read_text()
    whole = joined(tmp_path, {"names": ["road", "car"]}, coarse, {"names": ["bus", "road"]})
    assert whole.relations.narrowed == ()
    whole = joined(tmp_path, {"names": ["road", "sky"]}, coarse)  # none of its parts: it is a class
    assert whole.relations.narrowed == ()


@pytest.mark.parametrize("width", [60, 80, 160])
def test_the_overview_says_of_what_dataset_it_speaks(tmp_path: Path, width: int) -> None:
    pytest.importorskip("lightning")
    from bridgeseg.training.overview import overview

    names = [f"a rather long name {index}" for index in range(40)]
    console = Console(width=width, file=StringIO())
    console.print(overview(joined(tmp_path, {"names": names}, {"names": [*names, "other"]})).rich())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert all(word in shown for word in ("dataset", "labelled", " d0 ", " d1 ", " all "))


def test_names_that_are_kept_are_names_of_the_result(tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    from bridgeseg.training.overview import remarks

    before = ClassSet.build(["vehicle", "road"])
    data = {"names": ["rest", "car", "bus"], "labelled": ["car", "bus"], "parts": {"vehicle": ["car", "bus"]}}
    told = remarks(joined(tmp_path, data, before=before))
    assert told[0] == "1 names of the network that this run goes on from are kept: road"
    assert "vehicle means one of car, bus, and is no class" in told


def test_too_many_or_twice(tmp_path: Path) -> None:
    spec = DataSpec.load(dataset(tmp_path, "d", ["a", "b"]))
    with pytest.raises(ConfigError, match="11 datasets; at most 10"):
        join([spec] * 11)
    with pytest.raises(ConfigError, match="the same dataset is given twice"):
        join([spec, spec])


def test_names_of_datasets(tmp_path: Path) -> None:
    paths = [tmp_path / "camvid" / "data.yaml", tmp_path / "x" / "camvid" / "data.yaml", tmp_path / "people.yaml"]
    specs = [DataSpec(path, tmp_path, ClassSet.build(["a", "b"]), {}) for path in paths]
    assert short_names(specs) == ["camvid 1", "camvid 2", "people"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"labelled": ["c"]}, "`labelled` names 'c', which is no class"),
        ({"labelled": []}, "`labelled` must list names"),
        ({"labelled": [["a"]]}, r"`labelled` must list names of `names`, found \[\['a'\]\]"),
        ({"labelled": [{"a": "all"}]}, "`labelled` must list names"),
        ({"labelled": "a", "unlabelled": "void"}, "`unlabelled` is 'void'; allowed: ignore, other"),
        ({"unlabelled": "other"}, "nothing says what is labelled"),
        ({"same": [["a"]]}, "`same` must list groups of two names or more"),
        ({"same": 3}, "`same` must list groups"),
        ({"parts": ["a"]}, "`parts` must map a name to a list"),
        ({"parts": {"a": []}}, "`parts` must map a name to a list"),
        ({"labelled_file": "none.csv"}, "none.csv"),
        ({"labelled_file": "bad.csv"}, "the first line must be `image,labelled`"),
        ({"labelled_file": "cells.csv"}, "line 2 has 3 cells, not two"),
        ({"labelled_file": "image.csv"}, "line 3 names 'images/b.png', which is no image"),
        ({"labelled_file": "twice.csv"}, "line 4 lists 'images/a.png' again"),
        ({"labelled_file": "quote.csv"}, "quote.csv: line 3 cannot be read as CSV.*\n.*leave quotes out"),
        ({"labelled_file": "open.csv"}, "open.csv: line 2 cannot be read as CSV"),
        ({"labelled_file": "long.csv"}, "long.csv: line 2: .*cannot be followed.*\n.*write its path from"),
        ({"labelled_file": "null.csv"}, "null.csv: line 2: .*must be a path"),
        ({"labelled_file": "outside.csv"}, "outside.csv: line 2: .*outside the dataset root"),
        ({"labelled_file": "mask.csv"}, "line 2 names 'masks/a.png', which is no image of the dataset"),
        ({"labelled_file": "text.csv"}, "line 2 names 'images/a.txt', which is no image of the dataset"),
        ({"labelled_file": "name.csv"}, r"`labelled_file` \(line 2\) `labelled` names 'c', which is no class"),
    ],
)
def test_keys(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    lines = {
        "bad": "file;names",
        "cells": "image,labelled\nimages/a.png,a,b",
        "image": "image,labelled\nimages/a.png,a\nimages/b.png,a",
        "twice": "image,labelled\nimages/a.png,a\n\n./images/a.png,a",
        "quote": 'image,labelled\nimages/a.png,a\nimages/b.png,"a\n' + "x" * 140_000,
        "open": 'image,labelled\nimages/a.png,"a;b\n',
        "long": "image,labelled\n" + "a" * 300 + ",a",
        "null": "image,labelled\nimages\0/a.png,a",
        "outside": f"image,labelled\n{tmp_path.parent}/images/a.png,a",
        "mask": "image,labelled\nmasks/a.png,a",
        "text": "image,labelled\nimages/a.txt,a",
        "name": "image,labelled\nimages/a.png,c",
    }
    for name, text in lines.items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "masks").mkdir()
    for file in ("masks/a.png", "images/a.txt"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).touch()
    path = dataset(tmp_path, "d", ["a", "b"], **values)
    with pytest.raises(DataError, match=message):
        DataSpec.load(path)
    found = declaration.read(path, collect=True)
    assert [finding.code for finding in found.findings] == ["labelling-invalid"]


def test_names_that_look_alike_are_told_and_proposed(tmp_path: Path) -> None:
    first = {"names": ["tree", "vehicle", "sky", "person"]}
    second = {"names": ["vegetation", "car", "bus", "sky"]}
    whole = joined(tmp_path, first, second)
    axes = np.eye(8)
    place = {"tree": 0, "vegetation": 0, "vehicle": 1, "car": 1, "bus": 1, "sky": 2, "person": 3}
    vectors = np.stack(
        [axes[place[name]] + 0.3 * axes[4 + index % 4] for index, name in enumerate(whole.classes.names)]
    )
    pairs = alike(whole, vectors)
    assert {(pair.first, pair.second, pair.whole) for pair in pairs} == {
        ("tree", "vegetation", None),
        ("vehicle", "car", "vehicle"),
        ("vehicle", "bus", "vehicle"),
    }
    nearer, ids = vectors.copy(), {name: index for index, name in enumerate(whole.classes.names)}
    nearer[ids["sky"]] = vectors[ids["tree"]] + 0.1 * axes[3]  # of the same dataset, and another thing
    nearer[ids["vegetation"]] = axes[0] + 0.6 * axes[7]
    assert {pair.first for pair in alike(whole, nearer)} == {"vehicle"}
    lines = propose(pairs, whole)
    assert lines[0] == 'same: [["tree", "vegetation"]]'
    assert set(yaml.safe_load(lines[1])["parts"]["vehicle"]) == {"car", "bus"}
    merged = joined(tmp_path, first, second, same=(("tree", "vegetation"),), parts={"vehicle": ("car", "bus")})
    assert not alike(merged, np.ones((len(merged.classes), 8)) + np.eye(8)[: len(merged.classes)])


def pair(first: str, second: str, whole: str | None = None) -> Alike:
    return Alike(first, second, ("d0", "d1"), 0.5, whole)


@pytest.mark.parametrize(
    ("pairs", "lines"),
    [
        ([pair("pedestrian", "person"), pair("bicyclist", "person", "person"), pair("tree", "person", "person")],
         ['same: [["pedestrian", "person"]]']),  # CamVid tells all three apart
        ([pair("pedestrian", "person"), pair("bicyclist", "person")], ['same: [["pedestrian", "person"]]']),
        ([pair("tree", "wall", "tree")], []),
        ([pair("tree", "wall", "tree"), pair("tree", "door", "tree")], ['parts: {"tree": ["wall", "door"]}']),
    ],
)  # fmt: skip
def test_what_a_dataset_tells_apart_is_not_proposed_as_one(
    tmp_path: Path, pairs: list[Alike], lines: list[str]
) -> None:
    files = {"names": ["pedestrian", "bicyclist", "tree"]}, {"names": ["person", "wall", "door"]}
    assert propose(pairs, joined(tmp_path, *files)) == lines
    kept = joined(tmp_path, files[1] | {"labelled": files[1]["names"]}, before=ClassSet.build(files[0]["names"]))
    assert propose(pairs, kept) == lines


def test_two_spellings_are_one_and_no_whole(tmp_path: Path) -> None:
    whole = joined(tmp_path, {"names": ["Road", "sky"]}, {"names": ["road", "pavement", "tree"]})
    vectors = np.eye(6)[[0, 1, 0, 0, 2]] + 0.5 * np.eye(6)[[3, 3, 3, 4, 5]]
    assert propose(alike(whole, vectors), whole) == ['same: [["Road", "road"]]']


def test_new_names_are_compared_with_kept_ones(tmp_path: Path) -> None:
    before = ClassSet.build(["pedestrian", "road", "helmet"])
    whole = joined(tmp_path, {"names": ["rest", "person"], "labelled": ["person"]}, before=before)
    (found,) = alike(whole, np.eye(5)[[0, 1, 2, 0]] + 0.1 * np.eye(5)[[1, 2, 3, 4]])
    assert str(found).startswith("pedestrian (kept) and person (d0) 0.9")
