"""`validate` on a real directory: everything at once, nothing followed out of it."""

import json
import os
from pathlib import Path

import pytest

from expci.core.model.content import SPEC_NAME, File, plan_id, variant_files
from expci.errors import ExpciError
from expci.flows.verbs.validate import ValidateResult, load_from_disk, validate
from expci.store.git.git import Git
from support.repositories import Repository
from support.specimen import FAST

SPEC = """\
version: 1
hypothesis: Caching cuts build time by 15% within 14 days.
slot: build
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, minimum_effect: 15%}
"""


def put(root: Path, id: str, spec: str = SPEC, place: str = "experiments", **files: str) -> Path:
    directory = root / place / id
    files = files or {"treatment/build.sh": f"echo {id}\n"}
    for name, text in {SPEC_NAME: spec, **files}.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def commit_all(root: Path) -> Git:
    git = Git(root)
    git.run("init", "-q")
    git.run("add", "-A")
    git.run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")
    return git


def messages(result: ValidateResult) -> str:
    return "\n".join(str(problem) for problem in result.problems)


def test_problems_of_all_experiments_and_the_defaults_come_at_once(tmp_path: Path) -> None:
    put(tmp_path, "good")
    put(tmp_path, "bad", SPEC.replace("slot: build", "slto: build"))
    put(tmp_path, "worse", "a: [")
    (tmp_path / "experiments/expci.yml").write_text("timeout: 5\n")
    result = validate(tmp_path, ())
    assert result.checked == ("bad", "good", "worse")
    told = messages(result).splitlines()
    assert len(told) == 3
    assert told[0].startswith("experiments/expci.yml:1: timeout: has no unit")
    assert (
        "experiments/bad/experiment.yml:3: slto: is an unknown key — did you mean `slot`?" in told
    )
    assert any(line.startswith("experiments/worse/experiment.yml:") for line in told)


def test_only_the_asked_ones_and_unknown_ids_with_a_guess(tmp_path: Path) -> None:
    put(tmp_path, "faster-build")
    put(tmp_path, "bad", "a: [")
    assert validate(tmp_path, ["faster-build"]).is_valid
    result = validate(tmp_path, ["faster-biuld"])
    assert messages(result) == (
        "experiments/faster-biuld: there is no such experiment — did you mean faster-build?"
    )


def test_what_a_sparse_checkout_leaves_out_is_told_from_what_is_nowhere(tmp_path: Path) -> None:
    put(tmp_path, "faster")
    git = commit_all(tmp_path)
    git.run("sparse-checkout", "set", "--no-cone", "/README.md")
    text = messages(validate(tmp_path, ["faster"], git=git))
    assert "in HEAD and not on disk" in text
    assert "git sparse-checkout add experiments/faster" in text
    assert "no such experiment" in messages(validate(tmp_path, ["other"], git=git))


