"""Sources given by URL, fetched by Snakemake's storage plugins from a server on this machine."""

import json
import os
import time
from collections import Counter

import pandas as pd
import pytest

from loopback import FolderHandler, serving_folder
from made_archives import samples, write_tar
from maskgrid.config.models import Config
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import make_plan
from maskgrid.plan.remote import RemoteFile, remote_files
from workflow import snakemake

GENERATOR = {"points_per_side": 1, "pred_iou_thresh": 0.05, "stability_score_thresh": 0.0}


class Handler(FolderHandler):
    """Serve a folder, count requests, and cut the answers for paths in ``cut``."""

    fetched: Counter[str]
    cut: set[str]

    def do_GET(self):
        self.fetched[self.path] += 1
        if self.path not in self.cut:
            return super().do_GET()
        self.cut.remove(self.path)
        content = (self.directory / self.path[1:]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.close_connection = True
        return None


@pytest.fixture
def server(tmp_path):
    """Serve a folder; yield the server with its folder and URL."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = type("Handler", (Handler,), {"fetched": Counter(), "cut": set()})
    with serving_folder(folder, handler) as http:
        http.folder, http.handler = folder, handler
        yield http


def age(path, seconds):
    """Set a file's time: servers report whole seconds, so a changed file needs a clearly different time."""
    moment = time.time() - seconds
    os.utime(path, (moment, moment))


def results(folder):
    """Results without the columns of times and paths."""
    coco = json.loads((folder / "results/annotations/baseline.json").read_text())
    counts = pd.read_parquet(folder / "results/statistics/mask_counts.parquet")
    archives = pd.read_parquet(folder / "results/dataset/archives.parquet")
    return coco, counts, archives.drop(columns=["mtime_ns", "path"], errors="ignore")


def test_archives_by_url_give_the_same_results_as_files(server, tmp_path):
    for number in range(2):
        age(write_tar(server.folder / "sets" / f"images-{number}.tar", samples(3 * number, 3 * number + 3)), 3600)
    pattern = "sets/images-{0..1}.tar"
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, source in ((here, f"{server.folder}/{pattern}"), (there, f"{server.url}/{pattern}")):
        folder.mkdir()
        run = snakemake(folder, {"dataset": {"source": source, "shard_size": 4}, "generator": GENERATOR})
        assert run.code == 0, run.output
    assert run.finished["fetch"] == 2
    for ours, theirs in zip(results(there), results(here), strict=True):
        assert ours == theirs if isinstance(ours, dict) else ours.equals(theirs)
    keys = pd.read_parquet(there / "results/dataset/images.parquet")["image_key"]
    assert next(iter(keys)) == "images-0.tar/0000.png"
    assert not list((there / ".snakemake").glob("storage/**/*.tar"))  # no second copy is kept
    # A second start fetches nothing; after a change on the server, it fetches only the changed file.
    assert "Nothing to be done" in snakemake(there, None, "-n").output
    age(write_tar(server.folder / "sets" / "images-1.tar", samples(3, 7)), -5)
    run = snakemake(there, None, "--until", "index")
    assert run.finished == {"fetch": 1, "index": 1}, run.output
    assert server.handler.fetched == {"/sets/images-0.tar": 1, "/sets/images-1.tar": 2}
    assert len(pd.read_parquet(there / "results/dataset/images.parquet")) == 7


def test_finished_steps_need_no_server(server, tmp_path):
    age(write_tar(server.folder / "a.tar", samples(0, 2)), 3600)
    config = {"dataset": {"source": f"{server.url}/a.tar"}, "generator": GENERATOR}
    assert snakemake(tmp_path, config).code == 0
    server.shutdown()
    server.server_close()
    run = snakemake(tmp_path, {**config, "sweep": {"grid": {"pred_iou_thresh": [0.05, 0.1]}}}, "-n")
    assert run.planned["replay"] == 1, run.output
    assert run.planned["generate"] == run.planned["index"] == run.planned["fetch"] == 0


def test_an_interrupted_download_leaves_no_archive(server, tmp_path):
    age(write_tar(server.folder / "a.tar", samples(0, 2)), 3600)
    server.handler.cut.add("/a.tar")
    config = {"dataset": {"source": f"{server.url}/a.tar"}, "generator": GENERATOR}
    run = snakemake(tmp_path, config, "--until", "index")
    assert run.code != 0
    assert not list((tmp_path / "results").glob("fetched/**/*.tar"))
    run = snakemake(tmp_path, config, "--until", "index")
    assert run.finished == {"fetch": 1, "index": 1}, run.output


def test_a_file_missing_on_the_server_is_named(server, tmp_path):
    run = snakemake(tmp_path, {"dataset": {"source": f"{server.url}/none.tar"}}, "-n")
    assert run.code != 0
    assert f"{server.url}/none.tar" in run.output
    assert "Traceback" not in run.output


def test_prompts_and_ground_truth_by_url(server, tmp_path):
    write_tar(server.folder / "a.tar", samples(0, 2))
    name = "a.tar/0000.png"
    square = {"segmentation": [[2, 2, 12, 2, 12, 12, 2, 12]], "bbox": [2, 2, 10, 10], "area": 100, "iscrowd": 0}
    coco = {
        "images": [{"id": 1, "file_name": name, "width": 20, "height": 16}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **square}],
        "categories": [{"id": 1, "name": "thing"}],
    }
    (server.folder / "objects.json").write_text(json.dumps(coco))
    (server.folder / "boxes.csv").write_text(f'image,box_xyxy\n{name},"[2,2,12,12]"\n')
    for path in server.folder.iterdir():
        age(path, 3600)
    config = {
        "dataset": {"source": f"{server.url}/a.tar", "ground_truth": f"{server.url}/objects.json"},
        "generator": GENERATOR,
        "prompts": {"source": f"{server.url}/boxes.csv"},
        "exports": [],
    }
    run = snakemake(tmp_path, config)
    assert run.code == 0, run.output
    assert run.finished["fetch"] == 3
    accuracy = pd.read_parquet(tmp_path / "results/statistics/accuracy_summary.parquet")
    assert accuracy["n_truth"].sum() == 1
    assert len(json.loads((tmp_path / "results/prompted/annotations.json").read_text())["annotations"]) == 1
    assert "Nothing to be done" in snakemake(tmp_path, None, "-n").output


