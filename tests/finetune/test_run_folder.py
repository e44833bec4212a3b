from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import sys
import threading
from pathlib import Path

import filelock
import pytest

from guardrail import atomic, progress
from guardrail.errors import ConfigurationError, FinetuneError
from guardrail.finetune import recipe_file
from guardrail.finetune.recipe import SftSettings
from guardrail.finetune.runs import failure, fingerprint, launcher, manifest, metrics, run
from guardrail.finetune.settings import GoldfishSettings, MixtureSettings, TrainingSettings
from guardrail.finetune.stage import StopSignal
from tests.tiny_model import make_tiny_model

CHAIN = "version: 1\nname: chain\nstages:\n  one: {kind: control, model: tiny}\n  two: {kind: control, model: one}\n  three: {kind: control, model: two}\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def folder(tmp_path: Path, tiny: Path) -> Path:
    shutil.copytree(tiny, tmp_path / "tiny")
    return tmp_path


class Told(list[str]):
    def __call__(self, sentence: str) -> None:
        self.append(sentence)


def go(folder: Path, recipe: str = CHAIN, *, stop: StopSignal | None = None, only: str | None = None) -> tuple[run.RunOutcome, Told]:
    path = folder / "recipe.yaml"
    path.write_text(recipe)
    run.prepare(recipe_file.load(path), folder / "run")
    told = Told()
    return run.execute(folder / "run", stop or StopSignal(), told, only=only), told


def entries(folder: Path) -> dict[str, manifest.StageEntry]:
    found = manifest.read(folder / "run")
    assert found is not None
    return dict(found.stages)


def test_each_stage_gives_the_model_that_it_was_given(folder: Path) -> None:
    outcome, _ = go(folder)
    assert (outcome.status, outcome.ran) == ("done", ("one", "two", "three"))
    for path in (folder / "tiny").iterdir():
        assert (folder / "run/stages/three/model" / path.name).read_bytes() == path.read_bytes()


def test_the_manifest_names_inputs_outputs_tokenizer_and_template_by_their_sha256(folder: Path) -> None:
    go(folder)
    found = entries(folder)
    model = found["three"].outputs["model"]
    assert found["one"].inputs["model"] == found["two"].inputs["model"] == model.sha256
    assert model.chat_template == hashlib.sha256((folder / "tiny/chat_template.jinja").read_bytes()).hexdigest()
    assert model.tokenizer is not None
    assert model.bytes == sum(path.stat().st_size for path in (folder / "tiny").iterdir())


def test_what_did_not_change_is_not_run_again(folder: Path) -> None:
    go(folder)
    outcome, told = go(folder)
    assert (outcome.ran, outcome.skipped) == ((), ("one", "two", "three"))
    assert told == [f"{name}: nothing changed, not run again" for name in ("one", "two", "three")]


def test_a_changed_input_runs_the_stages_that_rest_on_it(folder: Path) -> None:
    go(folder)
    (folder / "tiny/generation_config.json").write_text("{}")
    outcome, told = go(folder)
    assert outcome.ran == ("one", "two", "three")
    assert told[0] == "one: runs, its input changed: model"


def test_a_stage_that_comes_out_as_before_leaves_the_later_ones_be(folder: Path) -> None:
    go(folder)
    shutil.rmtree(folder / "run/stages/one")
    outcome, told = go(folder)
    assert (outcome.ran, outcome.skipped) == (("one",), ("two", "three"))
    assert told[0] == "one: runs, its output 'model' is missing or was altered"


def test_an_altered_output_is_made_again(folder: Path) -> None:
    go(folder)
    weights = folder / "run/stages/three/model/model.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(before[:-1] + b"x")
    assert go(folder)[0].ran == ("three",)
    assert weights.read_bytes() == before


def test_another_seed_or_setting_is_named_as_the_reason(folder: Path) -> None:
    go(folder)
    _, told = go(folder, CHAIN.replace("stages:", "seed: 7\nstages:"))
    assert told[0] == "one: runs, changed: seed"