def test_roots_of_a_monorepo_and_one_id_in_two_of_them(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/expci.yml").write_text("roots: [experiments, api/experiments]\n")
    put(tmp_path, "one", SPEC.replace("slot: build", "slot: a"))
    put(tmp_path, "two", SPEC.replace("slot: build", "slot: b"), place="api/experiments")
    assert validate(tmp_path).checked == ("one", "two")
    assert validate(tmp_path).is_valid
    put(tmp_path, "one", place="api/experiments")
    assert "the id one is used in experiments/one too" in messages(validate(tmp_path))


def test_explain_gives_every_value_and_its_origin(tmp_path: Path) -> None:
    put(tmp_path, "faster")
    (tmp_path / "experiments/expci.yml").write_text("plan:\n  max_days: 30\n")
    explained = {item.key: item for item in validate(tmp_path, explain=True).explained["faster"]}
    found = {key: (explained[key].value, explained[key].origin) for key in explained}
    assert found["slot"] == ("build", "experiments/faster/experiment.yml:3")
    assert found["plan.max_days"] == (30, "experiments/expci.yml:2")
    assert found["plan.alpha"] == (0.05, "default")
    assert found["assignment.design"] == ("blocked", "derived: no run:")
    assert found["metrics[0].direction"] == ("decrease", "derived from the name duration_s")
    assert found["metrics[1].name"][1].startswith("added: success is a guardrail")
    assert found["decision.promote_at"] == ("7.5%", "derived: half of minimum_effect")
    assert validate(tmp_path).explained == {}


def test_json(tmp_path: Path) -> None:
    put(tmp_path, "faster")
    put(tmp_path, "bad", SPEC.replace("15%", "no", 2))
    data = json.loads(json.dumps(validate(tmp_path, explain=True).to_json()))
    assert (data["schema"], data["valid"]) == ("expci.validate/1", False)
    assert data["problems"][0]["file"] == "experiments/bad/experiment.yml"
    assert data["problems"][0]["line"] == 8
    faster = next(item for item in data["experiments"] if item["id"] == "faster")
    assert any("No guardrail" in advice for advice in faster["advice"])
    assert {"key": "slot", "value": "build", "origin": "experiments/faster/experiment.yml:3"} in (
        faster["effective"]
    )


def test_two_in_one_slot_that_vary_the_same_file(tmp_path: Path) -> None:
    put(tmp_path, "first")
    put(tmp_path, "second")
    assert "varies 'build.sh' in slot 'build', as first does" in messages(validate(tmp_path))
    assert "as first does" in messages(validate(tmp_path, ["second"]))
    assert validate(tmp_path, ended=["first"]).is_valid


def test_two_in_one_slot_anywhere_in_a_monorepo(tmp_path: Path) -> None:
    put(tmp_path, "first", place="web/experiments")
    put(tmp_path, "second", place="api/experiments")
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/expci.yml").write_text("roots: [web/experiments, api/experiments]\n")
    told = messages(validate(tmp_path))
    assert told.startswith("api/experiments/second/experiment.yml")  # told of the later one
    assert "varies 'build.sh' in slot 'build', as first does" in told


def test_what_is_wrong_with_the_base_is_told_with_everything_else(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/a").write_text("a")
    (tmp_path / "link").symlink_to("lib")
    base = commit_all(tmp_path).read_tree("HEAD")
    spec = SPEC.replace("slot", "slto").replace(
        "{files: treatment/}", "{files: treatment/, delete: [gone, lib, /abs]}"
    )
    put(tmp_path, "bad", spec, **{"treatment/link/a": "b"})
    told = messages(validate(tmp_path, base=base))
    assert "slto: is an unknown key" in told
    assert "arms.treatment.delete[0]: there is no 'gone' to delete" in told
    assert "arms.treatment.delete[1]: 'lib' is a directory" in told
    assert "'link/a' passes through 'link', a symlink in the repository" in told
    assert told.count("delete[2]") == 1, "a path that is refused is not looked for as well"


def test_a_file_that_is_no_text_is_named_once(tmp_path: Path) -> None:
    directory = put(tmp_path, "bad")
    (directory / SPEC_NAME).write_bytes(b"version: 1\nname: \xff\n")
    [problem] = validate(tmp_path).problems
    assert str(problem).startswith("experiments/bad/experiment.yml:2: is not UTF-8 text")


def test_links_are_refused_wherever_they_stand(tmp_path: Path) -> None:
    secret = tmp_path / "secret.yml"
    secret.write_text(SPEC)
    inside = put(tmp_path, "inside")
    (inside / "treatment/link").symlink_to("/etc/passwd")
    (tmp_path / "experiments/linked").mkdir()
    (tmp_path / "experiments/linked/experiment.yml").symlink_to(secret)
    outside = put(tmp_path / "elsewhere", "outside")
    (tmp_path / "experiments/outside").symlink_to(outside)
    put(tmp_path, "module")
    (tmp_path / "experiments/module/treatment/.git").write_text("gitdir: ../x")
    told = messages(validate(tmp_path))
    assert (
        "experiments/inside/experiment.yml:6: arms.treatment.files: 'treatment/link' is a symlink"
        in told
    )
    assert "experiments/linked/experiment.yml: is a symlink" in told
    assert "experiments/outside/experiment.yml: 'outside' is a symlink" in told
    assert (
        "experiments/module/experiment.yml:6: arms.treatment.files: 'treatment/' is a submodule"
        in told
    )


def test_a_pipe_does_not_hang_it(tmp_path: Path) -> None:
    directory = put(tmp_path, "faster")
    os.mkfifo(directory / "treatment/pipe")
    assert "'treatment/pipe' is not a plain file" in messages(validate(tmp_path))
    (directory / SPEC_NAME).unlink()
    os.mkfifo(directory / SPEC_NAME)
    assert "is not a plain file" in messages(validate(tmp_path))


def test_too_large(tmp_path: Path) -> None:
    directory = put(tmp_path, "faster")
    with (directory / "treatment/big").open("wb") as file:
        file.truncate(25_000_001)
    assert "more than 25 MB" in messages(validate(tmp_path))
    (directory / "treatment/big").rename(directory / "results.csv")  # no part of the plan
    assert validate(tmp_path).is_valid
    (directory / SPEC_NAME).write_text(SPEC + "#" * 1_000_000)
    assert "larger than 1 MB" in messages(validate(tmp_path))


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    directory = put(tmp_path, "faster")
    (directory / SPEC_NAME).write_bytes(SPEC.encode("utf-16"))
    assert "is not UTF-8 text — save the file as UTF-8" in messages(validate(tmp_path))


def test_a_directory_without_experiments(tmp_path: Path) -> None:
    assert validate(tmp_path).checked == ()
    with pytest.raises(ExpciError, match="expci create faster"):
        load_from_disk(tmp_path, "faster")


def test_disk_and_commit_give_the_same_plan(tmp_path: Path) -> None:
    directory = put(tmp_path, "faster")
    (directory / "treatment/run.sh").write_text("echo\n")
    (directory / "treatment/run.sh").chmod(0o755)
    (directory / "notes.md").write_text("not part of it")
    git = commit_all(tmp_path)
    tree = load_from_disk(tmp_path, "faster")
    assert tree["treatment/run.sh"] == File("100755", b"echo\n")
    assert "notes.md" not in tree
    committed = git.read_files("HEAD", "experiments/faster")
    arms = ()
    assert plan_id(variant_files(arms, tree)) == plan_id(variant_files(arms, committed))
    assert {path: committed[path] for path in tree} == tree


def test_against_the_repository(tmp_path: Path) -> None:
    put(tmp_path, "faster")
    (tmp_path / "build.sh").write_text("echo faster\n")
    git = commit_all(tmp_path)
    assert validate(tmp_path).is_valid
    told = messages(validate(tmp_path, base=git.read_tree("HEAD")))
    assert (
        "experiments/faster/experiment.yml:6: arms.treatment.files: 'build.sh' is the same" in told
    )
    (tmp_path / "experiments/faster/treatment/build.sh").write_text("echo changed\n")
    assert validate(tmp_path, base=git.read_tree("HEAD")).is_valid


def test_unchanged_copies_are_no_fault_until_they_are_committed(tmp_path: Path) -> None:
    (tmp_path / "build.sh").write_text("echo faster\n")
    git = commit_all(tmp_path)
    put(tmp_path, "faster")
    result = validate(tmp_path, base=git.read_tree("HEAD"))
    assert result.is_valid
    assert "'build.sh' is the same as in the repository" in result.advice["faster"][0]
    commit_all(tmp_path)
    assert not validate(tmp_path, base=git.read_tree("HEAD")).is_valid


def test_a_variant_that_lost_its_executable_bit_is_advised_on(repository: Repository) -> None:
    repository.write("experiments/speed/experiment.yml", SPEC)
    repository.write("experiments/speed/treatment/work.sh", FAST)
    base = Git(repository.path).read_tree("HEAD")
    advice = " ".join(validate(repository.path, base=base).advice["speed"])
    assert "'work.sh' is executable in the repository and its variant is not" in advice
    repository.write("experiments/speed/treatment/work.sh", FAST, executable=True)
    assert "executable" not in " ".join(validate(repository.path, base=base).advice["speed"])


def test_a_case_that_is_refused_is_a_problem_at_its_key(repository: Repository) -> None:
    (repository.path / "evals").mkdir()
    for number in range(6):
        (repository.path / f"evals/case-{number}").write_text("task")
    (repository.path / "evals/link").symlink_to("case-1")
    spec = SPEC.replace("slot: build", "run: ./build.sh") + "cases: evals/*\n"
    put(repository.path, "speed", spec)
    git = commit_all(repository.path)
    result = validate(repository.path, git=git)
    assert "cases: the case 'evals/link' is a symlink" in messages(result)
