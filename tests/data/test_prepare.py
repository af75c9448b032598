"""Preparing data as users do: odd files, second starts, other engines, kills and a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from media_files import tone, video_file
from prepare_files import (
    celebv,
    clips,
    command,
    entry,
    face_clip,
    face_frames,
    poisoned,
    rows,
    run_prepare,
    shard_bytes,
)

from actalker.media.sound import read_sound
from actalker.media.video import probe, read_frames


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> tuple[Path, Path]:
    """A source of three clips and what comes of it."""
    root = tmp_path_factory.mktemp("undisturbed")
    source = clips(root / "source")
    run_prepare(source, "--out", root / "out", "--engine", "serial", "--clips-per-shard", 2)
    return source, root / "out"


def worked_on(out: Path) -> dict[str, int]:
    """Every stage's result, with its file's number and time: another one was made anew."""
    found = sorted((out / "work").rglob("result.json"))
    return {str(path.relative_to(out)): path.stat().st_mtime_ns for path in found}


def test_every_file_has_a_row_that_says_what_it_is(tmp_path):
    expected = poisoned(tmp_path / "source")
    done = run_prepare(tmp_path / "source", "--out", tmp_path / "out", "--workers", 2)
    found = rows(tmp_path / "out")
    assert set(found) == set(expected)
    for name, words in expected.items():
        told = found[name]
        assert told["status"] == "ok" if words == "ok" else words in told["reason"], (name, told["reason"])
        assert told["status"] in ("ok", "rejected", "failed")
    assert found["good.mp4"]["caption"] == "a woman smiles"
    assert f"2 of {len(expected)} usable" in done.stdout
    page = (tmp_path / "out/report.html").read_text()
    assert f"2 of {len(expected)} usable" in page and "http" not in page.replace("http-equiv", "")
    assert page.count("<img") >= 2 + 2


def test_a_shard_holds_what_training_needs(undisturbed):
    source, out = undisturbed
    told = rows(out)
    members: dict[str, bytes] = {}
    for content in shard_bytes(out).values():
        with tarfile.open(fileobj=BytesIO(content)) as tar:
            for info in tar:
                assert (info.mtime, info.uid, info.uname) == (0, 0, "")
                members[info.name] = tar.extractfile(info).read()
    assert {name.rpartition(".")[2] for name in members} == {"json", "mp4", "wav", "npz"}
    for clip, row in told.items():
        key = row["key"]
        meta = json.loads(members[f"{key}.json"])
        assert meta["clip"] == clip and meta["frames"] == row["frames"] == 25
        video, sound = out / "a.mp4", out / "a.wav"
        video.write_bytes(members[f"{key}.mp4"])
        sound.write_bytes(members[f"{key}.wav"])
        info, heard = probe(video), read_sound(sound)
        assert (info.width, info.height, info.frames, info.fps) == (96, 96, 25, 25)
        assert heard.rate == 16000 and heard.samples.shape == (1, 16000)
        with np.load(BytesIO(members[f"{key}.npz"])) as features:
            boxes, mouth, face = features["boxes"], features["mouth"], features["face"]
        assert boxes.shape == (25, 4) and mouth.shape == face.shape == (96, 96)
        assert np.all((mouth > 127) <= (face > 127)), "the face's region holds the mouth's"
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        assert np.all((middle > 24) & (middle < 72)), "the face is in the middle of its square"


def test_sound_and_picture_of_a_cut_are_those_of_its_time(tmp_path):
    """Frame k of the clip is the raw video's nearest to start + k / 25, and so is the sound."""
    source = tmp_path / "source"
    source.mkdir()
    face_clip(source / "raw.mp4", seconds=4.6, hz=400.0)
    celebv(
        source,
        {"raw_0": entry("raw", 2.5, 3.7), "raw_1": entry("raw", 3.6, 9.0), "raw_2": entry("raw", 6, 7)},
    )
    done = run_prepare(source, "--out", tmp_path / "out", "--engine", "serial", "--track.margin", 1.0)
    told = rows(tmp_path / "out")
    assert (told["raw_0"]["frames"], told["raw_1"]["frames"]) == (30, 25), "the video ends at 4.6 s"
    assert "starts at 6 s" in told["raw_2"]["reason"]
    assert told["raw_0"]["notes"] == "" and told["raw_0"]["span_missing"] is None
    assert told["raw_1"]["notes"] == "its time runs past the file: 1.00 of 5.40 s are there"
    assert told["raw_1"]["span_missing"] == pytest.approx(4.4)
    assert "1 of them: its time runs past the file: 1.00 of 5.40 s are there (raw_1)" in done.stdout
    work = tmp_path / "out/work" / told["raw_0"]["key"][-2:] / told["raw_0"]["key"]
    whole = read_sound(source / "raw.mp4").mono(16000)
    part = read_sound(work / "render/sound.wav").samples[0]
    assert np.abs(part - whole[40000 : 40000 + len(part)]).max() < 2e-4
    track = json.loads((work / "track/result.json").read_text())["values"]
    x, y, side = track["square"]
    from actalker.faces.crop import Crop

    source_frames = list(read_frames(source / "raw.mp4"))
    for k, frame in enumerate(read_frames(work / "render/clip.mp4")):
        shown = source_frames[round((2.5 + k / 25) * 10)]
        expected = Crop(x, y, side).apply(shown, 96).astype(float)
        assert np.abs(frame - expected).mean() < 4, k