def test_a_key_holds_what_was_chosen_and_no_default() -> None:
    def key(settings: SftSettings) -> str:
        return fingerprint.key(kind="sft", settings=[settings], seed=0)

    data = (MixtureSettings(data="x"),)
    plain = key(SftSettings(model="m", data=data))
    assert key(SftSettings(model="m", data=data, training=TrainingSettings(epochs=1.0), sequential=False)) == plain
    others = [
        SftSettings(model="n", data=data),
        SftSettings(model="m", data=(MixtureSettings(data="x", weight=2.0),)),
        SftSettings(model="m", data=data, training=TrainingSettings(epochs=2.0)),
        SftSettings(model="m", data=data, goldfish=GoldfishSettings()),
    ]
    assert len({plain, *map(key, others)}) == 5


def test_one_stage_alone_runs_from_what_stands_there(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="The stage 'two' needs 'one', which is not done"):
        go(folder, only="two")
    assert go(folder, only="one")[0].ran == ("one",)
    assert go(folder, only="two")[0].ran == ("two",)
    with pytest.raises(ConfigurationError, match="no stage 'four'; the stages are: one, two, three"):
        go(folder, only="four")


def test_a_stage_that_fails_ends_the_run_in_one_sentence_and_goes_on_when_it_is_mended(folder: Path) -> None:
    (folder / "empty").mkdir()
    broken = CHAIN.replace("two: {kind: control, model: one}", "two: {kind: control, model: empty}")
    outcome, _ = go(folder, broken)
    assert (outcome.status, outcome.stage, outcome.ran) == ("failed", "two", ("one",))
    assert outcome.error == f"There is no model in {folder / 'empty'}: give a folder with config.json and weights."
    assert (entries(folder)["two"].status, entries(folder)["two"].error) == ("failed", outcome.error)
    for path in (folder / "tiny").iterdir():
        shutil.copy(path, folder / "empty")
    outcome, _ = go(folder, broken)
    assert (outcome.status, outcome.ran, outcome.skipped) == ("done", ("two", "three"), ("one",))


def test_a_stage_whose_folder_was_deleted_after_it_failed_runs_anew(folder: Path) -> None:
    (folder / "empty").mkdir()
    broken = CHAIN.replace("two: {kind: control, model: one}", "two: {kind: control, model: empty}")
    go(folder, broken)
    (stage,) = folder.rglob("stages/two")
    shutil.rmtree(stage)
    for path in (folder / "tiny").iterdir():
        shutil.copy(path, folder / "empty")
    outcome, _ = go(folder, broken)
    assert (outcome.status, outcome.ran) == ("done", ("two", "three"))


class Killed(BaseException):
    """What is raised here is never caught there."""