def test_archives_in_a_bucket(tmp_path):
    """S3, simulated by moto; neither moto nor the plugin is a requirement."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed")
    moto = pytest.importorskip("moto.server", reason="moto[server] is not installed")
    pytest.importorskip("snakemake_storage_plugin_s3", reason="snakemake-storage-plugin-s3 is not installed")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        url, key, region = f"http://{host}:{port}", "pretended", "us-east-1"
        keys = {"aws_access_key_id": key, "aws_secret_access_key": key}
        s3 = boto3.client("s3", endpoint_url=url, region_name=region, **keys)
        s3.create_bucket(Bucket="sets")
        for number in range(2):
            path = write_tar(tmp_path / "made" / f"{number}.tar", samples(3 * number, 3 * number + 3))
            s3.upload_file(str(path), "sets", f"many/images-{number}.tar")
        options = {"endpoint-url": url, "access-key": key, "secret-key": key, "region": region}
        arguments = [word for name, value in options.items() for word in (f"--storage-s3-{name}", value)]
        config = {"dataset": {"source": "s3://sets/many/images-{0..1}.tar"}, "generator": GENERATOR}
        run = snakemake(tmp_path, config, "--until", "index", *arguments)
        assert run.finished == {"fetch": 2, "index": 1}, run.output
    finally:
        server.stop()
    keys = list(pd.read_parquet(tmp_path / "results/dataset/images.parquet")["image_key"])
    assert keys == [f"images-{number // 3}.tar/{number:04d}.png" for number in range(6)]


def test_results_outside_a_local_folder_are_refused(tmp_path):
    pytest.importorskip("snakemake_storage_plugin_fs", reason="snakemake-storage-plugin-fs is not installed")
    run = snakemake(tmp_path, {}, "-n", "--default-storage-provider", "fs", "--shared-fs-usage", "none")
    assert run.code != 0
    assert "cannot write them to --default-storage-provider fs" in run.output
    assert "Traceback" not in run.output


def test_a_missing_plugin_is_named(tmp_path):
    run = snakemake(tmp_path, {"dataset": {"source": "sftp://host/a.tar"}}, "-n")
    assert run.code != 0
    assert "dataset.source: sftp://host/a.tar" in run.output
    assert "pip install snakemake-storage-plugin-sftp" in run.output
    assert "Traceback" not in run.output


def test_maskgrid_itself_fetches_nothing(tmp_path):
    plan = make_plan(
        Config.model_validate({"dataset": {"source": "https://host/a.tar"}}), tmp_path, tmp_path / "results"
    )
    with pytest.raises(UserError, match=r"is not fetched: there is no .*/results/fetched/host/a\.tar"):
        index_dataset(plan)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"dataset": {"source": "https://host/photos/"}}, "a server's folders cannot be listed"),
        ({"dataset": {"source": "https://host/*.tar"}}, "a server's folders cannot be listed"),
        ({"dataset": {"source": "https://host"}}, "a server's folders cannot be listed"),
        ({"dataset": {"source": "https://host/images.tar.gz"}}, "tar archives"),
        ({"dataset": {"source": "https://host/../../a.tar"}}, "'..'"),
        ({"dataset": {"ground_truth": "s3://bucket/objects.csv"}}, "a COCO .json"),
        ({"tracking": {"source": "s3://bucket/clips"}}, "one video file"),
        ({"tracking": {"source": "a", "ground_truth": "s3://bucket/truth"}}, "a server's folders cannot be listed"),
    ],
)
def test_urls_that_cannot_be_fetched_are_refused_early(config, words):
    with pytest.raises(UserError, match=words.replace(".", r"\.")):
        remote_files(Config.model_validate(config))


def test_number_ranges_in_braces_expand_to_files():
    config = Config.model_validate(
        {"dataset": {"source": "s3://bucket/part-{8..10}/a.tar?version=2"}, "prompts": {"source": "boxes.csv"}}
    )
    assert remote_files(config) == [
        RemoteFile("dataset.source", f"s3://bucket/part-{n}/a.tar?version=2", f"bucket/part-{n}/a.tar")
        for n in (8, 9, 10)
    ]