def test_annotated_times_are_those_of_the_file(tmp_path):
    """The picture begins 0.4 s after the file; at 2 s of the file it becomes lighter and a tone begins."""
    frames = [(frame * 0.8 + 25 * (k >= 16)).astype(np.uint8) for k, frame in enumerate(face_frames(32))]
    times = [Fraction(4 + k, 10) for k in range(32)]
    sound = tone(3.6, hz=500.0) * (np.arange(57600) >= 32000)
    (tmp_path / "source").mkdir()
    video_file(tmp_path / "source/late.mp4", frames, 10, times=times, sound=sound)
    feels = {"emotion": {"labels": [{"emotion": "happy", "start_sec": 1.0, "end_sec": 2.5}]}}
    spans = {"late_0": (1.0, 3.0), "late_1": (0.0, 3.0)}
    entries = {clip: entry("late", *span, attributes=feels) for clip, span in spans.items()}
    celebv(tmp_path / "source", entries)
    run_prepare(tmp_path / "source", "--out", tmp_path / "out", "--engine", "serial")
    told = rows(tmp_path / "out")
    for clip, at in (("late_0", 1.0), ("late_1", 1.6)):
        assert told[clip]["status"] == "ok", told[clip]["reason"]
        work = tmp_path / "out/work" / told[clip]["key"][-2:] / told[clip]["key"]
        light = [float(frame.mean()) for frame in read_frames(work / "render/clip.mp4")]
        # the frame before already: the picture that begins 0.04 s later is nearer than the one of 0.06 s ago
        assert int(np.diff(light).argmax()) + 1 == round(at * 25) - 1
        heard = np.abs(read_sound(work / "render/sound.wav").samples[0])
        assert abs(int(np.argmax(heard > 0.2)) / 16000 - at) < 0.01
    assert told["late_0"]["notes"] == "" and told["late_0"]["frames"] == 50
    assert told["late_1"]["notes"] == "its picture begins 0.40 s after its time: the clip begins there"
    assert told["late_1"]["frames"] == 65
    happy = [json.loads(told[clip]["phases"])[0] for clip in ("late_0", "late_1")]
    assert [(phase["start"], phase["end"]) for phase in happy] == [(1.0, 2.0), (0.6, 2.1)]