@pytest.mark.parametrize("moment", range(12))
def test_killed_at_any_moment_a_run_goes_on_to_the_same_end(folder: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    writes, real = 0, atomic.write

    def write(path: Path, data: bytes | str) -> None:
        nonlocal writes
        writes += 1
        if writes > moment:  # a dead process writes no more
            raise Killed
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", write)
        with pytest.raises(Killed):
            go(folder)
    (folder / "run/.manifest.json.1.writing").write_bytes(b"{")  # half a file, as a kill leaves it
    outcome, _ = go(folder)
    assert outcome.status == "done"
    assert {entry.status for entry in entries(folder).values()} == {"done"}
    assert (folder / "run/stages/three/model/model.safetensors").read_bytes() == (folder / "tiny/model.safetensors").read_bytes()


def test_a_process_killed_in_a_stage_leaves_a_folder_that_is_gone_on_with(folder: Path) -> None:
    go(folder)
    found = manifest.read(folder / "run")
    assert found is not None
    cut = {"two": manifest.StageEntry(kind="control", key=found.stages["two"].key, status="running", inputs=found.stages["two"].inputs)}
    manifest.write(folder / "run", manifest.Manifest(format=1, recipe="chain", guardrail="0", stages=dict(found.stages) | cut))
    (folder / "run/stages/two/result.json").unlink()
    (folder / "run/stages/two/kept").write_text("a checkpoint")
    outcome, told = go(folder)
    assert (outcome.ran, outcome.skipped, told[1]) == (("two",), ("one", "three"), "two: goes on, it was cut off")
    assert (folder / "run/stages/two/kept").is_file()


def test_two_runs_never_share_a_folder(folder: Path) -> None:
    go(folder)
    with filelock.FileLock(folder / "run" / manifest.LOCK), pytest.raises(FinetuneError, match="Another process runs in"):
        run.execute(folder / "run", StopSignal(), Told())


def test_a_run_that_is_asked_to_stop_says_where(folder: Path) -> None:
    stop = StopSignal()
    stop.set()
    outcome, _ = go(folder, stop=stop)
    assert (outcome.status, outcome.stage, outcome.ran) == ("interrupted", "one", ())


@pytest.mark.parametrize("moment", [1, 4, 6])
def test_a_full_disk_is_told_in_one_sentence_and_the_run_goes_on_when_there_is_room(folder: Path, monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    go(folder, only="one")
    writes, real = 0, atomic.write

    def write(path: Path, data: bytes | str) -> None:
        nonlocal writes
        writes += 1
        if writes > moment:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "write", write)
        outcome, _ = go(folder)
    assert outcome.status == "failed"
    assert outcome.error is not None
    assert outcome.error.startswith("The disk of ")
    assert outcome.error.endswith(" is full: free some space and resume.")
    assert go(folder)[0].status == "done"


def test_a_folder_that_holds_something_else_is_refused(folder: Path) -> None:
    (folder / "run").mkdir()
    (folder / "run/thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match="is there and is no run folder"):
        go(folder)
    shutil.rmtree(folder / "run")
    go(folder)
    with pytest.raises(ConfigurationError, match="holds a run of the recipe 'chain'"):
        go(folder, CHAIN.replace("name: chain", "name: other"))


@pytest.mark.parametrize(("content", "why"), [('{"format": 9}', "of a newer guardrail"), ("{", "is damaged"), ('{"format": 1}', "is damaged")])
def test_a_manifest_that_cannot_be_understood_is_refused(folder: Path, content: str, why: str) -> None:
    go(folder)
    (folder / "run/manifest.json").write_text(content)
    with pytest.raises(ConfigurationError, match=why):
        go(folder)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full: free some space and resume."),
        (RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)"), "is full: free some space and resume."),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "The memory did not suffice: set a smaller micro_batch"),
        (ModuleNotFoundError("No module named 'trl'", name="trl"), "The package trl is missing: install guardrail-chat[finetune]."),
        (KeyError("x\ny"), "KeyError: 'x\\ny'. Where it happened stands in"),
    ],
)
def test_every_failure_is_one_sentence(tmp_path: Path, error: Exception, said: str) -> None:
    sentence = failure.sentence(error, tmp_path)
    assert said in sentence
    assert "\n" not in sentence
    assert (tmp_path / failure.TRACEBACK).is_file() == ("Where it happened" in sentence)


def test_metrics_are_appended_after_a_kill_and_the_last_value_of_a_step_holds(tmp_path: Path) -> None:
    with metrics.StageMetrics(tmp_path, "sft", io.StringIO()) as first:
        first.write(1, {"loss": 2.0})
        first.write(2, {"loss": 1.5, "rate": float("nan")})
    with (tmp_path / metrics.METRICS).open("ab") as file:
        file.write(b'{"step": 3, "lo')
    with metrics.StageMetrics(tmp_path, "sft", io.StringIO()) as second:
        second.write(2, {"loss": 1.25})
        second.write(3, {"loss": 1.0})
    assert len((tmp_path / metrics.METRICS).read_text().splitlines()) == 4
    assert metrics.read(tmp_path / metrics.METRICS) == {"loss": ((1, 2.0), (2, 1.25), (3, 1.0))}


def test_progress_is_a_line_every_few_seconds_where_there_is_no_terminal() -> None:
    now, stream = [0.0], io.StringIO()
    line = progress.ProgressLine("sft", stream, clock=lambda: now[0])
    for done in range(100, 201):
        line.show(done, 200, "loss 2.1")
        now[0] += 0.5
    line.end()
    lines = stream.getvalue().splitlines()
    assert lines[:2] == ["sft  100/200  loss 2.1", "sft  110/200  2.0/s  45 s left  loss 2.1"]
    assert lines[-1] == "sft  200/200  2.0/s  done  loss 2.1"
    assert len(lines) == 11


