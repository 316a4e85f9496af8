"""Registries: names without imports, values on demand, and packages of strangers that break or clash."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from bridgeseg.errors import ConfigError
from bridgeseg.registry import Registry, modules

GROUP = "test.animals"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put an installed package with entry points of GROUP on the path: package("zoo", {"owl": source})."""

    def install(name: str, sources: dict[str, str], registers: Registry | None = None) -> None:
        folder = tmp_path / name
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{animal} = {name}_{animal}" for animal in sources]
        (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]) + "\n")
        for animal, source in sources.items():
            (folder / f"{name}_{animal}.py").write_text(source)
            monkeypatch.delitem(sys.modules, f"{name}_{animal}", raising=False)
        monkeypatch.syspath_prepend(str(folder))

    return install


@pytest.fixture
def animals(monkeypatch):
    registry: Registry[object] = Registry("animal", GROUP, {})
    monkeypatch.setattr("bridgeseg.registry.ANIMALS", registry, raising=False)
    return registry


REGISTERS = "from bridgeseg.registry import ANIMALS\n@ANIMALS.register({!r})\nclass Animal: ...\n"


def test_a_decorated_class_is_found_by_its_name(animals):
    @animals.register("cat")
    class Cat: ...

    assert animals.get("cat") is Cat
    assert animals.names() == ["cat"]
    assert "cat" in animals
    assert "dog" not in animals


def test_an_unknown_name_names_the_nearest(animals):
    animals.register("badger")(type("Badger", (), {}))
    with pytest.raises(ConfigError, match=r"no animal 'bagder'; did you mean 'badger'\?"):
        animals.get("bagder")


def test_two_of_one_name_are_refused(animals):
    animals.register("cat")(type("Cat", (), {"__qualname__": "Cat"}))
    with pytest.raises(ConfigError, match="two animals are called 'cat'"):
        animals.register("cat")(type("Other", (), {"__qualname__": "Other"}))


def test_the_same_definition_again_replaces_the_old_one(animals):
    for _ in range(2):
        again = type("Cat", (), {"__qualname__": "Cat"})
        animals.register("cat")(again)
    assert animals.get("cat") is again


def test_a_builtin_module_is_imported_when_it_is_asked_for(tmp_path, monkeypatch):
    (tmp_path / "lazy_animal.py").write_text(REGISTERS.format("cat"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lazy_animal", raising=False)
    registry: Registry[object] = Registry("animal", GROUP, {"cat": "lazy_animal"})
    monkeypatch.setattr("bridgeseg.registry.ANIMALS", registry, raising=False)
    assert registry.names() == ["cat"]
    assert "lazy_animal" not in sys.modules
    assert registry.get("cat").__name__ == "Animal"
    with pytest.raises(ConfigError, match="two animals"):
        registry.register("cat")(type("Other", (), {}))


def test_a_builtin_name_is_taken_before_its_module_is_imported():
    registry: Registry[object] = Registry("animal", GROUP, {"cat": "never_imported"})
    with pytest.raises(ConfigError, match="never_imported"):
        registry.register("cat")(type("Other", (), {}))


def test_an_installed_package_brings_its_own(package, animals):
    package("zoo", {"owl": REGISTERS.format("owl")})
    assert animals.names() == ["owl"]
    assert "zoo_owl" not in sys.modules
    assert animals.get("owl").__module__ == "zoo_owl"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", "cannot be loaded: SystemExit"),
        ("", "registers no such"),
    ],
)
def test_a_broken_package_is_an_error_when_asked_for_and_a_warning_in_listings(package, animals, source, says):
    package("zoo", {"owl": source})
    animals.register("cat")(type("Cat", (), {}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert animals.names() == ["owl", "cat"]
        assert animals.get("cat")
    with pytest.raises(ConfigError, match=says) as error:
        animals.get("owl")
    assert "zoo" in str(error.value)
    with pytest.warns(UserWarning, match="'owl' is left out"):
        assert [name for name, _ in animals.items()] == ["cat"]


def test_two_packages_that_bring_one_name_are_refused(package, animals):
    package("one", {"owl": REGISTERS.format("owl")})
    package("two", {"owl": REGISTERS.format("owl")})
    with pytest.warns(UserWarning, match="both bring the animal 'owl'"):
        animals.names()
    with pytest.raises(ConfigError, match=r"(one and two|two and one) both bring"):
        animals.get("owl")


def test_a_package_does_not_take_a_builtin_name(package):
    package("zoo", {"owl": ""})
    registry: Registry[object] = Registry("animal", GROUP, {"owl": "somewhere"})
    with pytest.raises(ConfigError, match="bridgeseg and zoo both bring"):
        registry.get("owl")


def test_modules_lists_a_package_without_importing_it():
    source = "import sys; from bridgeseg.registry import modules; print(modules('bridgeseg.settings'), *sys.modules)"
    printed = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout
    assert "'train': 'bridgeseg.settings.train'" in printed
    assert " bridgeseg.settings.train" not in printed.replace("'bridgeseg.settings.train'", "")
    assert "torch" not in printed.split()


def test_modules_leaves_private_ones_out():
    here = modules("bridgeseg")
    assert "cli" in here
    assert "__main__" not in here
