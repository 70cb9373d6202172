"""What is on disk, as git would commit it and check it out again (gitattributes(5))."""

from __future__ import annotations

import pytest

from expci.core.model.content import File
from expci.errors import GitError
from expci.store.git.disk_files import as_committed, differing_bytes, ignored
from expci.store.git.git import Git
from support.repositories import Repository


def test_files_are_read_through_gits_own_rules(repository: Repository) -> None:
    repository.write(".gitattributes", "*.txt text eol=crlf\n*.bin -text\n")
    (repository.path / "a.txt").write_bytes(b"one\r\ntwo\r\n")
    (repository.path / "a.bin").write_bytes(b"one\r\n")
    repository.write("größe.sh", "echo\n", executable=True)
    git = Git(repository.path)
    assert as_committed(git, ["a.txt", "a.bin", "größe.sh"]) == {
        "a.txt": File("100644", b"one\ntwo\n"),
        "a.bin": File("100644", b"one\r\n"),
        "größe.sh": File("100755", b"echo\n"),
    }
    assert as_committed(git, []) == as_committed(git, ["with\nnewline"]) == {}


def test_a_required_filter_that_fails_is_an_error(repository: Repository) -> None:
    repository.git("config", "filter.broken.clean", "false")
    repository.git("config", "filter.broken.required", "true")
    repository.write(".gitattributes", "*.dat filter=broken\n")
    repository.write("a.dat", "x\n")
    with pytest.raises(GitError):
        as_committed(Git(repository.path), ["a.dat"])


def test_what_git_ignores_is_listed_below_the_directory_alone(repository: Repository) -> None:
    repository.write(".gitignore", "*.log\nbuild/\n")
    repository.write("experiments/a/treatment/x.log", "")
    repository.write("experiments/a/treatment/build/deep.txt", "")
    repository.write("experiments/a/treatment/fine.txt", "")
    repository.write("other/x.log", "")
    git = Git(repository.path)
    directory = "experiments/a/treatment"
    assert ignored(git, directory) == [f"{directory}/build/deep.txt", f"{directory}/x.log"]
    assert ignored(git, "experiments/a/treat*") == []


def test_places_where_a_checkout_writes_other_bytes(repository: Repository) -> None:
    repository.write(".gitattributes", "*.txt text\napp/*.txt eol=crlf\n*.cfg text=auto\n")
    repository.write("app/a.txt", "one\ntwo\n")
    repository.write("app/b.cfg", "one\n")
    repository.write("app/empty.txt", "")
    repository.commit()
    git = Git(repository.path)
    oids = {p: b.oid for p, b in git.read_tree("HEAD").items()}
    places = {
        f"app/{name}": (f"experiments/a/treatment/{name}", oids[f"app/{name}"])
        for name in ("a.txt", "b.cfg", "empty.txt")
    }
    assert differing_bytes(git, places) == ["app/a.txt"]
    assert differing_bytes(git, {}) == []