def test_a_second_start_works_on_nothing_and_a_limit_only_judges(undisturbed, tmp_path):
    source, first = undisturbed
    out = tmp_path / "out"
    shutil.copytree(first, out)
    before, shards = worked_on(out), shard_bytes(out)
    words = command(source, "--out", out, "--engine", "serial", "--clips-per-shard", 2)[3:]
    code = f"import sys; from actalker.cli.main import main; main({words!r}); print('torch' in sys.modules)"
    logs = sorted((out / "logs").iterdir())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert worked_on(out) == before and shard_bytes(out) == shards
    assert done.stdout.splitlines()[-1] == "False", "what only reads results loads no PyTorch"
    assert sorted((out / "logs").iterdir()) == logs, "and starts no process"
    run_prepare(source, "--out", out, "--engine", "serial", "--quality.sharpness", 1e6)
    assert worked_on(out) == before, "a limit repeats no work"
    assert {row["status"] for row in rows(out).values()} == {"rejected"} and shard_bytes(out) == {}
    run_prepare(source, "--out", out, "--engine", "serial", "--render.size", 64)
    changed = {name.split("/")[-2] for name, at in worked_on(out).items() if before.get(name) != at}
    assert changed == {"render", "quality", "features"}, "what does not depend on the size stays"
    (source / "new").mkdir()
    face_clip(source / "new/clip.mp4", hz=700.0)
    run_prepare(source, "--out", out, "--engine", "serial", "--clips-per-shard", 2)
    shutil.rmtree(source / "new")
    assert len(rows(out)) == 4


@pytest.mark.parametrize("engine", ["processes", pytest.param("ray", marks=pytest.mark.slow)])
def test_engines_write_the_same_bytes(undisturbed, tmp_path, engine):
    source, first = undisturbed
    if engine == "ray":
        pytest.importorskip("ray")
    out = tmp_path / "out"
    run_prepare(source, "--out", out, "--engine", engine, "--workers", 2, "--clips-per-shard", 2)
    assert shard_bytes(out) == shard_bytes(first)


@pytest.mark.slow
def test_ray_finds_the_package_beside_a_clone_of_its_name(undisturbed, tmp_path):
    """In a folder that holds a clone, `actalker` names the clone too; the installation comes last."""
    pytest.importorskip("ray")
    source, first = undisturbed
    (tmp_path / "actalker/docs").mkdir(parents=True)
    root = str(Path(__file__).parents[2])
    words = command(source, "--out", tmp_path / "out", "--engine", "ray", "--clips-per-shard", 2)[3:]
    code = (
        f"import sys; sys.path[:] = [p for p in sys.path if p] + [{root!r}]\n"
        f"from actalker.cli.main import main; sys.exit(main({words!r}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run([sys.executable, "-c", code], **run)
    assert done.returncode == 0, done.stderr
    assert shard_bytes(tmp_path / "out") == shard_bytes(first)
    assert "clips" in done.stderr and done.stderr.count("\n") <= 1, "Ray's own lines are not the user's"


def test_parts_and_merge_write_the_same_bytes(undisturbed, tmp_path):
    source, first = undisturbed
    out = tmp_path / "out"
    words = (source, "--out", out, "--engine", "serial", "--clips-per-shard", 2)
    run_prepare(*words, "--shard", "0/2")
    refused = run_prepare("merge", "--out", out, check=2)
    assert "1 of 3 clips are not prepared yet" in refused.stderr
    assert not (out / "manifest.parquet").exists()
    run_prepare(*words, "--shard", "1/2")
    run_prepare("merge", "--out", out)
    assert shard_bytes(out) == shard_bytes(first) and len(rows(out)) == 3


def _started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _when_working(driver: subprocess.Popen[str], out: Path, stage: str) -> None:
    """Wait until some clip has a result of a stage."""
    for _ in range(1200):
        if list((out / "work").glob(f"*/*/{stage}/result.json")):
            return
        assert driver.poll() is None, driver.communicate()
        time.sleep(0.05)
    raise AssertionError("nothing is worked on")


@pytest.mark.parametrize("victim", ["worker", pytest.param("driver", marks=pytest.mark.slow)])
def test_a_kill_loses_nothing_and_nothing_comes_twice(undisturbed, tmp_path, victim):
    source, first = undisturbed
    out = tmp_path / "out"
    words = (source, "--out", out, "--workers", 2, "--clips-per-shard", 2)
    driver = _started(command(*words))
    _when_working(driver, out, "track")
    family = psutil.Process(driver.pid).children(recursive=True)
    workers = [one for one in family if any("spawn_main" in word for word in one.cmdline())]
    assert workers
    if victim == "worker":
        workers[0].send_signal(signal.SIGKILL)
    else:
        driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=200)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "workers end with their driver"
    run_prepare(*words)
    assert shard_bytes(out) == shard_bytes(first)
    assert [row["status"] for row in rows(out).values()] == ["ok"] * 3
    assert not [path for path in (out / "work").rglob(".*") if path.is_dir()] or victim == "driver"


