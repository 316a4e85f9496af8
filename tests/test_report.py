"""The progress bar, tables and pages that all commands share."""

from __future__ import annotations

import io
import sys
import time
from pathlib import Path

import jinja2
import pytest
from rich.console import Console

from bridgeseg.report import html, progress
from bridgeseg.report.html import data_url, render, write_page
from bridgeseg.report.progress import ProgressBar, track
from bridgeseg.report.tables import Table

EVIL = '</td><script>alert("x")</script>'


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal; pytest gives the test a standard error of its own, so the test puts it there."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    return Screen()


def wait_for(screen: Screen, text: str) -> None:
    end = time.monotonic() + 20
    while text not in screen.getvalue():
        assert time.monotonic() < end, screen.getvalue()
        time.sleep(0.01)


class TestProgress:
    def test_it_shows_title_steps_and_note(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(progress, "PATIENCE", 0.0)
        with ProgressBar("reading [x]", 7, done=2) as bar:
            bar.advance(note="mIoU 0.5")
            wait_for(screen, "mIoU 0.5")
            bar.move(6, title="writing")
            wait_for(screen, "writing")
        shown = screen.getvalue()
        assert "reading [x]" in shown
        assert "3/7" in shown
        assert "6/7" in shown

    def test_it_waits_before_it_appears(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(progress, "PATIENCE", 3600.0)
        assert list(track([1, 2, 3], "reading")) == [1, 2, 3]
        assert screen.getvalue() == ""

    def test_it_appears_without_a_step(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(progress, "PATIENCE", 0.0)
        with ProgressBar("waiting", None, note=lambda: "12 frames"):
            wait_for(screen, "12 frames")

    @pytest.mark.parametrize("show", [True, False])
    def test_nothing_without_a_terminal(
        self, show: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "PATIENCE", 0.0)
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name, raising=False)
        with ProgressBar("reading", 3, show=show) as bar:
            bar.advance()
            time.sleep(0.05)
        assert not bar.moving
        assert capsys.readouterr() == ("", "")

    def test_not_shown_on_request(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(progress, "PATIENCE", 0.0)
        assert list(track([1, 2], "reading", show=False)) == [1, 2]
        assert screen.getvalue() == ""

    def test_standard_error_is_given_back(self, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(progress, "PATIENCE", 0.0)
        with ProgressBar("reading", 3) as bar:
            wait_for(screen, "reading")
            assert sys.stderr is not screen
        assert sys.stderr is screen
        bar.stop()
        with ProgressBar("writing", 3, keep_stderr=True):
            wait_for(screen, "writing")
            assert sys.stderr is screen


class TestTable:
    TABLE = Table(["network", "ms", "note"], [["a|b <c>", "1.50", ""], ["n" * 150, "22.25", "[red]x"]], "times")

    def test_markdown(self) -> None:
        assert self.TABLE.markdown().splitlines()[:3] == [
            "| network | ms | note |",
            "| --- | ---: | ---: |",
            "| a\\|b &lt;c> | 1.50 |  |",
        ]

    def test_nothing_is_cut_in_a_narrow_terminal(self, screen: Screen) -> None:
        self.TABLE.print(Console(file=screen, width=40))
        shown = screen.getvalue()
        assert "n" * 150 in shown
        assert "[red]x" in shown
        assert "22.25" in shown
        assert "times" in shown
        assert "…" not in shown

    def test_html(self) -> None:
        template = "{% import 'macros.html' as m %}{{ m.table(table) }}"
        shown = html._environment().from_string(template).render(table=Table(["x", "y"], [[EVIL, "1"]]))
        assert "<script>" not in shown
        assert '<td class="name">&lt;/td&gt;&lt;script&gt;' in shown
        assert "<td>1</td>" in shown


class TestPage:
    @pytest.fixture
    def templates(self, monkeypatch: pytest.MonkeyPatch) -> None:
        page = (
            "{% extends 'base.html' %}{% import 'macros.html' as m %}{% block title %}{{ name }}{% endblock %}"
            "{% block body %}<h1>{{ name }}</h1>{{ m.figure(image, name) }}"
            "<pre>{{ facts | pretty }}</pre>{% endblock %}"
        )
        loader = jinja2.ChoiceLoader([jinja2.DictLoader({"page.html": page, "page": "{{ name }}"}), html._loader()])
        monkeypatch.setattr(html._environment(), "loader", loader)

    @pytest.mark.usefixtures("templates")
    def test_names_stay_text(self, tmp_path: Path) -> None:
        path = tmp_path / "new" / "page.html"
        write_page(path, "page.html", name=EVIL + "\udcff", image=data_url(b"x"), facts={"a": EVIL})
        text = path.read_text(encoding="utf-8")
        assert text.startswith("<!DOCTYPE html>")
        assert "<script>" not in text
        assert text.count("&lt;script&gt;") == 5
        assert "\\udcff" in text
        assert 'src="data:image/png;base64,eA=="' in text
        assert "<script>" not in render("page", name=EVIL)

    @pytest.mark.usefixtures("templates")
    def test_a_missing_value_is_an_error(self) -> None:
        with pytest.raises(jinja2.UndefinedError):
            render("page.html", name="x")

    def test_a_page_loads_nothing_from_elsewhere(self) -> None:
        for file in (Path(html.__file__).parent / "templates").glob("*.html"):
            assert "http" not in file.read_text(encoding="utf-8"), file
