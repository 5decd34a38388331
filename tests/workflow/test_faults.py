"""Processes killed, disks full, two at once: the same command goes on, and the weights are those of a quiet run.

All of it is done for real. The moments are random, seeded and printed; REGIONZOO_FAULT_SEED chooses others.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from faults import NoMount, Victim, damaged, kill, small_disk, spoil, wait_until
from project import ROW

from regionzoo.artifacts import sha256_file

NAME = "scannet_b15n4"
MODEL = f"results/{NAME}/model.safetensors"
EPOCHS = 24
# One stage each; what they need has been built by Snakemake and is not recorded first.
REPRO = ("dvc", "repro", "-s", "codehash", f"train@{NAME}")


@pytest.fixture(scope="module")
def longer(built, tmp_path_factory: pytest.TempPathFactory) -> Victim:
    """The built row, recorded by git and DVC, and then told to train for longer."""
    project = Victim(built.project.folder).copy(tmp_path_factory.mktemp("longer") / "regionzoo")
    assert project.run("dvc", "repro", "-s", "codehash").code == 0
    kept = project.run("dvc", "commit", "-f", *(f"{stage}@{NAME}" for stage in ("train", "predict", "evaluate")))
    assert kept.code == 0, kept.text
    project.commit("built")
    project.set("scales.small.recipes.onecycle.epochs", EPOCHS)
    return project


@pytest.fixture(scope="module")
def undisturbed(longer: Victim, tmp_path_factory: pytest.TempPathFactory) -> str:
    """SHA-256 of the weights of a training that nobody disturbs."""
    project = longer.copy(tmp_path_factory.mktemp("undisturbed") / "regionzoo")
    done = project.snakemake(MODEL)
    assert done.code == 0, done.text[-3000:]
    weights = sha256_file(project.folder / MODEL)
    assert weights != sha256_file(longer.folder / MODEL)
    return weights


@pytest.fixture
def victim(longer: Victim, tmp_path: Path) -> Victim:
    """A copy to break."""
    return longer.copy(tmp_path / "regionzoo")


@pytest.fixture
def moments(request: pytest.FixtureRequest) -> random.Random:
    """Random moments of this test."""
    seed = f"{os.environ.get('REGIONZOO_FAULT_SEED', '0')} {request.node.name}"
    print(f"moments of seed {seed!r}")
    return random.Random(seed)


def in_the_midst(victim: Victim, moments: random.Random, after: int = 0) -> int:
    """Wait for a random moment of a training that holds more than ``after`` epochs; returns its epochs by then."""
    epochs = after + moments.randint(1, 3)
    wait_until(lambda: victim.epochs_done(NAME) >= epochs and victim.trainings(), f"epoch {epochs} is saved")
    print(f"a moment after epoch {epochs}: {victim.epochs_done(NAME)} are saved")
    return victim.epochs_done(NAME)


def lists_the_row(victim: Victim) -> bool:
    """Whether Snakemake knows that the row is yet to be trained."""
    done = victim.snakemake("-n", ROW)
    return not done.nothing and done.jobs == {"train": 1, "predict": 1, "evaluate": 1}


def went_on(victim: Victim, seen: list[dict[str, float]]) -> bool:
    """Whether the epochs of the killed process are in the final history: a training from zero has other seconds."""
    lines = (victim.folder / "results" / NAME / "history.csv").read_text().splitlines()
    own = [dict(zip(lines[0].split(","), map(float, line.split(",")), strict=True)) for line in lines[1:]]
    return len(own) == EPOCHS and own[: len(seen)] == seen


def test_a_killed_training_goes_on(victim: Victim, undisturbed: str, moments: random.Random, tmp_path: Path) -> None:
    with victim.running("snakemake", "--cores", "1", MODEL) as snakemake:
        saved = in_the_midst(victim, moments)
        first = victim.trainings()
        kill(first[0])
        # Snakemake tries once more; this time at any moment, the start included.
        wait_until(lambda: set(victim.trainings()) - set(first), "the training is started again")
        start, pause = time.monotonic(), moments.uniform(0, 3)
        print(f"{pause:.2f} s after the second start")
        wait_until(
            lambda: time.monotonic() > start + pause or victim.epochs_done(NAME) > saved + 5, "a moment has come"
        )
        for pid in victim.trainings():
            kill(pid)
        done = snakemake.done()
    assert done.code == 1, done.text[-3000:]
    assert f"{NAME}: going on after epoch" not in done.text or victim.epochs_done(NAME) >= saved
    # The files of the row's earlier training are no excuse.
    assert lists_the_row(victim) and not (victim.folder / MODEL).exists()
    back, rotten = victim.copy(tmp_path / "back"), victim.copy(tmp_path / "rotten")
    finishes(victim, ("snakemake", "--cores", "1", MODEL), undisturbed)
    back_to_the_old_parameters(back)
    a_rotten_state_is_not_used(rotten, undisturbed)


def a_rotten_state_is_not_used(project: Victim, undisturbed: str) -> None:
    """The training begins at its first epoch."""
    path = project.folder / "runs" / NAME / "state.safetensors"
    path.write_bytes(spoil(path.read_bytes(), "flipped 0.6"))
    done = project.snakemake(MODEL)
    assert done.code == 0 and "going on" not in done.text
    assert sha256_file(project.folder / MODEL) == undisturbed


def finishes(victim: Victim, command: tuple[str, ...], undisturbed: str) -> None:
    """The command ends well, from the last saved epoch, with the bits of a quiet run."""
    seen = victim.epochs_seen(NAME)
    done = victim.run(*command)
    assert done.code == 0, done.text[-3000:]
    assert seen and f"{NAME}: going on after epoch {len(seen)} of {EPOCHS}" in done.text
    assert went_on(victim, seen) and sha256_file(victim.folder / MODEL) == undisturbed
    assert not (victim.folder / "runs" / NAME).exists() and not list((victim.folder / "runs" / "unfinished").iterdir())


def back_to_the_old_parameters(project: Victim) -> None:
    """git and DVC bring files and records back together, and nothing is trained."""
    assert project.run("git", "checkout", "--", ".").code == 0
    assert project.run("dvc", "checkout", MODEL).code == 0
    assert project.snakemake("-n", ROW).nothing


def test_others_are_refused_and_killed_snakemake_and_dvc_go_on(
    victim: Victim, undisturbed: str, moments: random.Random
) -> None:
    direct = victim.commands(MODEL)["train"]
    command = ("snakemake", "--cores", "1", MODEL)
    with victim.running(*command) as snakemake:
        in_the_midst(victim, moments)
        with held(victim):
            others_are_refused(victim, command, direct)
            snakemake.kill()
            wait_until(victim.told_to_end, "the training is told to end")
        wait_until(lambda: not victim.workers(), "nothing works here any more")
    assert lists_the_row(victim)
    # The lock of the dead process stays, and is explained.
    refused = victim.run(*command)
    assert refused.code == 1 and "LockException" in refused.text and "--unlock" in refused.text
    assert victim.snakemake("--unlock").code == 0

    # DVC goes on with what Snakemake began; killed, it takes Snakemake along, whose lock is gone then.
    saved = victim.epochs_done(NAME)
    with victim.running(*REPRO) as dvc:
        in_the_midst(victim, moments, saved)
        with held(victim):
            dvc.kill()
            wait_until(victim.told_to_end, "the training is told to end")
        wait_until(lambda: not victim.workers(), "nothing works here any more")
        assert f"{NAME}: going on after epoch {saved} of {EPOCHS}" in dvc.output.read_text()
    # DVC's own note about who works on what is left too; the next call takes it away.
    rwlock = victim.folder / ".dvc" / "tmp" / "rwlock"
    assert MODEL in rwlock.read_text()
    finishes(victim, REPRO, undisturbed)
    assert MODEL not in rwlock.read_text()
    assert victim.run("dvc", "status", f"train@{NAME}", "--json").out.strip() == "{}"


def others_are_refused(victim: Victim, snakemake: tuple[str, ...], direct: list[str]) -> None:
    """A second Snakemake, DVC and a training by hand each end with a reason, while the first works."""
    second = victim.run(*snakemake)
    assert second.code == 1 and "LockException" in second.text
    third = victim.run(*REPRO)
    assert third.code != 0 and "LockException" in third.text and f"failed to reproduce 'train@{NAME}'" in third.text
    by_hand = victim.run(*direct)
    assert by_hand.code == 2 and len(by_hand.err.splitlines()) == 1
    assert by_hand.err.startswith(f"error: runs/{NAME}: another training is at work here (process ")


@contextmanager
def held(victim: Victim) -> Iterator[None]:
    """The training stands still for a while, so that it is surely not done before the others have come, or before it
    is told to end, however quick the machine is."""
    pids = victim.trainings()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_a_full_disk_ends_in_one_line(victim: Victim) -> None:
    victim.set("scales.small.recipes.onecycle.epochs", 2)
    try:
        with small_disk(victim, spare=150) as full:
            failed = full.snakemake(ROW)
            says_that_the_disk_is_full(failed.code, failed.text)
            assert not (full.folder / MODEL).exists() and not list(full.folder.rglob("*.tmp*"))
            (full.folder / "filler").unlink()
            again = full.snakemake(ROW)
            assert again.code == 0, again.text[-3000:]
            assert again.jobs == {"train": 1, "predict": 1, "evaluate": 1}
    except NoMount as error:
        print(f"no disk of our own ({error}): a limit of file sizes instead")
        direct = victim.commands(MODEL)["train"]
        failed = victim.run("prlimit", f"--fsize={150 * 1024}", *direct)
        says_that_the_disk_is_full(failed.code, failed.text)
        finished = victim.run(*direct)
        assert finished.code == 0, finished.text[-3000:]


def says_that_the_disk_is_full(code: int, text: str) -> None:
    """One line for each file that could not be written, however often it is shown, and what to do."""
    told = {line for line in text.splitlines() if line.startswith("error:")}
    assert code != 0 and "Traceback" not in text, text[-3000:]
    assert any(line.startswith(f"error: runs/{NAME}/state.safetensors: ") for line in told)
    # Snakemake writes tables of what there is when a row has failed, which fails for the same reason.
    for line in told:
        assert ": not written, the disk is full (" in line and "free some space and run the same command again" in line


def test_a_deleted_or_rotten_cache_entry(victim: Victim, tmp_path: Path) -> None:
    assert victim.run("git", "checkout", "--", "params.yaml").code == 0
    model, content = victim.folder / MODEL, (victim.folder / MODEL).read_bytes()
    assert victim.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store")).code == 0
    assert victim.run("dvc", "push", MODEL).code == 0
    outs = yaml.safe_load((victim.folder / "dvc.lock").read_text())["stages"][f"train@{NAME}"]["outs"]
    digest = next(out["md5"] for out in outs if out["path"] == MODEL)
    cached, stored = (
        root / "files" / "md5" / digest[:2] / digest[2:] for root in (victim.folder / ".dvc/cache", tmp_path / "store")
    )
    # Bits that rot in the cache do not change what DVC knows of the file; whoever reads the weights sees it.
    model.unlink()
    with damaged(cached, "flipped 0.9"):
        victim.run("dvc", "checkout", MODEL)
        assert model.read_bytes() != content
        read = victim.run(*victim.commands(ROW)["predict-scenes"])
        assert read.code == 2 and read.err.startswith(f"error: {MODEL}: damaged, its content is not what was written")
    model.unlink()
    cached.unlink()
    assert victim.run("dvc", "pull", MODEL).code == 0 and model.read_bytes() == content
    for path in (model, cached, stored):
        path.unlink()
    for command in ("checkout", "pull"):
        gone = victim.run("dvc", command, MODEL)
        assert gone.code != 0 and MODEL in gone.text and "Is your cache up to date?" in gone.text
    # What nobody has any more is made again, and nothing that was made from it.
    made = victim.run("dvc", "repro", "-s", f"train@{NAME}")
    assert made.code == 0, made.text[-3000:]
    assert model.read_bytes() == content and cached.exists()
    assert victim.snakemake("-n", ROW).jobs.keys() <= {"predict", "evaluate"}
