"""What every job is run through: marks, log, status, devices, an end with its parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regionzoo import gpus
from regionzoo.errors import UserError
from regionzoo.launch import distributed
from regionzoo.records import distrust, distrust_unfinished, mark, marker_of


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(folder: Path, code: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python line as a job that makes ``out.txt``."""
    command = [sys.executable, "-m", "regionzoo.job", "out.txt", "--log", "logs/job.log", *options, "--"]
    return subprocess.run(
        [*command, sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=os.environ | environment
    )


def record(folder: Path, output: str) -> Path:
    import base64

    path = folder / ".snakemake/metadata" / base64.urlsafe_b64encode(output.encode()).decode()
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def test_success_leaves_a_log_and_no_mark(here: Path) -> None:
    done = job(here, "import sys; print('said'); print('warned', file=sys.stderr)")
    assert done.returncode == 0 and done.stderr == ""
    assert sorted((here / "logs/job.log").read_text().splitlines()) == ["said", "warned"]
    assert sorted(done.stdout.splitlines()) == ["said", "warned"]
    assert not marker_of(["out.txt"]).exists()


@pytest.mark.parametrize(
    ("code", "status"), [("raise SystemExit(3)", 3), ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 137)]
)
def test_failure_is_passed_on_and_leaves_the_mark(here: Path, code: str, status: int) -> None:
    assert job(here, code).returncode == status
    assert json.loads(marker_of(["out.txt"]).read_text()) == {"outputs": ["out.txt"]}


def test_bad_calls_are_told(here: Path) -> None:
    command = [sys.executable, "-m", "regionzoo.job", "out.txt", "--log", "l"]
    assert subprocess.run(command, cwd=here, capture_output=True).returncode == 2
    absent = subprocess.run([*command, "--", "no-such-command"], cwd=here, capture_output=True, text=True)
    assert absent.returncode == 2 and absent.stderr.startswith("error: no-such-command: no such command")


def test_the_command_ends_when_its_callers_parent_is_killed(here: Path) -> None:
    inner = "import pathlib, time, os; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(60)"
    command = [sys.executable, "-m", "regionzoo.job", "out.txt", "--log", "job.log", "--", sys.executable, "-c", inner]
    outer = f"import subprocess; subprocess.run({command!r})"
    parent = subprocess.Popen([sys.executable, "-c", outer], cwd=here)
    pid = wait_for(here / "pid")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(pid)
    assert marker_of(["out.txt"]).exists()


def wait_for(path: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise AssertionError(f"{path} did not appear")


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[:1]
    except FileNotFoundError:
        return False


def test_records_are_distrusted_only_where_a_job_did_not_succeed(here: Path) -> None:
    for name in ("failed", "restored", "untouched"):
        Path(name).write_text("x")
        record(here, name).write_text(json.dumps({"params": ["lr=1"], "endtime": time.time() - 100}))
    mark(["failed"])
    mark(["restored"])
    # The failed run's own record, and no output; the restored ones are as before the run.
    record(here, "failed").write_text(json.dumps({"params": ["lr=2"], "endtime": time.time() + 1, "rule": "train"}))
    Path("failed").unlink()
    assert distrust_unfinished() == ["failed"]
    assert json.loads(record(here, "failed").read_text())["params"] == ["unfinished"]
    assert json.loads(record(here, "failed").read_text())["rule"] == "train"
    assert json.loads(record(here, "restored").read_text())["params"] == ["lr=1"]
    assert json.loads(record(here, "untouched").read_text())["params"] == ["lr=1"]


def test_an_old_file_does_not_hide_the_failed_runs_record(here: Path) -> None:
    mark(["out.txt"])
    Path("out.txt").write_text("brought back by hand")
    record(here, "out.txt").write_text(json.dumps({"params": ["lr=2"], "endtime": time.time() + 1}))
    assert distrust_unfinished() == ["out.txt"]


def test_a_record_that_is_missing_or_damaged_is_made(here: Path) -> None:
    record(here, "b").write_text("{not json")
    distrust(["a", "b"], "gone")
    for name in "ab":
        assert json.loads(record(here, name).read_text())["params"] == ["gone"]


def test_jobs_get_devices_of_their_own(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "LOCKS", here / "locks")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with gpus.granted(2) as first, gpus.granted(1) as second:
        assert (first, second) == ("0,1", "2")
    with gpus.granted(0) as none:
        assert none is None
    with pytest.raises(UserError, match="this machine offers 3"), gpus.granted(4):
        pass
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with gpus.granted(4) as chosen:
        assert chosen is None


def test_six_jobs_share_three_devices_without_a_clash(here: Path) -> None:
    code = (
        "import os, sys, time, pathlib\n"
        "from regionzoo import gpus\n"
        "gpus.LOCKS = pathlib.Path('locks'); gpus.RETRY_EVERY = 0.02\n"
        "with gpus.granted(int(sys.argv[1])) as mine:\n"
        "    for name in mine.split(','):\n"
        "        os.close(os.open(f'held-{name}', os.O_CREAT | os.O_EXCL))\n"
        "    time.sleep(0.1)\n"
        "    for name in mine.split(','):\n"
        "        os.unlink(f'held-{name}')\n"
    )
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,1,2"}
    environment.pop("SLURM_JOB_ID", None)
    jobs = [
        subprocess.Popen([sys.executable, "-c", code, str(count)], cwd=here, env=environment)
        for count in (1, 2, 1, 2, 1, 3)
    ]
    assert [one.wait(60) for one in jobs] == [0] * 6


def test_how_several_devices_and_nodes_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["regionzoo", "train", "--settings", "{}"]
    assert distributed(command, 0, 1) == distributed(command, 1, 1) == command
    four = distributed(command, 4, 1)
    assert four[1:] == ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=4", "-m", *command]
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(UserError, match="outside a Slurm job"):
        distributed(command, 4, 2)
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    two = distributed(command, 4, 2)
    assert two[0] == "srun" and {"--nnodes=2", "--nproc-per-node=2"} < set(two)
    assert two[-5:] == ["-m", "regionzoo", *command[1:]]
    with pytest.raises(UserError, match="2 nodes cannot share 3 GPUs equally"):
        distributed(command, 3, 2)
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    with pytest.raises(UserError, match="need the resources mpi=srun"):
        distributed(command, 4, 2)