@pytest.mark.slow
def test_a_lost_node_of_a_ray_cluster_loses_nothing(undisturbed, tmp_path):
    """Two nodes; the one that the driver is not on is killed while both work, and the other takes over."""
    pytest.importorskip("ray")
    source, first = undisturbed
    out = tmp_path / "out"
    code = (
        "import sys, time\n"
        "from ray.cluster_utils import Cluster\n"
        "cluster = Cluster(initialize_head=True, head_node_args={'num_cpus': 1})\n"
        "node = cluster.add_node(num_cpus=1)\n"
        "print(cluster.address, flush=True)\n"
        "sys.stdin.readline()\n"
        "cluster.remove_node(node, allow_graceful=False)\n"
        "print('lost', flush=True)\n"
        "sys.stdin.readline()\n"
        "cluster.shutdown()\n"
    )
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    cluster = subprocess.Popen([sys.executable, "-c", code], text=True, env=environment, **pipes)
    try:
        address = next(line for line in cluster.stdout if ":" in line and line[0].isdigit()).strip()
        words = (source, "--out", out, "--engine", "ray", "--workers", 2, "--clips-per-shard", 2)
        driver = _started(command(*words, "--address", address))
        _when_working(driver, out, "track")
        cluster.stdin.write("\n")
        cluster.stdin.flush()
        assert next(line for line in cluster.stdout if "lost" in line)
        said = driver.communicate(timeout=240)
        assert driver.returncode == 0, said
        assert shard_bytes(out) == shard_bytes(first)
        assert [row["status"] for row in rows(out).values()] == ["ok"] * 3
    finally:
        cluster.communicate("\n\n", timeout=60)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small tmpfs")
def test_a_full_disk_stops_the_run_and_it_goes_on(undisturbed, tmp_path):
    source, first = undisturbed
    out = tmp_path / "out"
    out.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", out], capture_output=True
    ).returncode:
        pytest.skip("no tmpfs can be mounted here")
    words = (source, "--out", out, "--engine", "serial", "--clips-per-shard", 2)
    try:
        stopped = run_prepare(*words, check=2)
        assert "make room and start again" in stopped.stderr or "cannot be written" in stopped.stderr
        assert stopped.stderr.strip().count("error:") == 1
        assert not (out / "manifest.parquet").exists()
        subprocess.run(["mount", "-o", "remount,size=64m", out], check=True)
        run_prepare(*words)
        assert shard_bytes(out) == shard_bytes(first)
    finally:
        subprocess.run(["umount", out], check=True)


def test_lips_are_scored_when_a_syncnet_file_is_given(undisturbed, tmp_path):
    """Random weights find no sync: every clip is measured, and judged by its numbers."""
    from actalker.signals.syncnet import SyncNet

    source, first = undisturbed
    out = tmp_path / "out"
    shutil.copytree(first, out)
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), tmp_path / "net.model")
    words = (source, "--out", out, "--engine", "serial", "--syncnet", tmp_path / "net.model")
    run_prepare(*words)
    told = rows(out).values()
    assert all(row["sync_confidence"] is not None and abs(row["sync_offset"]) <= 15 for row in told)
    assert {row["status"] for row in told} == {"rejected"} and "confidence" in next(iter(told))["reason"]
    run_prepare(*words, "--sync_limits.confidence", -1, "--sync_limits.offset", 15)
    assert {row["status"] for row in rows(out).values()} == {"ok"}