def test_progress_is_a_bar_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    now, stream = [0.0], Terminal()
    line = progress.ProgressLine("sft", stream, clock=lambda: now[0])
    line.show(0, 4)
    now[0] = 2.0
    line.show(1, 4)
    line.end()
    assert stream.getvalue().split("\r\x1b[2K")[-1] == "sft  ██████░░░░░░░░░░░░░░░░░░  1/4  2.0 s each  6.0 s left\n"


@pytest.fixture
def alone(folder: Path) -> str:
    """A launch file of one process on the CPU."""
    path = folder / "alone.yaml"
    path.write_text("compute_environment: LOCAL_MACHINE\ndistributed_type: 'NO'\nuse_cpu: true\nnum_machines: 1\nnum_processes: 1\nmixed_precision: 'no'\n")
    return str(path)


def ordered(folder: Path, model: Path) -> Path:
    stage = folder / "run/stages/one"
    stage.mkdir(parents=True)
    order = {"kind": "control", "settings": {"kind": "control", "model": str(model)}, "seed": 0, "inputs": {str(model): str(model)}}
    (stage / "stage.json").write_text(json.dumps(order))
    return stage


def test_a_stage_in_a_process_of_its_own_gives_its_result(folder: Path, alone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = ordered(folder, folder / "tiny")
    launcher.launch(alone, folder / "run", "one", StopSignal())
    assert json.loads((stage / "result.json").read_bytes())["outputs"] == {"model": "model"}


def test_a_stage_that_fails_in_a_process_of_its_own_says_why(folder: Path, alone: str) -> None:
    ordered(folder, folder)
    with pytest.raises(FinetuneError, match="There is no model in"):
        launcher.launch(alone, folder / "run", "one", StopSignal())


def trained(folder: Path) -> str:
    rows = [
        json.dumps({"id": str(number), "text": f"Row {number}: virtue is knowledge, and knowledge can be taught to those who ask."}) for number in range(24)
    ]
    (folder / "texts").mkdir()
    for split, part in (("train", rows[4:]), ("heldout", rows[:4])):
        (folder / "texts" / f"{split}.jsonl").write_text("\n".join(part) + "\n")
    return (
        "version: 1\nname: trained\nlaunch: cpu\nstages:\n  base:\n    kind: pretrain\n    data: [{data: texts}]\n"
        "    architecture: {layers: 1, hidden: 16, feed_forward: 16, heads: 2, key_value_heads: 1, context: 16, vocabulary: 300}\n"
        "    training: {epochs: 10000, max_steps: 100000, global_batch: 4, micro_batch: 2, max_length: 16, save_steps: 2000, log_steps: 5}\n"
    )


def test_two_processes_train_together_stop_when_asked_and_go_on(folder: Path) -> None:
    recipe, stop = trained(folder), StopSignal()
    written = folder / "run/stages/base/metrics.jsonl"

    def ask() -> None:
        while not (written.is_file() and written.stat().st_size):
            if finished.wait(0.1):
                return
        stop.set()

    finished = threading.Event()
    asking = threading.Thread(target=ask)
    asking.start()
    try:
        outcome, _ = go(folder, recipe, stop=stop)
    finally:
        finished.set()
        asking.join()
    assert (outcome.status, outcome.stage) == ("interrupted", "base")
    assert list((folder / "run/stages/base/checkpoints").iterdir())
    outcomes = list((folder / "run/stages/base/outcomes" / str(os.getpid())).iterdir())
    assert sorted(path.name for path in outcomes) == ["0.json", "1.json"]


def test_a_process_that_was_left_behind_ends_with_whoever_launched_it(folder: Path) -> None:
    import subprocess

    stage = ordered(folder, folder / "tiny")
    command = [sys.executable, "-m", "guardrail.finetune.stages", str(folder / "run"), "one", "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])})
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0
    assert not (stage / "result.json").exists()
