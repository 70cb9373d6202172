"""Every path inside the ledger's tree, spelled here and nowhere else."""

from __future__ import annotations

README = "README.md"
EXPERIMENTS = "experiments"
QUARANTINE = "quarantine"
PULLS = "pulls"
REVIEWED = "reviewed.json"  # open pull requests, and what their reviews reported
ANSWERED = "answered.json"  # how far comments were read, and the commands that were answered
HARVEST = "harvest.json"  # which CI artifacts were taken
ACCEPTED = "accepted.txt"  # traces of a newer ledger that a person gave up
UNCOUNTED = "uncounted.json"  # how much forks left that does not count
SETTLED = "settled.json"  # experiments that a pass need not look at


def experiment(name: str) -> str:
    return f"{EXPERIMENTS}/{name}"


def events(name: str) -> str:
    return f"{experiment(name)}/events.jsonl"


def analysis(name: str) -> str:
    return f"{experiment(name)}/analysis.json"


def promotion(name: str) -> str:
    """The analysis that the promotion rests on, kept beside the watch's own."""
    return f"{experiment(name)}/promotion.json"


def report(name: str) -> str:
    return f"{experiment(name)}/report.md"


def proposal(name: str) -> str:
    """The number of the pull request that proposed it, and whether that was merged."""
    return f"{experiment(name)}/proposal.json"


def looks(name: str) -> str:
    """What each look with a new result showed, one line each."""
    return f"{experiment(name)}/looks.jsonl"


def forge_state(name: str) -> str:
    """The state of the forge at the last pass, so that nothing is repeated there."""
    return f"{experiment(name)}/shown.json"


def promoted(name: str) -> str:
    """Content of the varied paths after the promotion, which watching jobs compare with."""
    return f"{experiment(name)}/promoted.json"


def trials(name: str) -> str:
    """The directory of trial segments."""
    return f"{experiment(name)}/trials"


def amendments(name: str) -> str:
    return f"{experiment(name)}/amendments"


def arrivals(name: str) -> str:
    """After how many trials the amendments came."""
    return f"{experiment(name)}/arrivals.jsonl"


def removed(name: str) -> str:
    """What `expci gc` removed of an experiment, and when."""
    return f"{experiment(name)}/removed.jsonl"


def final(name: str, plan_id: str) -> str:
    """The analysis with which a plan ended, kept when its trials were removed."""
    return f"{experiment(name)}/final/{plan_id}.json"


def sources(name: str) -> str:
    """How far the databases of its metrics were read."""
    return f"{experiment(name)}/sources.json"


def segment(first: int, digest: str) -> str:
    """A segment's name: the position of its first record (from 1) and its content hash."""
    return f"{first:09d}-{digest[:16]}.jsonl"


def plan(name: str, plan_id: str) -> str:
    """The directory of one frozen plan."""
    return f"{experiment(name)}/plan/{plan_id}"


def quarantined(digest: str) -> str:
    return f"{QUARANTINE}/{digest[:32]}.json"


def pull(number: int) -> str:
    """A pull request of the local forge."""
    return f"{PULLS}/{number}.json"


def is_for_people(path: str) -> bool:
    """Whether a file that was made from the ledger is one that people read."""
    return path == README or path.endswith(("/report.md", "/analysis.json"))