BAD_OPTIONS = [
    (["nowhere"], "no such file or folder"),
    ([""], "source: is empty text"),
    (["{source}", "--videos", ""], "videos: is empty text"),
    (["x" * 5000], "cannot be read (File name too long)"),
    (["{source}", "--videos", "x" * 5000], "cannot be read (File name too long)"),
    (["{source}", "--engine", "dask"], "engine 'dask' is unknown"),
    (["{source}", "--shard", "4/4"], "--shard 4/4: write i/n"),
    (["{source}", "--memory", "lots"], "--memory lots"),
    (["{source}", "--workers", "0"], "--workers 0"),
    (["{source}", "--render.size", "100"], "--render.size 100"),
    (["{source}", "--finder", "oracle"], "face finder 'oracle' is unknown"),
    (["{source}", "--face-model", "nowhere.task"], "no such file"),
    (["{source}", "--address", "ray://x"], "belongs to --engine ray"),
    (["{source}", "--probe.sound", "maybe"], "give required or optional"),
    (["{source}", "--timeout", "0"], "--timeout 0"),
    (["{source}", "--sync", "repair"], "needs SyncNet's weights"),
    (["{source}", "--sync", "mend"], "'mend' is unknown"),
    (["{source}", "--arcface", "nowhere.pth"], "no such file"),
    (["{source}", "--people.similarity", "2"], "--people.similarity 2"),
    (["merge"], "holds no prepare.json"),
]


@pytest.mark.parametrize("words, says", BAD_OPTIONS)
def test_a_wrong_option_is_one_line_and_exit_code_2(undisturbed, tmp_path, capsys, words, says):
    from actalker.cli.main import main

    source, _ = undisturbed
    given = [word.format(source=source) for word in words]
    assert main(["prepare", *given, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_results_do_not_go_into_the_source(undisturbed, capsys):
    from actalker.cli.main import main

    source, _ = undisturbed
    before = sorted(source.rglob("*"))
    assert main(["prepare", str(source), "--out", str(source), "--finder", "cascade"]) == 2
    assert "is the source itself" in capsys.readouterr().err and sorted(source.rglob("*")) == before


def test_download_hands_ids_to_the_program_as_they_are(tmp_path):
    """A program of that name notes its arguments; ids that are none never reach it."""
    bin_, out = tmp_path / "bin", tmp_path / "out"
    bin_.mkdir()
    clip = face_clip(tmp_path / "clip.mp4")
    program = bin_ / "yt-dlp"
    program.write_text(
        f"#!{sys.executable}\nimport sys, json, shutil, pathlib\n"
        f"open({str(tmp_path / 'calls')!r}, 'a').write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "target = sys.argv[sys.argv.index('-o') + 1]\n"
        "if 'dead' in target: sys.exit('ERROR: Video unavailable')\n"
        f"shutil.copy({str(clip)!r}, target.replace('%(ext)s', 'mp4').replace('%%', '%'))\n"
    )
    program.chmod(0o755)
    names = ["-dash", "plain", "dead", "$(touch pwned)", "../up", "a b"]
    source = celebv(tmp_path / "source", {f"clip{k}": entry(name) for k, name in enumerate(names)})
    environment = {**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}"}
    run_prepare(source, "--out", out, "--download", "--engine", "serial", env=environment)
    calls = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert sorted(call[-1].partition("v=")[2] for call in calls) == ["-dash", "dead", "plain"]
    assert all(call[-2] == "--" for call in calls)
    told = rows(out)
    assert [told[f"clip{k}"]["status"] for k in range(6)] == ["ok", "ok"] + ["failed"] * 4
    assert not list(tmp_path.rglob("pwned"))
